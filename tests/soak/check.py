"""Holds what a run wrote down against its log, and says what is wrong: `python -m tests.soak check FOLDER`.

A frame does not say at which position it was made. So what a client holds after it is right if the log entitled its node to
exactly that at some position: not after the head when the frame was there, not before the position of the frame that
came earlier, and for the first frame of a session not before what had been acknowledged when it was asked for (F4).

Rule 1: every frame is judged; nothing is sampled.
Rule 2: it reads the folder and nothing else; the same folder has the same findings, for ever.
"""

from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from engine.domain.events import NodeRegistered
from engine.ports import Recorded
from tests.soak.records import MODULUS, Closed, Ended, Entry, Framed, Opened, digest
from tests.soak.world import World, after

Line = Opened | Framed | Closed | Ended
NOBODY: Final = 0
"""The sum of a node that is not in the tailnet."""
MOST_WORDS: Final = 6
"""How many entries of a difference are told."""


class Finding(msgspec.Struct, frozen=True):
    """Something that should not have happened: the rule that it breaks, whose it is, and what."""

    rule: str
    where: str
    what: str


class Course:
    """What one node is entitled to over the whole log: for each stretch its first position, that record's time, and the sum."""

    def __init__(self) -> None:
        self.positions = array("q")
        self.times = array("q")
        self.sums = array("Q")
        self._where: defaultdict[int, list[int]] = defaultdict(list)

    def add(self, position: int, at: int, total: int) -> None:
        if not self.sums or self.sums[-1] != total:
            self._where[total].append(len(self.sums))
            self.positions.append(position)
            self.times.append(at)
            self.sums.append(total)

    def place(self, total: int, start: int, floor: int, at: int) -> int | None:
        """The first stretch from `start` on that has the sum, reaches beyond the floor and had begun at that time."""
        found = self._where.get(total, [])
        for index in found[bisect_left(found, start) :]:
            if self.times[index] > at:
                return None
            if index + 1 == len(self.sums) or self.positions[index + 1] > floor:
                return index
        return None

    def had(self, total: int, before: int) -> bool:
        """Whether a stretch before this one has the sum."""
        return any(index < before for index in self._where.get(total, []))


def courses(records: Iterable[Recorded]) -> dict[int, Course]:
    """What every node is entitled to over the log."""
    world = World()
    found: defaultdict[int, Course] = defaultdict(Course)
    for record in records:
        touched = world.apply(record.event)
        sums = world.sums(touched)
        for number in touched:
            found[number].add(record.position, record.envelope.at, sums.get(number, NOBODY))
    return dict(found)


def node_ids(records: Iterable[Recorded]) -> dict[str, int]:
    """The node of each node key."""
    return {r.event.node_key: r.event.node for r in records if isinstance(r.event, NodeRegistered)}


class Floors:
    """What had been acknowledged at a time."""

    def __init__(self, acknowledged: Iterable[tuple[int, int]]) -> None:
        """Take (time, position) of each answer."""
        self._times: list[int] = []
        self._positions: list[int] = []
        for at, position in sorted(acknowledged):
            self._times.append(at)
            self._positions.append(max(position, self._positions[-1] if self._positions else 0))

    def before(self, at: int) -> int:
        """The highest position that was acknowledged before that millisecond."""
        index = bisect_left(self._times, at)
        return self._positions[index - 1] if index else 0


class Client:
    """One client's life, frame by frame."""

    def __init__(self, number: int, course: Course, floors: Floors) -> None:
        self.number = number
        self.frames = 0
        self.checks = 0
        """Frames times the peers that the client held after each."""
        self.sessions = 0
        self.held: dict[int, Entry] = {}
        self.is_connected = False
        self.settled_at: int | None = None
        """Since when it holds, in its present session, what the log says at its end; None: it does not."""
        self._course = course
        self._floors = floors
        self._place = 0
        self._sum = 0
        self._asked = 0

    def take(self, seen: Line) -> Iterator[Finding]:
        """Judge the next line of the client's history."""
        match seen:
            case Opened():
                self._asked = seen.at
                self.sessions += 1
            case Framed():
                yield from self._frame(seen)
            case Closed():
                self.is_connected, self.settled_at = False, None
                if seen.rejected:
                    yield self._finding("frame.rejected", seen.at, seen.rejected)
            case Ended():
                self.is_connected = seen.is_connected

    def _frame(self, frame: Framed) -> Iterator[Finding]:
        self.frames += 1
        self._hold(frame)
        self.checks += len(self.held)
        yield from self._inside(frame)
        floor = self._floors.before(self._asked) if frame.is_first else 0
        place = self._course.place(self._sum, self._place, floor, frame.at)
        if place is None:
            yield self._wrong(frame, floor)
        else:
            self._place = place
        if self._sum != self._course.sums[-1]:
            self.settled_at = None
        elif self.settled_at is None or frame.is_first:
            self.settled_at = frame.at

    def _hold(self, frame: Framed) -> None:
        if frame.is_first:
            self.held, self._sum, self.is_connected = {}, 0, True
        for number in (*frame.gone, *(entry.id for entry in frame.put)):
            was = self.held.pop(number, None)
            self._sum -= 0 if was is None else digest(was)
        for entry in frame.put:
            self.held[entry.id] = entry
            self._sum += digest(entry)
        self._sum %= MODULUS

    def _inside(self, frame: Framed) -> Iterator[Finding]:
        """What is wrong with a frame whatever the log says."""
        if frame.watchwords:
            yield self._finding("frame.canary", frame.at, f"a watchword: {', '.join(frame.watchwords)}")
        if frame.astray:
            what = f"says something about {list(frame.astray)}, which the client does not hold"
            yield self._finding("frame.astray", frame.at, what)
        if frame.strangers:
            what = f"takes away {list(frame.strangers)}, which the client did not hold"
            yield self._finding("frame.stranger", frame.at, what)
        if frame.complaints:
            yield self._finding("frame.unusable", frame.at, "; ".join(frame.complaints))

    def _wrong(self, frame: Framed, floor: int) -> Finding:
        """Say which rule a frame breaks that fits nowhere."""
        course = self._course
        if course.place(self._sum, self._place, 0, frame.at) is not None:
            return self._finding(
                "frame.below", frame.at, f"is older than position {floor}, acknowledged before"
            )
        if course.had(self._sum, self._place):
            return self._finding("frame.past", frame.at, "goes back to what was before")
        if course.place(self._sum, self._place, 0, 1 << 62) is not None:
            return self._finding("frame.early", frame.at, "shows what was in the log only later")
        return self._finding("frame.wrong", frame.at, "holds what it was never entitled to at one position")

    def _finding(self, rule: str, at: int, what: str) -> Finding:
        return Finding(rule, f"client {self.number}, frame {self.frames}, at {at}", what)

    @property
    def place(self) -> tuple[int, int]:
        """From which position, to which, the client's last good frame may be."""
        positions = self._course.positions
        end = positions[self._place + 1] if self._place + 1 < len(positions) else positions[-1] + 1
        return positions[self._place], end


def nearest(records: Sequence[Recorded], node: int, client: Client) -> str:
    """What a client holds beside, and lacks of, what it was entitled to where it last was right, and at the end."""
    held = frozenset(client.held.values())
    said = []
    for name, position in (("then", client.place[0]), ("at the end", records[-1].position)):
        may = after([r.event for r in records if r.position <= position]).entries(node)
        more, less = sorted(held - may, key=_id)[:MOST_WORDS], sorted(may - held, key=_id)[:MOST_WORDS]
        said.append(
            f"{name} ({position}) more: {[_short(e) for e in more]}, less: {[_short(e) for e in less]}"
        )
    return "; ".join(said)


def _id(entry: Entry) -> int:
    return entry.id


def _short(entry: Entry) -> str:
    return f"{entry.id} {' '.join(text[:24] for text in entry.fields)}"


def judge_frames(
    lines: Iterable[Line],
    clients: Mapping[int, Client],
    records: Sequence[Recorded],
    nodes: Mapping[int, int],
) -> Iterator[Finding]:
    """Judge the clients' lines, in their order for each client; the first of a client's frames that is wrong is explained."""
    explained: Counter[int] = Counter()
    for line in lines:
        client = clients[line.client]
        for finding in client.take(line):
            told = finding
            if finding.rule in ("frame.wrong", "frame.past") and not explained[line.client]:
                explained[line.client] += 1
                if explained.total() <= MOST_WORDS:
                    why = nearest(records, nodes[line.client], client)
                    told = msgspec.structs.replace(finding, what=f"{finding.what}; {why}")
            yield told
