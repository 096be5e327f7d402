"""`netmap replay`: what comes of a log is the same however it is read, and the first record that cannot be read is named."""

from collections.abc import Sequence

import pytest

from engine.domain.errors import Invalid
from engine.domain.values import Position
from engine.ports import EventReader, Fault, Recorded
from projections import replaying
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.replaying import replay
from tests.kit.fakes import VirtualClock
from tests.kit.histories import Step
from tests.kit.logs import Written

COURSE: list[Step] = [
    ("user", 0, 0),
    *[("node", n, n) for n in range(8)],
    ("peer", 0, 0),
    ("connect", 0, 0),
    ("policy", 1, 0),
    *[("rename", n, n) for n in range(8)],
    ("disconnect", 0, 0),
]


async def written() -> Written:
    log = await Written().open()
    await log.write(*COURSE)
    return log


def there(log: Written, position: int) -> NetmapState:
    state = NetmapState()
    for record in log.records:
        if record.position <= position:
            fold(state, record)
    return state


async def test_it_comes_to_what_a_projection_holds() -> None:
    log = await written()
    head, told = log.records[-1], list[tuple[int, int]]()
    done = await replay(log.reader(), VirtualClock(), tell=lambda *said: told.append(said))
    state = there(log, head.position)
    assert (done.position, done.records, done.record) == (head.position, len(log.records), head.digest)
    assert (done.digest, done.objects, done.nodes) == (state.state_digest(), len(state.objects), 8)
    assert (done.why, done.digests) == ("", ())
    assert told == [(head.position, len(log.records))]


@pytest.mark.parametrize("page", [1, 2, 3, 1_000])
async def test_the_digests_on_the_way_are_the_same_however_the_log_is_read(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "PAGE", page)
    log = await written()
    done = await replay(log.reader(), VirtualClock(), every=4)
    head = log.records[-1].position
    assert [mark.position for mark in done.digests] == list(range(4, head, 4))
    for mark in done.digests:
        assert mark.digest == there(log, mark.position).state_digest()


async def test_it_stops_at_a_moment() -> None:
    log = await written()
    then = log.records[6]
    for at in (then.position, str(then.position)):
        done = await replay(log.reader(), VirtualClock(), at=at)
        assert (done.position, done.digest) == (then.position, there(log, then.position).state_digest())
    with pytest.raises(Invalid):
        await replay(log.reader(), VirtualClock(), at="yesterday")


async def test_a_log_without_records_is_nothing() -> None:
    log = await Written().open()
    done = await replay(log.reader(), VirtualClock())
    assert (done.position, done.records, done.objects) == (0, 0, 0)


class Broken:
    """A reader to which one record means nothing."""

    def __init__(self, inner: EventReader, bad: Position) -> None:
        self.inner, self.bad = inner, bad

    async def read(self, after: Position, limit: int = 1_000) -> Sequence[Recorded]:
        records = await self.inner.read(after, limit)
        if any(record.position == self.bad for record in records):
            raise Fault(f"the record at {self.bad} is of an unknown type: Nonsense.v1")
        return records

    async def close(self) -> None:
        await self.inner.close()


async def test_the_first_record_that_cannot_be_read_is_named_and_all_before_it_is_taken() -> None:
    log = await written()
    bad = log.records[9].position
    done = await replay(Broken(log.reader(), bad), VirtualClock())
    before = log.records[8].position
    assert (done.position, done.records) == (before, 9)
    assert str(bad) in done.why
    assert done.digest == there(log, before).state_digest()
