"""The chain (F1): whatever becomes of the deltas on their way, a holder is never wrong where it says that it is."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.chunks import BadSnapshot, assemble, split
from engine.contracts.netmap import Change, Delta, Snapshot, Verdict, judge
from engine.domain.events import Event, LogStarted, NodeRegistered, PeerRegistered, UserCreated
from engine.domain.values import Epoch, Position
from engine.ports import Recorded
from frontends.control.replica import Replica
from projections.netmap.deltas import Step as Folded
from projections.netmap.deltas import bookmark, deltas
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from tests.kit.histories import Step, events_of, history, records, steps
from tests.kit.holder import Holder

OWN = Position(10)
OLD, NEW = Epoch("old"), Epoch("new")
ORDERINGS = [
    ("wholly before", 5, 9, Verdict.IGNORE),
    ("ends where the holder is", 7, 10, Verdict.IGNORE),
    ("straddles the holder", 8, 12, Verdict.APPLY),
    ("begins where the holder is", 10, 13, Verdict.APPLY),
    ("begins after the holder", 11, 14, Verdict.RESYNC),
]
MARKS = [("behind", 9, Verdict.IGNORE), ("same", 10, Verdict.IGNORE), ("ahead", 11, Verdict.RESYNC)]


@pytest.mark.parametrize(("name", "prev", "cur", "verdict"), ORDERINGS)
@pytest.mark.parametrize("epoch", ["same", OLD, NEW])
def test_every_ordering_in_every_epoch_has_one_verdict(
    name: str, prev: int, cur: int, verdict: Verdict, epoch: Epoch
) -> None:
    delta = Delta(epoch=epoch, prev=Position(prev), cur=Position(cur))
    assert judge(Epoch("same"), OWN, delta) is (verdict if epoch == "same" else Verdict.RESYNC), name


@pytest.mark.parametrize(("name", "at", "verdict"), MARKS)
def test_a_bookmark_tells_whether_something_was_missed(name: str, at: int, verdict: Verdict) -> None:
    delta = msgspec.json.decode(bookmark(Epoch("same"), Position(at)), type=Delta)
    assert judge(Epoch("same"), OWN, delta) is verdict, name


class Publisher:
    """A projection as the bus sees it: what it would publish, and the snapshot at each position."""

    def __init__(self, log: Sequence[Recorded], cuts: Sequence[int], *, limit: int = 600) -> None:
        state = NetmapState()
        self.truth: dict[tuple[Epoch, Position], dict[str, Change]] = {}
        self.snapshots: list[Snapshot] = []
        self.sent: list[Delta] = []
        batch: list[Folded] = []
        prev, turn = Position(0), 0
        for number, record in enumerate(log):
            changes = fold(state, record)
            batch.append(Folded(state.epoch, state.position, changes))
            self.truth[state.epoch, state.position] = dict(state.objects)
            self.snapshots.append(snapshot_of(state))
            if len(batch) >= cuts[turn % len(cuts)] or number == len(log) - 1:
                self.sent += [self.read(data) for data in deltas(prev, batch, limit=limit)]
                self.sent.append(self.read(bookmark(state.epoch, state.position)))
                prev, batch, turn = state.position, [], turn + 1

    @staticmethod
    def read(data: bytes) -> Delta:
        return msgspec.json.decode(data, type=Delta)


def forked(course: Sequence[Step], tail: Sequence[Step], at: int) -> tuple[list[Recorded], list[Recorded]]:
    """A history, and another that was restored from a backup of it and then went its own way."""
    first = events_of(course)
    kept = first[: max(1, min(at, len(first)))]
    own: list[Event] = [*events_of([*course, *tail])[len(first) :]]
    return records(first), records([*kept, LogStarted(epoch=Epoch("restored")), *valid(kept, own)])


def valid(before: Sequence[Event], after: Sequence[Event]) -> list[Event]:
    """The later events that need nothing that the restored history lacks: registrations, settings."""
    known = {event.user for event in before if isinstance(event, UserCreated)}
    return [e for e in after if isinstance(e, NodeRegistered | PeerRegistered) and e.user in known]


def deliver(holder: Holder, publisher: Publisher, delta: Delta, pick: int, truth: object) -> None:
    """Give the delta; on a gap load some snapshot of that publisher; then look at the holder."""
    if holder.receive(delta) is Verdict.RESYNC:
        holder.load(publisher.snapshots[pick % len(publisher.snapshots)])
    right(holder, truth)


def right(holder: Holder, truth: object) -> None:
    assert isinstance(truth, dict)
    assert holder.objects == truth[holder.epoch, holder.position]


class Served(Holder):
    """The replica that frontends serve from, in the terms of the plain holder."""

    def __init__(self) -> None:
        super().__init__()
        self.replica = Replica()

    def load(self, snapshot: Snapshot) -> None:
        self.replica.load(snapshot)
        self.look()

    def receive(self, delta: Delta) -> Verdict:
        verdict, _ = self.replica.receive(delta)
        self.look()
        return verdict

    def look(self) -> None:
        self.epoch, self.position = self.replica.epoch, self.replica.position
        held = self.replica._objects.items()
        self.objects = {key: Change(key=key, at=at, value=value) for key, (at, value) in held}


holders = st.sampled_from([Holder, Served])
cuts = st.lists(st.integers(1, 7), min_size=1, max_size=4)
deliveries = st.lists(st.tuples(st.booleans(), st.integers(0, 200), st.integers(0, 200)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(holders, steps(longest=30), cuts, cuts, deliveries)
def test_a_holder_is_right_wherever_it_is_and_ends_at_the_truth(
    kind: type[Holder],
    course: list[Step],
    one: list[int],
    two: list[int],
    chosen: list[tuple[bool, int, int]],
) -> None:
    log = history(course)
    pair = (Publisher(log, one), Publisher(log, two, limit=2_000))
    truth = pair[0].truth
    holder = kind()
    holder.load(pair[0].snapshots[0])
    for which, index, pick in chosen:  # anything, in any order, any number of times, or never
        publisher = pair[which]
        deliver(holder, publisher, publisher.sent[index % len(publisher.sent)], pick, truth)
    for turn in range(2):  # the bus has healed: a last bookmark comes, and a snapshot is to be had
        deliver(holder, pair[turn], pair[turn].sent[-1], -1, truth)
    assert holder.position == log[-1].position
    assert holder.objects == pair[0].truth[holder.epoch, holder.position]


@settings(max_examples=60, deadline=None)
@given(holders, st.tuples(steps(longest=20), steps(longest=10), st.integers(1, 20)), cuts, deliveries)
def test_a_restored_history_replaces_the_abandoned_one(
    kind: type[Holder],
    fork: tuple[list[Step], list[Step], int],
    one: list[int],
    chosen: list[tuple[bool, int, int]],
) -> None:
    abandoned, restored = forked(*fork)
    pair = (Publisher(abandoned, one), Publisher(restored, one))
    truth = pair[0].truth | pair[1].truth
    holder = kind()
    holder.load(pair[0].snapshots[-1])
    for which, index, pick in chosen:  # a projection of the old history may still be about
        publisher = pair[which]
        deliver(holder, publisher, publisher.sent[index % len(publisher.sent)], pick, truth)
    deliver(holder, pair[1], pair[1].sent[-1], -1, truth)
    assert holder.epoch == pair[1].snapshots[-1].epoch
    assert holder.objects == pair[1].truth[holder.epoch, restored[-1].position]


@settings(max_examples=60, deadline=None)
@given(steps(longest=30, restores=False), cuts)
def test_an_unbroken_chain_of_small_enough_deltas_needs_no_second_snapshot(
    course: list[Step], one: list[int]
) -> None:
    publisher = Publisher(history(course), one, limit=1_000_000)
    holder = Holder()
    holder.load(publisher.snapshots[0])
    for delta in publisher.sent:
        assert holder.receive(delta) is not Verdict.RESYNC
        right(holder, publisher.truth)
    assert holder.position == publisher.snapshots[-1].position


class Careless(Holder):
    """Applies whatever comes, gaps too."""

    def receive(self, delta: Delta) -> Verdict:
        for change in delta.changes:
            self.put(change)
        self.position = max(self.position, delta.cur)
        return Verdict.APPLY


class Forgetful(Holder):
    """Does not skip what it has already: an older value may come back."""

    def receive(self, delta: Delta) -> Verdict:
        if delta.cur < self.position:
            for change in delta.changes:
                self.put(change)
        return super().receive(delta)


@pytest.mark.parametrize("kind", [Careless, Forgetful])
def test_a_careless_holder_is_found(kind: type[Holder]) -> None:
    course: list[Step] = [
        ("user", 0, 0),
        *[("node", 0, 0)] * 3,
        ("rename", 0, 1),
        ("delete", 1, 0),
        ("rename", 0, 2),
    ]
    publisher = Publisher(history(course), [1], limit=1_000_000)
    changing = [delta for delta in publisher.sent if delta.changes]
    order = [0, 4, 0, 1, 2, 3, 4, 5, 6, 3, 2, 7, 5, 4]

    def drive(holder: Holder) -> None:
        holder.load(publisher.snapshots[0])
        for index in order:
            deliver(holder, publisher, changing[index % len(changing)], -1, publisher.truth)

    drive(Holder())
    with pytest.raises((AssertionError, KeyError)):
        drive(kind())


@settings(max_examples=60, deadline=None)
@given(steps(longest=30, restores=False), st.integers(0, 100), cuts)
def test_a_snapshot_in_chunks_and_the_tail_are_the_whole_replay(
    course: list[Step], at: int, one: list[int]
) -> None:
    publisher = Publisher(history(course), one, limit=1_000_000)
    whole = publisher.snapshots[at % len(publisher.snapshots)]
    holder = Holder()
    holder.load(assemble(split(whole)))
    right(holder, publisher.truth)
    for delta in publisher.sent:
        assert holder.receive(delta) is not Verdict.RESYNC
    right(holder, publisher.truth)
    assert holder.position == publisher.snapshots[-1].position


@settings(max_examples=60, deadline=None)
@given(steps(longest=10), st.integers(0), st.integers(1, 255))
def test_an_altered_chunk_is_refused(course: list[Step], place: int, flip: int) -> None:
    (chunk,) = split(Publisher(history(course), [1]).snapshots[-1])
    data = bytearray(chunk.data)
    data[place % len(data)] ^= flip
    with pytest.raises(BadSnapshot):
        assemble((msgspec.structs.replace(chunk, data=bytes(data)),))


def test_what_is_too_large_is_cut_and_one_position_too_large_becomes_a_gap() -> None:
    log = history([("user", 0, 0)] * 3 + [("node", n, 0) for n in range(30)])
    publisher = Publisher(log, [1_000], limit=2_000)
    assert len(publisher.sent) > 5
    assert all(len(msgspec.json.encode(delta)) <= 2_000 for delta in publisher.sent)
    tiny = Publisher(log, [1_000], limit=200)
    holder = Holder()
    holder.load(tiny.snapshots[0])
    assert Verdict.RESYNC in {holder.receive(delta) for delta in tiny.sent}
    assert {delta.epoch for delta in tiny.sent} == {tiny.snapshots[-1].epoch}
