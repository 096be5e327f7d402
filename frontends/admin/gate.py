"""Who may come in: API keys, asked about at a projection, and remembered for a short while.

Rule 1: a key is never sent on, kept or logged: its digest is.
Rule 2: what was found good counts until the log moves, and `KEPT_SECONDS` at most. The end of a key moves the log: after
        it the key is asked about anew, at a replica that has read so far. (The engine looks at each command's key too.)
Rule 3: a key counts no longer than its expiry, by this process's clock as well.
Rule 4: an address that came with wrong keys too often waits, unless its key is known to be good.
"""

import asyncio
import base64
import binascii
from typing import Final

import msgspec

from engine.domain.apikeys import ADMIN, prefix_in
from engine.domain.refs import digest_of
from engine.domain.values import NEVER
from engine.ports import Clock
from frontends.admin.asking import Asking
from frontends.admin.errors import Unauthorized
from frontends.admin.rate import Rates

KEPT_SECONDS: Final = 60.0
"""As a cache of keys may be old at most (reference: ecosystem §2.4)."""
MOST: Final = 1_000
"""Keys that are remembered; beyond it the one that was remembered first is forgotten."""
MAX_HEADER: Final = 512
"""Characters of an `Authorization` header: a key has 87, in base64 and with a name beside it fewer than 300."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who was let in: an API key, without its secret."""

    prefix: str
    scope: str
    peer: int | None = None
    node: int | None = None
    expiry: int = 0

    @property
    def is_admin(self) -> bool:
        """Whether the key is for everything."""
        return self.scope == ADMIN


class _Held(msgspec.Struct, frozen=True):
    holder: Holder
    floor: int
    until: float


class Gate:
    """The keeper of the door."""

    def __init__(self, asking: Asking, clock: Clock) -> None:
        self._asking = asking
        self._clock = clock
        self._rates = Rates()
        self._held: dict[str, _Held] = {}
        self._pending: dict[tuple[str, int], asyncio.Task[Holder | None]] = {}

    async def admit(self, authorization: str, address: str) -> Holder:
        """Return who it is.

        Raises:
            Unauthorized: nobody whom we know, or too many tries.
            Refused: nobody answers.
        """
        key = key_in(authorization)
        prefix = prefix_in(key)
        digest = digest_of(key)
        held = self._held.get(digest)
        if held is not None and self._counts(held):
            return held.holder
        holder = await self._asked(prefix, digest, address)
        if holder is None or self._has_run_out(holder):
            raise Unauthorized
        return holder

    async def _asked(self, prefix: str | None, digest: str, address: str) -> Holder | None:
        """Ask once for all who wait for the same answer; it costs the address a try, unless the key is good."""
        mark = (digest, self._asking.floor)
        task = self._pending.get(mark)
        if task is None:
            wait = self._rates.spend(address, self._clock.monotonic())
            if wait:
                raise Unauthorized(wait)
            if prefix is None:
                return None
            task = asyncio.create_task(self._ask(prefix, digest, mark))
            self._pending[mark] = task
            task.add_done_callback(lambda done: self._answered(mark, done, address))
        return await asyncio.shield(task)

    def _answered(self, mark: tuple[str, int], done: "asyncio.Task[Holder | None]", address: str) -> None:
        del self._pending[mark]
        if done.cancelled() or done.exception() is not None or done.result() is not None:
            self._rates.refund(address, self._clock.monotonic())

    async def _ask(self, prefix: str, digest: str, mark: tuple[str, int]) -> Holder | None:
        self._held.pop(digest, None)
        row = (await self._asking.ask("apikey", "check", id=prefix, digest=digest))["key"]
        if row is None:
            return None
        holder = msgspec.convert(row, Holder)
        self._held[digest] = _Held(holder, mark[1], self._clock.monotonic() + KEPT_SECONDS)
        if len(self._held) > MOST:
            del self._held[next(iter(self._held))]
        return holder

    def _counts(self, held: _Held) -> bool:
        fresh = held.floor >= self._asking.floor and self._clock.monotonic() < held.until
        return fresh and not self._has_run_out(held.holder)

    def _has_run_out(self, holder: Holder) -> bool:
        return NEVER < holder.expiry <= self._clock.now()


def key_in(authorization: str) -> str:
    """Return what may be a key in an `Authorization` header: a Bearer token, or Basic's password, or its user."""
    if len(authorization) > MAX_HEADER:
        return ""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return ""
            return password or user
        case _:
            return ""
