"""A projection that is wrong is found, by itself or by another one, and made right from the log; what is right stays."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.shelf import FileShelf, MemoryShelf
from engine.contracts import subjects
from engine.contracts.netmap import Change, Delta, NodeObject, Snapshot, Verdict
from engine.contracts.projections import ProjectionStatus
from engine.contracts.requests import ErrorReply
from engine.domain.values import DEFAULT_TAILNET, NodeId, Position
from engine.ports import Bus, Message
from projections import watch as watching
from projections.live import FRESH_SECONDS
from projections.moments import SUFFIX
from projections.netmap.state import snapshot_of
from projections.runner import Projection
from projections.shadow import Shadow
from tests.kit.fakes import VirtualClock
from tests.kit.histories import Step
from tests.kit.holder import Holder
from tests.kit.logs import Written

COURSE: list[Step] = [("user", 0, 0), *[("node", n, n) for n in range(6)], ("peer", 0, 0), ("connect", 0, 0)]


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Scene:
    def __init__(self) -> None:
        self.log = Written()
        self.hub = Hub()
        self.clock = VirtualClock()
        self.heard: list[Delta] = []
        self.stop = asyncio.Event()

    def projection(self, name: str) -> Projection:
        return Projection(MemoryBus(self.hub), self.log.reader(), DEFAULT_TAILNET, self.clock, name=name)

    @property
    def bus(self) -> Bus:
        return MemoryBus(self.hub)

    async def ask(self, name: str, verb: str) -> ProjectionStatus:
        reply = await self.bus.request(subjects.projection(DEFAULT_TAILNET, name, verb), b"", timeout=2)
        return msgspec.json.decode(reply.data, type=ProjectionStatus)

    async def done(self, name: str, verb: str) -> ProjectionStatus:
        """Have it compare, and wait for what comes of it."""
        said = await self.ask(name, verb)
        async with asyncio.timeout(5):
            while said.check is None or said.check.running:
                await asyncio.sleep(0.002)
                said = await self.ask(name, "get")
        return said

    async def listen(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            self.heard.append(msgspec.json.decode(message.data, type=Delta))


@contextlib.asynccontextmanager
async def scene(*names: str) -> AsyncIterator[tuple[Scene, list[Projection]]]:
    at = Scene()
    await at.log.open()
    await at.log.write(*COURSE)
    listening = asyncio.create_task(at.listen(await at.bus.subscribe(subjects.map_delta(DEFAULT_TAILNET))))
    found = [at.projection(name) for name in names]
    tasks = [asyncio.create_task(one.run(at.stop)) for one in found]
    for one in found:
        await one.ready.wait()
    yield at, found
    at.stop.set()
    for task in tasks:
        await task
    listening.cancel()


def spoil(projection: Projection, node: int = 1) -> None:
    """Turn what is held under a key into something else, behind the fold's back."""
    state = projection.live.state
    held = state.objects[f"node/{node}"]
    assert isinstance(held.value, NodeObject)
    other = msgspec.structs.replace(held.value, ipv4="100.64.9.9")
    state.objects[f"node/{node}"] = msgspec.structs.replace(held, value=other)


def misfold(projection: Projection, node: int = 1) -> None:
    """Let the fold itself put something else there: its digest is that of what it holds."""
    spoil(projection, node)
    projection.live.state._digest.touch(f"node/{node}")


def right(projection: Projection) -> bool:
    shadow_of = projection.live.state.objects["node/1"].value
    return isinstance(shadow_of, NodeObject) and shadow_of.ipv4 != "100.64.9.9"


async def test_what_is_told_names_the_state_and_who_tells_it() -> None:
    async with scene("p1") as (at, [one]):
        await at.log.write(("rename", 1, 5))
        await until(lambda: any(delta.changes for delta in at.heard))
        digest = one.live.state.state_digest()
        assert (at.heard[-1].digest, at.heard[-1].by) == (digest, "p1")
        assert snapshot_of(one.live.state).digest == digest


async def test_two_that_hold_the_same_compare_and_go_on() -> None:
    async with scene("p1", "p2") as (at, pair):
        for number in range(3):
            await at.log.write(("rename", 1, number))
            at.clock.advance(1.1)
            await until(lambda: all(one.watch.agreement.compared > 0 for one in pair))
        assert [one.watch.disagreements for one in pair] == [0, 0]


async def test_of_two_that_disagree_the_wrong_one_is_made_anew_and_the_right_one_stays() -> None:
    async with scene("p1", "p2") as (at, [bad, good]):
        misfold(bad)
        stays = good.live.state
        await at.log.write(("rename", 2, 7))
        at.clock.advance(1.1)
        await until(lambda: bad.watch.rebuilds == 1 and not bad.live.doubt and not good.live.doubt)
        assert right(bad)
        assert good.live.state is stays
        assert good.watch.rebuilds == 0
        assert bad.live.state.state_digest() == stays.state_digest()
        check = bad.watch.check
        assert check is not None
        assert check.swapped
        assert check.difference is not None
        assert (check.difference.what, check.difference.key) == ("netmap", "node/1")
        assert b"100.64.9.9" in bytes(check.difference.live)
        assert b"100.64.9.9" not in bytes(check.difference.rebuilt)


async def test_who_was_served_by_the_wrong_one_has_what_is_right_soon_after() -> None:
    async with scene("p1") as (at, [bad]):
        misfold(bad)
        holder = Holder()
        holder.load(snapshot_of(bad.live.state))
        said = await at.done("p1", "rebuild")
        assert said.check is not None
        assert said.check.swapped
        at.heard.clear()
        at.clock.advance(1.1)
        await until(lambda: bool(at.heard))
        assert at.heard[-1].digest != snapshot_of_holder(holder).digest
        holder.load(snapshot_of(bad.live.state))
        assert holder.receive(at.heard[-1]) is Verdict.IGNORE


def snapshot_of_holder(holder: Holder) -> Snapshot:
    from engine.contracts.digest import StateDigest

    digest = StateDigest()
    for key in holder.objects:
        digest.touch(key)
    text = digest.text(lambda key: holder.objects[key].value)
    return Snapshot(epoch=holder.epoch, position=holder.position, objects=(), digest=text)


async def test_a_spoilt_object_is_found_by_looking_again_and_put_right() -> None:
    async with scene("p1") as (_, [one]):
        spoil(one)
        one.watch.look()
        assert one.live.doubt
        await until(lambda: not one.live.doubt)
        assert right(one)
        assert (one.watch.disagreements, one.watch.rebuilds) == (1, 1)
        one.watch.look()
        assert not one.live.doubt


async def test_in_doubt_nothing_is_told_and_nothing_answered_but_how_it_is() -> None:
    async with scene("p1") as (at, [one]):
        await until(lambda: bool(at.heard))
        one.live.doubt = "somebody says otherwise"
        at.heard.clear()
        await at.log.write(("rename", 1, 3))
        await until(lambda: one.live.state.position == at.log.records[-1].position)
        at.clock.advance(2)
        subject = subjects.query(DEFAULT_TAILNET, "snapshot", "get")
        reply = await at.bus.request(subject, b"{}", timeout=1)
        problem = msgspec.json.decode(reply.data, type=ErrorReply).error
        assert (problem.code, problem.retryable) == ("projection.doubtful", True)
        assert at.heard == []
        assert (await at.ask("p1", "get")).state == "in doubt"
        one.live.doubt = ""
        at.clock.advance(2)
        await until(lambda: bool(at.heard))


async def test_whom_the_log_contradicts_brings_nobody_into_doubt_again() -> None:
    async with scene("p1") as (at, [one]):
        state = one.live.state

        async def lie() -> None:
            digest = f"{state.state_digest().partition('-')[0]}-{'0' * 64}"
            delta = Delta(
                epoch=state.epoch, prev=state.position, cur=state.position, digest=digest, by="liar"
            )
            await at.bus.publish(subjects.map_delta(DEFAULT_TAILNET), msgspec.json.encode(delta))

        await until(lambda: bool(at.heard))
        await lie()
        await until(lambda: one.watch.disagreements == 1 and not one.live.doubt)
        assert (one.watch.rebuilds, one.live.state) == (0, state)
        first = one.watch.check
        await lie()
        await until(lambda: one.watch.disagreements == 2)
        assert (one.live.doubt, one.watch.check) == ("", first)
        at.clock.advance(watching.CONVINCED_SECONDS + 1)
        await lie()
        await until(lambda: one.watch.check is not first and not one.live.doubt)


async def test_verify_says_what_differs_and_changes_nothing() -> None:
    async with scene("p1") as (at, [one]):
        sound = (await at.done("p1", "verify")).check
        assert sound is not None
        assert (sound.difference, sound.why, sound.records) == (None, "", len(at.log.records))
        assert sound.digest == sound.rebuilt
        misfold(one, 3)
        check = (await at.done("p1", "verify")).check
        assert check is not None
        assert check.difference is not None
        assert (check.difference.key, check.swapped) == ("node/3", False)
        assert check.digest != check.rebuilt
        assert one.watch.rebuilds == 0


async def test_lists_that_differ_are_found_and_no_secret_is_told() -> None:
    async with scene("p1") as (at, [one]):
        user = next(iter(one.live.state.tailnet.users.values()))
        one.live.state.tailnet.users[user.id] = msgspec.structs.replace(user, display_name="somebody else")
        check = (await at.done("p1", "rebuild")).check
        assert check is not None
        assert check.difference is not None
        assert check.difference.what == "lists"
        assert check.difference.key == f"tables.users[{user.id}]"
        assert (bytes(check.difference.live), check.swapped) == (b"null", True)
        assert one.live.state.tailnet.users[user.id] == user


async def test_a_kept_moment_that_is_not_what_the_log_makes_is_found_and_let_go(tmp_path: Path) -> None:
    log = await Written().open()
    await log.write(*COURSE)
    for shelf in (MemoryShelf(), FileShelf(tmp_path, SUFFIX)):
        projection = Projection(MemoryBus(Hub()), log.reader(), DEFAULT_TAILNET, VirtualClock(), shelf)
        projection.moments._spacing = lambda _objects: 1
        for record in log.records:
            projection.live.take([record])
            if record.position == log.records[-2].position:
                misfold(projection)
            await projection.moments.note(projection.live)
        await projection.moments.settled()
        places = list(projection.moments.places)
        shadow = Shadow(projection.live, projection.moments)
        difference = await shadow.follow()
        assert difference is not None
        assert difference.key == "node/1", "the netmap comes first"
        assert shadow.moments == len(places)
        assert shadow.bad == places[-2:]
        projection.watch.start("rebuild")
        await projection.watch.settled()
        assert projection.moments.places == places[:-2]


async def test_a_moment_that_is_kept_while_a_wrong_state_is_replaced_goes_with_it() -> None:
    log = await Written().open()
    await log.write(*COURSE)
    projection = Projection(MemoryBus(Hub()), log.reader(), DEFAULT_TAILNET, VirtualClock())
    moments = projection.moments
    moments._spacing = lambda _objects: 1
    for record in log.records:
        projection.live.take([record])
    misfold(projection)
    projection.watch.start("rebuild")
    await asyncio.sleep(0)  # it has looked which moments there are
    await moments.note(projection.live)
    await moments.settled()
    assert len(moments.places) == 1
    await projection.watch.settled()
    assert projection.watch.rebuilds == 1
    assert moments.places == []


async def test_in_doubt_no_moment_is_kept() -> None:
    async with scene("p1") as (at, [one]):
        one.moments._spacing = lambda _objects: 1
        one.live.doubt = "somebody says otherwise"
        await at.log.write(("rename", 1, 3))
        await until(lambda: one.live.state.position == at.log.records[-1].position)
        await one.moments.settled()
        assert one.moments.places == []
        one.live.doubt = ""
        await at.log.write(("rename", 1, 4))
        await until(lambda: one.live.state.position == at.log.records[-1].position)
        await until(lambda: bool(one.moments.places))


async def test_who_has_not_seen_the_end_for_a_while_looks_before_it_answers() -> None:
    async with scene("p1") as (at, [one]):
        at.clock.advance(FRESH_SECONDS + 5)
        subject = subjects.query(DEFAULT_TAILNET, "node", "get")
        await at.log.write(("rename", 1, 9))
        reply = await at.bus.request(subject, msgspec.json.encode({"node": 1}), timeout=3)
        assert msgspec.json.decode(reply.data)["position"] == at.log.records[-1].position
        assert one.live.lag_seconds() <= FRESH_SECONDS


async def test_a_lag_is_told_in_positions_and_seconds() -> None:
    async with scene("p1") as (at, [one]):
        one.live.heard_head(Position(one.live.state.position + 10))
        at.clock.advance(7)
        said = one.watch.status()
        assert (said.lag, said.lag_seconds, said.state) == (10, 7.0, "behind")


@pytest.mark.parametrize("key", ["node/1", "node/999"])
async def test_an_object_too_many_or_too_few_is_named(key: str) -> None:
    log = await Written().open()
    await log.write(*COURSE)
    projection = Projection(MemoryBus(Hub()), log.reader(), DEFAULT_TAILNET, VirtualClock())
    projection.live.take(log.records)
    state = projection.live.state
    if key in state.objects:
        del state.objects[key]
    else:
        extra = state.objects["node/1"].value
        assert isinstance(extra, NodeObject)
        value = msgspec.structs.replace(extra, id=NodeId(999))
        state.objects[key] = Change(key=key, at=state.position, value=value)
    difference = await Shadow(projection.live).follow()
    assert difference is not None
    assert difference.key == key
    assert (bytes(difference.live) == b"null") is (key == "node/1")
    assert (bytes(difference.rebuilt) == b"null") is (key != "node/1")
