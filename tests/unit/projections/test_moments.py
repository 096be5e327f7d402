"""Moments on a shelf: which are kept, which is used, what is not believed; and that nobody notices but by the time it takes."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence

import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.shelf import MemoryShelf
from engine.contracts.chunks import encode as canonical
from engine.contracts.netmap import NetmapObject
from engine.domain.values import DEFAULT_TAILNET, Millis, Position
from engine.ports import EventReader, Fault, Recorded, Shelf
from projections.history import kept as packing
from projections.history.moment import AtPosition, AtTime, Moment
from projections.history.replay import Replay, is_after
from projections.live import Live
from projections.moments import EVERY, Moments, spacing_for
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from projections.past import Past
from projections.runner import Projection
from tests.kit.fakes import VirtualClock
from tests.kit.histories import Step
from tests.kit.logs import Written

COURSE: list[Step] = [
    ("user", 0, 0),
    *[("node", 0, 0)] * 3,
    ("peer", 0, 0),
    ("connect", 0, 0),
    ("policy", 1, 0),
    *[("rename", n, n) for n in range(12)],
    ("receipt", 0, 0),
    ("disconnect", 0, 0),
    *[("again", n, n) for n in range(12)],
]


def five(_objects: int) -> int:
    return 5


class Counting:
    """A reader that remembers after which positions it was asked for more than one record."""

    def __init__(self, inner: EventReader) -> None:
        self.inner = inner
        self.asked: list[Position] = []

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        if limit > 1:
            self.asked.append(after)
        return await self.inner.read(after, limit)

    async def close(self) -> None:
        await self.inner.close()


class Scene:
    """A log that one projection has followed, record by record, with a shelf beside it."""

    def __init__(self, log: Written, shelf: Shelf, every: int, most: int) -> None:
        self.log = log
        self.reader = Counting(log.reader())
        self.live = Live(self.reader, VirtualClock())
        self.moments = Moments(shelf, self.reader, spacing=lambda _objects: every, most=most)

    async def follow(self) -> "Scene":
        for record in self.log.records:
            self.live.take([record])
            await self.moments.note(self.live)
        await self.moments.settled()
        self.reader.asked.clear()
        return self

    @property
    def positions(self) -> list[int]:
        return [place.position for place in self.moments.places]

    def again(self, shelf: Shelf) -> Moments:
        return Moments(shelf, self.reader, spacing=five)


async def followed(shelf: Shelf, *, every: int = 5, most: int = 100) -> Scene:
    log = await Written().open()
    await log.write(*COURSE)
    return await Scene(log, shelf, every, most).follow()


Shown = dict[str, NetmapObject | None]


def shown(state: NetmapState) -> Shown:
    return {key: change.value for key, change in state.objects.items()}


def there(log: Written, moment: Moment) -> Shown:
    """What the fold held at the moment, from the beginning of the log."""
    state = NetmapState()
    for record in log.records:
        if not is_after(record, moment):
            fold(state, record)
    return shown(state)


async def test_one_is_kept_whenever_so_many_records_have_passed() -> None:
    at = await followed(MemoryShelf(), every=5)
    head = at.live.state.position
    assert at.positions == list(range(5, head + 1, 5))


@pytest.mark.parametrize(
    ("objects", "records"), [(0, EVERY), (EVERY, EVERY), (EVERY + 1, EVERY + 1), (10**6, 10**6)]
)
def test_the_larger_a_moment_the_fewer_are_kept(objects: int, records: int) -> None:
    assert spacing_for(objects) == records


async def test_before_so_many_have_passed_none_is_kept() -> None:
    at = await followed(MemoryShelf())
    moments = Moments(MemoryShelf(), at.reader, spacing=lambda objects: objects)
    live = Live(at.reader, VirtualClock())
    for record in at.log.records:
        live.take([record])
        await moments.note(live)
    await moments.settled()
    gaps = [b.position - a.position for a, b in itertools.pairwise(moments.places)]
    assert min(gaps) > 5
    assert len(moments.places) > 1


async def test_every_moment_of_the_past_is_what_a_replay_of_all_makes_of_it_and_costs_a_part() -> None:
    at = await followed(MemoryShelf())
    past = Past(at.live, at.moments)
    for record in at.log.records[:-1]:
        for moment in (AtPosition(record.position), AtTime(Millis(record.envelope.at + 1))):
            at.reader.asked.clear()
            then = await past.then(moment)
            assert shown(then.state) == there(at.log, moment)
            assert then.state.position == record.position
            replay = Replay(moment)
            replay.take(at.log.records)
            assert then.causes.tables() == replay.causes.tables()
            assert at.reader.asked[0] == record.position // 5 * 5


async def test_before_the_first_one_the_log_is_read_from_its_beginning() -> None:
    at = await followed(MemoryShelf())
    assert await at.moments.before(AtPosition(Position(4))) is None
    assert await at.moments.before(AtTime(Millis(0))) is None
    moment = AtPosition(Position(3))
    then = await Past(at.live, at.moments).then(moment)
    assert shown(then.state) == there(at.log, moment)


async def test_what_one_asked_for_is_its_own() -> None:
    at = await followed(MemoryShelf())
    moment = AtPosition(Position(5))
    one, other = await at.moments.before(moment), await at.moments.before(moment)
    assert one is not None
    assert other is not None
    one.tailnet.nodes.clear()
    assert other.tailnet.nodes


async def test_beyond_the_bound_the_smallest_gaps_go_and_never_the_newest() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf, every=2, most=4)
    assert len(at.positions) == 4
    assert at.positions[0] == 2
    assert at.positions[-1] == at.live.state.position // 2 * 2
    gaps = [later - earlier for earlier, later in zip(at.positions, at.positions[1:], strict=False)]
    assert max(gaps) <= at.live.state.position // 2
    assert {int(name.partition("-")[0]) for name in shelf.names()} == set(at.positions)


async def test_octets_are_bounded_too() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    most = sum(shelf.names().values()) // 2
    small = MemoryShelf()
    moments = Moments(small, at.reader, spacing=five, octets=most)
    live = Live(at.reader, VirtualClock())
    for record in at.log.records:
        live.take([record])
        await moments.note(live)
    await moments.settled()
    assert 0 < sum(small.names().values()) <= most
    assert moments.places[-1].position == at.positions[-1]


async def test_another_process_starts_from_the_newest() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    moments = at.again(shelf)
    await moments.open()
    assert [place.position for place in moments.places] == at.positions
    live = Live(at.reader, VirtualClock())
    assert await moments.resume(live)
    assert live.state.position == at.positions[-1]
    await moments.note(at.live)
    await moments.settled()
    assert [place.position for place in moments.places] == at.positions  # that one is there already


def newest_of(shelf: MemoryShelf) -> str:
    return max(shelf.held, key=lambda name: int(name.partition("-")[0]))


def damage(shelf: MemoryShelf) -> None:
    name = newest_of(shelf)
    shelf.held[name] = shelf.held[name][:-1] + b"\0\1"


def cut_off(shelf: MemoryShelf) -> None:
    name = newest_of(shelf)
    shelf.held[name] = shelf.held[name][:100]


def mistake_for_another(shelf: MemoryShelf) -> None:
    shelf.held[newest_of(shelf)] = shelf.held[next(iter(shelf.held))]


def take_away(shelf: MemoryShelf) -> None:
    shelf.held[newest_of(shelf)] = b""


@pytest.mark.parametrize("broken", [damage, cut_off, mistake_for_another, take_away])
async def test_a_broken_one_is_let_go_and_the_one_before_it_is_used(
    broken: Callable[[MemoryShelf], None],
) -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    name = newest_of(shelf)
    broken(shelf)
    moments = at.again(shelf)
    await moments.open()
    live = Live(at.reader, VirtualClock())
    assert await moments.resume(live)
    assert live.state.position == at.positions[-2]
    assert name not in shelf.names()


async def test_moments_of_another_log_are_let_go() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    other = await Written().open()
    await other.write(("user", 1, 0), *COURSE)
    moments = Moments(shelf, other.reader(), spacing=five)
    await moments.open()
    assert len(moments.places) == len(at.positions) > 3
    assert not await moments.resume(Live(at.reader, VirtualClock()))
    assert (moments.places, dict(shelf.names())) == ([], {})


async def test_moments_after_the_end_of_a_log_that_was_cut_off_are_let_go() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    shorter = await Written().open()
    await shorter.write(*COURSE[:12])
    moments = Moments(shelf, shorter.reader(), spacing=five)
    await moments.open()
    live = Live(at.reader, VirtualClock())
    assert await moments.resume(live)
    assert live.state.position == 10
    assert [place.position for place in moments.places] == [5, 10]


async def test_moments_of_another_fold_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    monkeypatch.setattr(packing, "SCHEMA", "0-another")
    moments = at.again(shelf)
    await moments.open()
    assert not await moments.resume(Live(at.reader, VirtualClock()))
    assert dict(shelf.names()) == {}


async def test_what_has_no_moments_name_is_let_go() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    held = set(shelf.names())
    for name in ("notes", "007-1", "5-", "0-0"):
        shelf.put(name, b"")
    moments = at.again(shelf)
    await moments.open()
    assert [place.position for place in moments.places] == at.positions
    assert set(shelf.names()) == held


class Full(MemoryShelf):
    def put(self, name: str, data: bytes) -> None:
        raise Fault(f"no space for {len(data)} octets of {name}")


class Unreadable(MemoryShelf):
    def names(self) -> Mapping[str, int]:
        raise Fault("no such folder")


async def test_a_full_shelf_costs_no_answer() -> None:
    at = await followed(Full())
    assert at.positions == []
    moment = AtPosition(Position(9))
    then = await Past(at.live, at.moments).then(moment)
    assert shown(then.state) == there(at.log, moment)


async def run_to_the_end(log: Written, reader: EventReader, shelf: Shelf) -> Projection:
    projection = Projection(MemoryBus(Hub()), reader, DEFAULT_TAILNET, VirtualClock(), shelf)
    stop = asyncio.Event()
    task = asyncio.create_task(projection.run(stop))
    async with asyncio.timeout(5):
        await projection.ready.wait()
    stop.set()
    await task
    return projection


async def test_a_projection_starts_from_the_newest_and_reads_only_what_follows() -> None:
    shelf = MemoryShelf()
    at = await followed(shelf)
    projection = await run_to_the_end(at.log, at.reader, shelf)
    assert at.reader.asked[0] == at.positions[-1] - 1  # it looks at the record before, too
    live = projection.live
    assert canonical(snapshot_of(live.state)) == canonical(snapshot_of(at.live.state))
    assert live.state.digest == at.live.state.digest
    assert live.causes.tables() == at.live.causes.tables()
    assert live.policies.all == at.live.policies.all
    assert live.receipts.since == at.positions[-1]


@pytest.mark.parametrize("shelf", [Unreadable(), Full(), MemoryShelf()])
async def test_without_any_it_reads_the_log_from_its_beginning(shelf: Shelf) -> None:
    at = await followed(MemoryShelf())
    projection = await run_to_the_end(at.log, at.reader, shelf)
    assert at.reader.asked[0] == 0
    assert canonical(snapshot_of(projection.live.state)) == canonical(snapshot_of(at.live.state))
    assert projection.live.receipts.since == 0
