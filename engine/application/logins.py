"""Machines that wait for somebody's word; in memory only.

Rule 1: at most `MOST_OF_MACHINE` wait of one machine key, one of each node key; the machine's oldest gives way.
        At most `MOST` wait in all; then a newcomer is turned away: strangers must not push out who really waits.
Rule 2: a login is forgotten after `LIFE_MILLIS`, at a restart, and `MEMORY_MILLIS` after it was decided.
Rule 3: what was shown is what is approved: who asks for other tags meanwhile is another login.
Rule 4: who waits for a login is woken at once when it is decided, and else asks again.
"""

import asyncio
from collections.abc import Iterable
from typing import ClassVar, Final

from engine.contracts.registration import PendingLogin, RegisterReply, RegisterRequest
from engine.domain.errors import NotFound
from engine.domain.values import LoginId, Millis
from engine.ports import Clock, Fault, IdSource

MOST: Final = 1_000
MOST_OF_MACHINE: Final = 4
LIFE_MILLIS: Final = 15 * 60 * 1_000
"""A quarter of an hour to find somebody who approves."""
MEMORY_MILLIS: Final = 2 * 60 * 1_000
"""How long a decision is told to who asks for it: several rounds of a client's waiting."""
MOST_WAITERS: Final = 4
"""Held waits for one login; the client has one, its retries the others."""


class LoginsFull(Fault):
    """No more machines may wait now; the client is told to try again."""

    code: ClassVar[str] = "login.full"
    told: ClassVar[str] = "too many machines wait for somebody's word"
    hint: ClassVar[str] = "approve or reject some of them; a login lasts 15 minutes"


class Login:
    """One pending login, its request, and the decision when there is one."""

    def __init__(self, shown: PendingLogin, request: RegisterRequest) -> None:
        self.shown: Final = shown
        self.request: Final = request
        self.waiters = 0
        self.decision: RegisterReply | None = None
        self._woken = asyncio.Event()
        self.until = shown.until

    def decide(self, reply: RegisterReply, now: Millis) -> None:
        """Wake who waits."""
        self.decision = reply
        self.until = Millis(now + MEMORY_MILLIS)
        self._woken.set()

    def release(self) -> None:
        """Wake who waits, without a decision."""
        self._woken.set()

    async def wait(self, seconds: float) -> RegisterReply | None:
        """Return the decision, or None when it does not come in time or too many wait already."""
        if not self._woken.is_set() and self.waiters < MOST_WAITERS:
            self.waiters += 1
            try:
                await asyncio.wait_for(self._woken.wait(), seconds)
            except TimeoutError:
                return None
            finally:
                self.waiters -= 1
        return self.decision


class Logins:
    """All pending logins of a tailnet."""

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self._clock = clock
        self._ids = ids
        self._logins: dict[LoginId, Login] = {}
        """In the order of their coming."""

    def add(self, request: RegisterRequest) -> Login:
        """Let the machine wait; the same node key again is the same login, unless it asks for other tags.

        Raises:
            LoginsFull: too many wait, none of them this machine's oldest.
        """
        now = self._clock.now()
        self._forget_old(now)
        same = [login for login in self._undecided() if login.request.machine_key == request.machine_key]
        for login in same:
            if login.request.node_key == request.node_key:
                if login.request.request_tags == request.request_tags:
                    return login
                same.remove(login)
                del self._logins[login.shown.login]
                break
        if len(same) >= MOST_OF_MACHINE:
            del self._logins[same[0].shown.login]
        elif len(self._logins) >= MOST:
            raise LoginsFull("too many machines wait for somebody's word")
        login = Login(self._shown(request, now), request)
        self._logins[login.shown.login] = login
        return login

    def get(self, login: LoginId) -> Login | None:
        """Return a login that still counts."""
        self._forget_old(self._clock.now())
        return self._logins.get(login)

    def undecided(self, login: LoginId) -> Login:
        """Return a login that waits for somebody's word.

        Raises:
            NotFound: `login.unknown`.
        """
        found = self.get(login)
        if found is None or found.decision is not None:
            raise NotFound(
                "login.unknown",
                "no machine waits under this login",
                field="login",
                hint="a login lasts 15 minutes; the machine gets a new one when it tries again",
            )
        return found

    def list(self) -> tuple[PendingLogin, ...]:
        """Return what waits, the oldest first."""
        self._forget_old(self._clock.now())
        return tuple(login.shown for login in self._undecided())

    def release(self) -> None:
        """Let nobody wait any more: the engine stops."""
        for login in self._logins.values():
            login.release()

    def _undecided(self) -> Iterable[Login]:
        return [login for login in self._logins.values() if login.decision is None]

    def _shown(self, request: RegisterRequest, now: Millis) -> PendingLogin:
        return PendingLogin(
            login=LoginId(self._ids.token()),
            machine_key=request.machine_key,
            node_key=request.node_key,
            hostname=request.hostname,
            os=request.os,
            request_tags=request.request_tags,
            since=now,
            until=Millis(now + LIFE_MILLIS),
        )

    def _forget_old(self, now: Millis) -> None:
        for login in [name for name, login in self._logins.items() if login.until <= now]:
            del self._logins[login]
