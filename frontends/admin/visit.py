"""A request of somebody who was let in, and what its endpoint may do."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from engine.contracts.requests import MAX_COMMAND_ID, MAX_REASON, Accepted
from engine.domain.commands import Command
from frontends.admin.asking import Asking
from frontends.admin.errors import JSON, Refused, no
from frontends.admin.gate import Holder

MAX_BODY: Final = 512 * 1024
"""Octets of a request's body, as of a command on the bus."""
BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""
ID_HEADER: Final = "idempotency-key"
REASON_HEADER: Final = "netmap-reason"


class Visit:
    """One request, whose holder is known."""

    def __init__(self, request: Request, holder: Holder, asking: Asking) -> None:
        self.request: Final = request
        self.holder: Final = holder
        self.asking: Final = asking

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """Return a parameter of the query; an empty one is none."""
        return self.request.query_params.get(name) or None

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            Refused: `body.too_large`, `body.too_slow`.
        """
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in self.request.stream():
                    data += chunk
                    if len(data) > MAX_BODY:
                        raise no(413, "body.too_large", f"a request's body is at most {MAX_BODY} octets")
        except TimeoutError:
            raise no(408, "body.too_slow", f"a body must arrive within {BODY_SECONDS:g} s") from None
        return bytes(data)

    async def send(self, command: Command) -> Accepted:
        """Send a command as the holder of the key; the reason is the request's own, else what was asked for.

        Raises:
            Refused: the answer is no, or unknown.
        """
        headers = self.request.headers
        reason = headers.get(REASON_HEADER) or f"HTTP API: {self.request.method} {self.request.url.path}"
        return await self.asking.send(
            self.holder.prefix,
            command,
            command_id=headers.get(ID_HEADER, "")[: MAX_COMMAND_ID + 1],
            reason="".join(letter if letter.isprintable() else "?" for letter in reason)[:MAX_REASON],
        )


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """Return a JSON answer; nothing of it is kept on the way."""
    return Response(msgspec.json.encode(body), status, {"Cache-Control": "no-store"}, JSON)


def missing(error: Refused) -> bool:
    """Return whether a refusal says that something is not there."""
    return error.problem.status == 404  # noqa: PLR2004
