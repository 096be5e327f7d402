"""Whether this projection is right, and how it is: what it says of itself, what others say, and what the log says.

Rule 1: who is said otherwise at one position, or finds an object that is not what was put there, is in doubt: it tells and answers
        nothing more, makes everything anew from the log, and so learns which side was wrong (docs/adr/0018). It takes what the log
        makes of it if that differs, and goes on either way.
Rule 2: whom the log has shown to be wrong does not bring this one into doubt again for `CONVINCED_SECONDS`; that it goes on is told
        each time.
Rule 3: one comparison with the log at a time. `verify` changes nothing; `rebuild` takes what is right, and lets go of kept moments
        that are not.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from engine.contracts import subjects
from engine.contracts.projections import (
    ASKED,
    REBUILD,
    VERIFY,
    Check,
    Difference,
    ProjectionRow,
    ProjectionStatus,
)
from engine.domain.values import TailnetName
from engine.ports import Answer, Endpoint, Fault, Message
from projections.agreement import Agreement, Disagreement, Heard
from projections.history.kept import BadKept
from projections.live import FRESH_SECONDS, Live
from projections.moments import Moments
from projections.netmap.deltas import Said
from projections.shadow import Shadow

GONE_SECONDS: Final = 60.0
"""How long one that says nothing more is still listed."""
SILENT_SECONDS: Final = 3.0
CONVINCED_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 5.0
"""Between two tries of a comparison that has to be made."""
_HEARD: Final = msgspec.json.Decoder(Heard)
_STATUS: Final = msgspec.json.Decoder(ProjectionStatus)
_ENCODER: Final = msgspec.json.Encoder()

_log = structlog.get_logger(__name__)


class Watch:
    """One projection's doubts; `name` is what it calls itself on the bus."""

    def __init__(self, name: str, live: Live, moments: Moments) -> None:
        self.name: Final = name
        self.agreement: Final = Agreement(name)
        self.disagreements = 0
        self.rebuilds = 0
        self.check: Check | None = None
        """The comparison that runs, or the last one."""
        self._live = live
        self._moments = moments
        self._began = live.clock.monotonic()
        self._job: asyncio.Task[Check | None] | None = None
        self._convinced: dict[str, float] = {}
        self._others: dict[str, tuple[float, ProjectionStatus]] = {}
        self._progress: Callable[[], Check | None] = lambda: None

    # What is said and heard ------------------------------------------------------------------------------------

    def said(self) -> Said:
        """Return what is said at the end of a batch."""
        return Said(self._live.state.state_digest(), self.name)

    def compare(self) -> None:
        """Look whether others say the same of this position; after it was said, so that they can look too."""
        state = self._live.state
        if not self._live.doubt:
            self._met(self.agreement.say(state.epoch, state.position, state.state_digest()))

    def hear(self, message: Message) -> None:
        """Take in what some projection, perhaps this one, said to frontends."""
        try:
            heard = _HEARD.decode(message.data)
        except msgspec.MsgspecError:
            _log.error("a delta of another projection cannot be read", octets=len(message.data))
            return
        self._met(self.agreement.hear(heard))

    def look(self) -> None:
        """Look at some objects again: are they what was put there?"""
        spoilt = self._live.state.scrub()
        if spoilt and not self._live.doubt:
            self.disagreements += 1
            _log.critical("netmap objects are not what was put there", keys=spoilt)
            self._doubt(f"{spoilt[0]} is not what was put there", "")

    def _met(self, found: Disagreement | None) -> None:
        if found is None or self._live.doubt:
            return
        self.disagreements += 1
        _log.critical(
            "another projection holds something else",
            epoch=found.epoch,
            position=found.position,
            own=found.own,
            theirs=found.theirs,
            by=found.by,
        )
        if self._live.clock.monotonic() >= self._convinced.get(found.by, 0.0):
            self._doubt(f"{found.by} holds something else at {found.position}", found.by)

    def _doubt(self, why: str, by: str) -> None:
        self._live.doubt = why
        if self._job is not None and not self._job.done():
            self._job.cancel()
        self._job = asyncio.create_task(self._settle(by))

    async def _settle(self, by: str) -> None:
        check = await self._checked(REBUILD)
        while check.why:
            await asyncio.sleep(AGAIN_SECONDS)
            check = await self._checked(REBUILD)
        if by and not check.swapped:
            _log.critical("the log says that the other projection is wrong", by=by, position=check.position)
            self._convinced[by] = self._live.clock.monotonic() + CONVINCED_SECONDS
        self._live.doubt = ""

    # Comparisons with the log ----------------------------------------------------------------------------------

    def start(self, verb: str) -> None:
        """Begin a comparison, unless one is under way: then that one is as good."""
        if self._job is None or self._job.done():
            self._job = asyncio.create_task(self._checked(verb))

    async def settled(self) -> None:
        """Wait until no comparison is under way."""
        if self._job is not None:
            await asyncio.wait([self._job])

    async def stop(self) -> None:
        """End what is under way."""
        if self._job is not None:
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)

    async def _checked(self, verb: str) -> Check:
        began, shadow = self._live.clock.monotonic(), Shadow(self._live, self._moments)

        def now(*, running: bool, difference: Difference | None = None, why: str = "") -> Check:
            return Check(
                verb=verb,
                running=running,
                position=shadow.live.state.position,
                end=self._live.state.position,
                records=shadow.records,
                seconds=round(self._live.clock.monotonic() - began, 3),
                moments=shadow.moments,
                difference=difference,
                why=why,
            )

        self._progress = lambda: now(running=True)
        self.check = self._progress()
        try:
            difference = await shadow.follow()
        except Fault as fault:
            _log.critical("the log was not compared", verb=verb, why=str(fault))
            self.check = now(running=False, why=str(fault))
            return self.check
        own, made = self._live.state.state_digest(), shadow.live.state.state_digest()
        swapped = verb == REBUILD and difference is not None and difference.what != "moment"
        if swapped:
            self._live.swap(shadow.live)
            self.agreement.forget()
            self.rebuilds += 1
        self.check = check = msgspec.structs.replace(
            now(running=False, difference=difference), digest=own, rebuilt=made, swapped=swapped
        )
        say = _log.info if difference is None else _log.critical
        say(
            "compared with the log", verb=verb, records=shadow.records, difference=difference, swapped=swapped
        )
        if verb == REBUILD:
            await self._moments.settled()
            kept_meanwhile = [place for place in self._moments.places if place not in shadow.good]
            for place in kept_meanwhile if swapped else shadow.bad:
                await self._moments.let_go(place, BadKept("it is not what the log makes of it"))
        return check

    # How it is -------------------------------------------------------------------------------------------------

    def status(self) -> ProjectionStatus:
        """Return how this projection is now."""
        live = self._live
        seconds = live.lag_seconds()
        state = "in doubt" if live.doubt else "ready" if seconds <= FRESH_SECONDS else "behind"
        check = self.check
        return ProjectionStatus(
            name=self.name,
            epoch=live.state.epoch,
            position=live.state.position,
            head=live.head,
            lag=live.lag(),
            lag_seconds=round(seconds, 3),
            digest=live.state.state_digest(),
            nodes=len(live.state.tailnet.nodes),
            objects=len(live.state.objects),
            moments=len(self._moments.places),
            uptime=round(live.clock.monotonic() - self._began, 1),
            state=state,
            compared=self.agreement.compared,
            disagreements=self.disagreements,
            rebuilds=self.rebuilds,
            check=self._progress() if check is not None and check.running else check,
        )

    def hear_status(self, message: Message) -> None:
        """Take in how another projection says that it is."""
        try:
            status = _STATUS.decode(message.data)
        except msgspec.MsgspecError:
            return  # of another version: it is left out of the list
        if status.name != self.name:
            self._others[status.name] = (self._live.clock.monotonic(), status)

    def rows(self) -> list[ProjectionRow]:
        """Return how all projections are that were heard of in the last `GONE_SECONDS`, by name; `silent` are those that should have been."""
        now = self._live.clock.monotonic()
        self._others = {name: one for name, one in self._others.items() if now - one[0] < GONE_SECONDS}
        known = [*self._others.values(), (now, self.status())]
        return sorted((_row(one, now - when) for when, one in known), key=lambda row: row.name)

    def endpoints(self, tailnet: TailnetName) -> list[Endpoint]:
        """Return where this projection alone is asked; it answers in doubt, too."""
        return [
            Endpoint(
                name=f"projection-{verb}",
                subject=subjects.projection(tailnet, self.name, verb),
                respond=self._responder(verb),
            )
            for verb in ASKED
        ]

    def _responder(self, verb: str) -> Callable[[Message], Awaitable[Answer]]:
        async def respond(_message: Message) -> Answer:
            if verb in (VERIFY, REBUILD):
                self.start(verb)
                await asyncio.sleep(0)  # its task has begun when this goes on
            return Answer(_ENCODER.encode(self.status()))

        return respond


def _row(status: ProjectionStatus, heard: float) -> ProjectionRow:
    said = msgspec.structs.asdict(status)
    if heard > SILENT_SECONDS:
        said["state"] = "silent"
    return ProjectionRow(**said, heard=round(heard, 3))
