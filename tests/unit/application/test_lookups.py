"""Host names are looked up while peers have them: what is news goes into the log, and failing takes nothing away (N27)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from engine.adapters.resolver.memory import MemoryResolver
from engine.adapters.store.memory import MemoryLog
from engine.application.lookups import AT_ONCE, LONGEST_PAUSE, LONGEST_SECONDS, Lookups
from engine.domain.commands import Command, RegisterPeer, RemovePeer, UpdatePeer
from engine.domain.events import PeerEndpointsResolved
from engine.domain.places import places_of
from engine.ports import Fault, LookedUp
from tests.kit.scenario import peer_id, peer_key
from tests.unit.application.world import Lab, order, running, user

HOME = "home.example.org"
SHORTEST = 30.0


class World:
    """An engine with one exit at a host name, and a resolver that is told what to find."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.resolver = MemoryResolver()
        self.lookups = Lookups(lab.engine, self.resolver, lab.clock, SHORTEST)
        self._ids = count()

    async def send(self, command: Command) -> None:
        await self.lab.engine.handle(order(command, f"id-{next(self._ids)}"))

    async def peer(self, name: str, *endpoints: str) -> None:
        command = RegisterPeer(
            name=name,
            user=1,
            public_key=peer_key(name),
            allowed_ips=("0.0.0.0/0", "::/0"),
            endpoints=endpoints,
        )
        await self.send(command)

    async def later(self, seconds: float) -> None:
        self.lab.clock.advance(seconds)
        await self.lookups.tick()

    async def found(self) -> list[PeerEndpointsResolved]:
        return [r.event for r in await self.lab.records() if isinstance(r.event, PeerEndpointsResolved)]

    def places(self, ordinal: int = 1) -> tuple[str, ...]:
        return places_of(self.lab.engine.tailnet.peers[peer_id(ordinal)])


@asynccontextmanager
async def world(*, empty: bool = False, log: MemoryLog | None = None) -> AsyncIterator[World]:
    async with running(log) as lab:
        made = World(lab)
        if log is None:
            await lab.engine.handle(user("ann"))
        if not empty and log is None:
            await made.peer("exit", f"{HOME}:51820")
        yield made


async def test_a_name_is_found_and_the_log_says_so_once() -> None:
    async with world() as w:
        w.resolver.tell(HOME, "192.0.2.9", seconds=60)
        await w.lookups.tick()
        assert w.places() == ("192.0.2.9:51820",)
        await w.later(60)
        assert w.resolver.asked == [HOME, HOME]
        assert len(await w.found()) == 1
        last = next(r for r in await w.lab.records() if isinstance(r.event, PeerEndpointsResolved))
        assert (last.envelope.actor, last.envelope.cause) == ("engine", "lookup")


async def test_an_answer_that_comes_back_is_news_each_time() -> None:
    async with world() as w:
        for address in ("192.0.2.9", "192.0.2.10", "192.0.2.9", "192.0.2.10"):
            w.resolver.tell(HOME, address)
            await w.later(60)
            assert w.places() == (f"{address}:51820",)
        assert len(await w.found()) == 4


async def test_the_server_says_how_long_an_answer_holds_within_bounds() -> None:
    async with world() as w:
        for seconds, holds in ((1.0, SHORTEST), (90.0, 90.0), (1e9, LONGEST_SECONDS)):
            w.resolver.tell(HOME, "192.0.2.9", seconds=seconds)
            await w.later(LONGEST_SECONDS)
            before = len(w.resolver.asked)
            await w.later(holds - 1)
            assert len(w.resolver.asked) == before
            await w.later(1)
            assert len(w.resolver.asked) == before + 1


async def test_a_failing_name_keeps_its_addresses_and_its_second_failure_is_told() -> None:
    async with world() as w:
        w.resolver.tell(HOME, "192.0.2.9", seconds=60)
        await w.lookups.tick()
        del w.resolver.names[HOME]
        await w.later(60)
        assert len(await w.found()) == 1
        await w.later(SHORTEST)
        [_, told] = await w.found()
        assert (told.hosts[0].addresses, told.hosts[0].failure) == (("192.0.2.9",), "there is no such name")
        assert w.places() == ("192.0.2.9:51820",)
        for _ in range(5):
            await w.later(LONGEST_PAUSE)
        assert len(await w.found()) == 2


async def test_a_name_that_was_never_found_is_told_at_once() -> None:
    async with world() as w:
        await w.lookups.tick()
        [told] = await w.found()
        assert told.hosts[0].failing_since == w.lab.clock.now()


async def test_a_failing_name_is_asked_less_and_less() -> None:
    async with world() as w:
        await w.lookups.tick()
        for pause in (SHORTEST, 2 * SHORTEST, 4 * SHORTEST):
            before = len(w.resolver.asked)
            await w.later(pause - 1)
            assert len(w.resolver.asked) == before
            await w.later(1)
            assert len(w.resolver.asked) == before + 1
        for _ in range(20):
            await w.later(LONGEST_PAUSE)
        assert len(w.resolver.asked) == 24


async def test_a_name_is_asked_once_for_all_its_peers() -> None:
    async with world() as w:
        await w.peer("other", f"{HOME}:53")
        w.resolver.tell(HOME, "192.0.2.9")
        await w.lookups.tick()
        assert w.resolver.asked == [HOME]
        assert (w.places(1), w.places(2)) == (("192.0.2.9:51820",), ("192.0.2.9:53",))


async def test_a_new_peer_of_a_known_name_does_not_wait() -> None:
    async with world() as w:
        w.resolver.tell(HOME, "192.0.2.9", seconds=3_600)
        await w.lookups.tick()
        await w.peer("other", f"{HOME}:53")
        await w.lookups.tick()
        assert w.places(2) == ("192.0.2.9:53",)


async def test_a_name_that_nobody_has_is_not_asked() -> None:
    async with world() as w:
        w.resolver.tell(HOME, "192.0.2.9")
        await w.send(UpdatePeer(peer="exit", endpoints=("198.51.100.1:1", "b.example.org:1")))
        await w.lookups.tick()
        assert w.resolver.asked == ["b.example.org"]
        await w.send(RemovePeer(peer="exit"))
        await w.later(LONGEST_SECONDS)
        assert w.resolver.asked == ["b.example.org"]


async def test_many_names_are_asked_a_few_at_a_time() -> None:
    async with world(empty=True) as w:
        for number in range(AT_ONCE + 5):
            await w.peer(f"p{number}", f"p{number}.example.org:1")
        await w.lookups.tick()
        assert len(w.resolver.asked) == AT_ONCE
        await w.lookups.tick()
        assert len(set(w.resolver.asked)) == len(w.resolver.asked) == AT_ONCE + 5


async def test_after_a_restart_what_is_known_is_known_and_the_same_answer_is_no_news() -> None:
    log = MemoryLog()
    async with running(log) as lab:
        first = World(lab)
        await lab.engine.handle(user("ann"))
        await first.peer("exit", f"{HOME}:51820")
        first.resolver.tell(HOME, "192.0.2.9")
        await first.lookups.tick()
    async with world(log=log) as w:
        assert w.places() == ("192.0.2.9:51820",)
        w.resolver.tell(HOME, "192.0.2.9")
        await w.lookups.tick()
        assert w.resolver.asked == [HOME]
        assert len(await w.found()) == 1


async def test_a_store_that_fails_loses_no_answer() -> None:
    async with world() as w:
        w.resolver.tell(HOME, "192.0.2.9", seconds=3_600)
        w.lab.store.fault = Fault("down")
        await w.lookups.tick()
        assert w.places() == ()
        await w.later(SHORTEST)
        assert w.places() == ("192.0.2.9:51820",)


async def test_a_peer_that_goes_while_its_name_is_asked_harms_nothing() -> None:
    async with world() as w:
        resolver = w.resolver

        class Slow(MemoryResolver):
            async def look_up(self, host: str) -> LookedUp:
                await w.send(RemovePeer(peer="exit"))
                return await resolver.look_up(host)

        w.resolver.tell(HOME, "192.0.2.9")
        await Lookups(w.lab.engine, Slow(), w.lab.clock, SHORTEST).tick()
        assert await w.found() == []
