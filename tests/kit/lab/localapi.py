"""Requests to the socket of a tailscaled (LocalAPI), without starting its command line for each look."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__(
            "local-tailscaled.sock", timeout=timeout
        )  # the name it insists on (ipn/localapi/localapi.go)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, endpoint: str, *, timeout: float = 5.0) -> Any:
    """The decoded JSON of `/localapi/v0/<endpoint>`.

    Args:
        path: the socket.
        method: "GET" or "POST".
        endpoint: with its query, "status" or "debug?action=current-netmap".
        timeout: seconds for each step of the exchange.

    Raises:
        OSError: nobody answers at the socket.
        ValueError: an answer that is not 200 with JSON.
    """
    connection = _Connection(path, timeout)
    try:
        connection.request(method, f"/localapi/v0/{endpoint}")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"{endpoint}: {response.status} {body[:200]!r}")
    return json.loads(body)
