"""Holds what clients of a fleet were shown against the log, with the oracle and the client's merge rules of the tests.

Rule 1: a circle is users who may see each other at some time; of the log a judge of one client reads what concerns its
        circle. Whoever is shown somebody from outside of it holds what no position entitles it to, and is found.
Rule 2: a session begins at or above where the log's head was `SLACK_MILLIS` before its first frame was whole (F4, with time
        for an answer of the operator's, the question, and the way of a map in a storm).
Rule 3: a client that is connected when it is judged holds what the head entitles it to: no change was lost.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self

from bench.viewer import text_of
from engine.adapters.clock import SystemClock
from engine.adapters.store.opening import open_reader
from engine.domain.events import CommandHandled, Event, NodeRegistered
from engine.domain.values import DEFAULT_TAILNET, Millis, Position
from engine.ports import Recorded
from tests.kit import roaming
from tests.kit.client_view import ClientView
from tests.kit.go_json import Rejected
from tests.kit.sights import Sight, Stretch, complaints, entitled

SHOWN: Final = 20
"""Complaints that are told."""
SLACK_MILLIS: Final = 10_000


class Frame(NamedTuple):
    """A map frame, compressed, and when it was whole, on the monotonic clock."""

    at: float
    octets: bytes


class Court:
    """The log, and who is in which circle; `wall` is what the wall clock says at 0 of the monotonic one, in milliseconds."""

    def __init__(self, records: Sequence[Recorded], circles: Sequence[Sequence[int]], wall: float) -> None:
        self._wall: Final = wall
        self._records: Final = [record for record in records if not isinstance(record.event, CommandHandled)]
        self._users: Final = {
            int(record.event.node): int(record.event.user)
            for record in self._records
            if isinstance(record.event, NodeRegistered)
        }
        circle_of = {user: frozenset(circle) for circle in circles for user in circle}
        self._circles: Final = {
            user: circle_of.get(user, frozenset({user})) for user in set(self._users.values())
        }
        self._whole: Final = not circles

    @classmethod
    async def of(cls, store: str, circles: Sequence[Sequence[int]]) -> Self:
        """Read the log of a store; without circles everybody may see everybody."""
        reader, records = open_reader(store, tailnet=DEFAULT_TAILNET), list[Recorded]()
        try:
            while found := await reader.read(records[-1].position if records else Position(0)):
                records += found
        finally:
            await reader.close()
        clock = SystemClock()
        return cls(records, circles, clock.now() - clock.monotonic() * 1_000)

    def complaints(self, node: int, sessions: Sequence[Sequence[Frame]], *, is_there: bool) -> list[str]:
        """Say what is wrong with what a node's client was shown in its sessions."""
        found: list[str] = []
        sights = list(self._sights(sessions, found))
        if not sights:
            return [f"node {node}: was shown nothing", *found]
        stretches = self._course(node, sights[0].at)
        found += complaints(sights, stretches)
        if is_there and sights[-1].held != stretches[-1].may:
            found.append("is not where the head is")
        return [f"node {node}: {what}" for what in found]

    def _sights(self, sessions: Sequence[Sequence[Frame]], found: list[str]) -> Iterator[Sight]:
        for frames in sessions:
            floor = self._head(self._millis(frames[0].at) - SLACK_MILLIS) if frames else Position(0)
            view, before = ClientView(), frozenset[int]()
            for frame in frames:
                try:
                    told = view.apply(text_of(frame.octets))
                except Rejected as error:
                    found.append(f"a real client rejects a frame: {error}")
                    break
                if told.get("KeepAlive"):
                    continue
                yield Sight(
                    at=Millis(self._millis(frame.at)),
                    floor=floor,
                    held=roaming.held(view),
                    told=roaming.told_of(told),
                    strangers=frozenset(told.get("PeersRemoved") or ()) - before,
                )
                floor, before = Position(0), frozenset(view.peers)

    def _millis(self, at: float) -> int:
        return int(self._wall + at * 1_000) + 1

    def _head(self, millis: int) -> Position:
        place = bisect_left(self._records, millis, key=lambda record: record.envelope.at)
        return self._records[place - 1].position if place else Position(0)

    def _course(self, node: int, since: Millis) -> list[Stretch]:
        concerned = self._concerning(node)
        start = max(
            0, bisect_left(concerned, since - SLACK_MILLIS, key=lambda record: record.envelope.at) - 1
        )
        events: list[Event] = [record.event for record in concerned[:start]]
        stretches: list[Stretch] = []
        for record in concerned[start:]:
            events.append(record.event)
            may = entitled(events, node)
            if not stretches or stretches[-1].may != may:
                stretches.append(Stretch(record.position, record.envelope.at, may))
        return stretches

    def _concerning(self, node: int) -> list[Recorded]:
        if self._whole:
            return self._records
        circle = self._circles[self._users[node]]
        return [r for r in self._records if self._is_of(getattr(r.event, "node", None), circle)]

    def _is_of(self, node: int | None, circle: frozenset[int]) -> bool:
        """An event about no node is of everybody's concern."""
        return node is None or self._users.get(int(node)) in circle
