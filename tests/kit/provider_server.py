"""A VPN provider on loopback: Mullvad's interface and the small one of `docs/providers.md`, over one table of accounts.

Rule 1: what Mullvad's side answers is written after its clients' sources (see `engine/adapters/provider/mullvad.py`), not recorded from the
        service: from here it cannot be reached.
Rule 2: trouble comes on demand: `plan` holds what happens to the next calls, one after another; `deaf` calls are done and not
        answered. Nothing is ever waited for here: a call that is `held` ends when the test says so.
Rule 3: `heard` is every call: method, path, and whether it said a known account.
"""

import json
import ssl
import threading
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

Plan = tuple[str, int | str]
"""(`status`, 503) · (`redirect`, URL) · (`huge`, octets) · (`junk`, text) · (`echo`, status): an error that repeats the token ·
(`drop`, 0): no answer · (`hold`, 0): none before `release` · (`gzip`, 0) · (`device`, JSON): an answer in place of the right one."""
RELAYS: Final = b'{"locations": {}, "wireguard": {"relays": []}}'
TOKEN: Final = "mva-token-of-"


class ProviderServer:
    """The server; `base` is where it is. With `tls` it speaks https."""

    def __init__(self, *accounts: str, quota: int = 5, tls: ssl.SSLContext | None = None) -> None:
        self.accounts: dict[str, dict[str, dict[str, Any]]] = {account: {} for account in accounts}
        self.quota = quota
        self.plan: list[Plan] = []
        self.deaf = 0
        self.lose_changes = False
        """Whether the answer to the next call of Mullvad's that changes something is lost."""
        self.lies = False
        """Whether Mullvad's side hides the devices that there are: their keys are still in use."""
        self.heard: list[tuple[str, str, bool]] = []
        self.heads: list[dict[str, str]] = []
        self.tokens: set[str] = set()
        self.given = 0
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.released = threading.Event()
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.base = f"{'http' if tls is None else 'https'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def keys(self, account: str) -> set[str]:
        """The keys of an account, in hex."""
        with self.lock:
            return set(self.accounts[account])

    def device(self, account: str, key: str) -> dict[str, Any]:
        """What an account's key is given: made if it is not there."""
        known = self.accounts[account]
        if key not in known:
            self.given += 1
            known[key] = {
                "id": f"dev-{self.given}",
                "ipv4": f"10.64.{self.given // 250}.{self.given % 250 + 2}",
                "ipv6": f"fc00:bbbb::{self.given + 1:x}",
            }
        return known[key]


class _Handler(BaseHTTPRequestHandler):
    site: ProviderServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        site = self.site
        account = str(body.get("account_number") or bearer.removeprefix(TOKEN))
        with site.lock:
            site.heard.append((method, self.path, account in site.accounts))
            site.heads.append(dict(self.headers))
            what, value = site.plan.pop(0) if site.plan else ("", 0)
            site.changed.notify_all()
        if what:
            self._misbehave(what, value, bearer or account)
            if what != "hold":
                return
        with site.lock:
            status, reply = self._answer(method, body, bearer, account)
            if site.deaf:
                site.deaf -= 1
                self.close_connection = True
                return
            if site.lose_changes and self.path.startswith("/accounts/") and method != "GET":
                site.lose_changes = False
                self.close_connection = True
                return
        self._reply(status, b"" if reply is None else json.dumps(reply).encode())

    def _misbehave(self, what: str, value: int | str, secret: str) -> None:
        match what:
            case "status":
                self._reply(int(value), b'{"code": "broken"}')
            case "redirect":
                self._reply(302, b"", {"Location": str(value)})
            case "huge":
                self._reply(200, b" " * int(value))
            case "junk":
                self._reply(200, str(value).encode())
            case "echo":
                self._reply(int(value), json.dumps({"code": secret, "detail": f"who is {secret}?"}).encode())
            case "gzip":
                self._reply(200, b"x", {"Content-Encoding": "gzip"})
            case "hold":
                self.site.released.wait(30)
            case _:
                self.close_connection = True

    def _answer(self, method: str, body: Any, bearer: str, account: str) -> tuple[int, Any]:
        path = self.path
        if path in {"/v1/relays", "/app/v1/relays"}:
            return 200, json.loads(RELAYS)
        if path == "/auth/v1/token":
            if account not in self.site.accounts:
                return 400, {"code": "INVALID_ACCOUNT"}
            self.site.tokens.add(TOKEN + account)
            return 200, {"access_token": TOKEN + account, "expiry": "2100-01-01T00:00:00+00:00"}
        if path.startswith("/v1/keys/"):
            return self._small(method, path.rpartition("/")[2], account)
        if bearer not in self.site.tokens:
            return 401, {"code": "INVALID_ACCESS_TOKEN"}
        return self._mullvad(method, path, body, account)

    def _small(self, method: str, key: str, account: str) -> tuple[int, Any]:
        if account not in self.site.accounts:
            return 403, {"code": "account"}
        known = self.site.accounts[account]
        if method == "DELETE":
            return (204, None) if known.pop(key, None) else (404, {"code": "unknown"})
        if key not in known and len(known) >= self.site.quota:
            return 409, {"code": "quota"}
        made = self.site.device(account, key)
        return 200, {"reference": made["id"], "ipv4": made["ipv4"], "ipv6": made["ipv6"]}

    def _mullvad(self, method: str, path: str, body: Any, account: str) -> tuple[int, Any]:
        known = self.site.accounts[account]
        if method == "DELETE":
            wanted = path.rpartition("/")[2]
            key = next((key for key, made in known.items() if made["id"] == wanted), None)
            if key is None:
                return 404, {"code": "DEVICE_NOT_FOUND"}
            del known[key]
            return 204, None
        if method == "GET":
            shown = {} if self.site.lies else known
            return 200, [_as_mullvad(key, made) for key, made in shown.items()]
        key = b64decode(body["pubkey"]).hex()
        if key in known:
            return 400, {"code": "PUBKEY_IN_USE"}
        if len(known) >= self.site.quota:
            return 400, {"code": "MAX_DEVICES_REACHED"}
        return 201, _as_mullvad(key, self.site.device(account, key))

    def _reply(self, status: int, data: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(more or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True


def _as_mullvad(key: str, made: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": made["id"],
        "name": "quiet otter",
        "pubkey": b64encode(bytes.fromhex(key)).decode(),
        "hijack_dns": False,
        "created": "2026-11-01T00:00:00+00:00",
        "ipv4_address": f"{made['ipv4']}/32",
        "ipv6_address": f"{made['ipv6']}/128",
    }
