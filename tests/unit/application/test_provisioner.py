"""What the log wants is done at the provider, once in effect, whatever fails and whenever the engine ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from engine.adapters.provider.memory import MemoryProvider
from engine.adapters.store.memory import MemoryLog
from engine.application.provisioner import AT_ONCE, AT_ONE, SEALED, Provisioner
from engine.application.sealing import ACCOUNT
from engine.domain.commands import COMMANDS, Command, CreateUser, DeleteNode
from engine.domain.device import FULL, OFF, Device, due_at
from engine.domain.providercommands import AddProvider, EnrolNode, UpdateProvider, WithdrawNode
from engine.domain.providerevents import DeviceEvent, DeviceFailed, DeviceRegistered
from engine.domain.values import NodeId, NodeKey, ProviderId
from engine.ports import Fault
from engine.providerports import ProviderClient, ProviderTrouble, Registered
from tests.kit.fakes import MemoryKeyRing
from tests.kit.scenario import node_key, registration, registration_of_peer
from tests.unit.application.world import Lab, order, running

CANARY = "4815162342108108"
BUSY = ProviderTrouble("provider.busy", "status 503")


class Site:
    """An engine with a provider `mv` and three nodes, and the provider's side."""

    def __init__(self, lab: Lab, provider: MemoryProvider) -> None:
        self.lab = lab
        self.provider = provider
        self.provisioner = Provisioner(lab.engine, provider, lab.clock, MemoryKeyRing())
        self._sent = 0

    async def send(self, *commands: Command) -> None:
        for command in commands:
            self._sent += 1
            key = f"{type(command).__name__}-{self._sent}-{len(await self.lab.records())}"
            await self.lab.engine.handle(self.lab.engine.sealed(order(command, key)))

    async def enrol(self, *nodes: int) -> None:
        await self.send(*(EnrolNode(provider="mv", node=node) for node in nodes))

    def device(self, node: int) -> Device:
        device = self.lab.engine.tailnet.provided.device(ProviderId(1), NodeId(node))
        assert device is not None
        return device

    def states(self) -> dict[int, str]:
        devices = self.lab.engine.tailnet.provided.devices.values()
        return {device.node: device.state for device in devices}

    async def ticks(self, times: int = 1) -> None:
        for _ in range(times):
            await self.provisioner.tick()

    def keys(self) -> set[NodeKey]:
        return set(self.provider.accounts[CANARY])

    async def told(self) -> list[str]:
        """What happened to devices, in order."""
        return [type(r.event).__name__ for r in await self.lab.records() if isinstance(r.event, DeviceEvent)]


@asynccontextmanager
async def site(log: MemoryLog | None = None, provider: MemoryProvider | None = None) -> AsyncIterator[Site]:
    async with running(log) as lab:
        if not lab.engine.tailnet.users:
            await lab.engine.handle(order(CreateUser(name="anna"), "anna"))
            for name in ("a", "b", "c"):
                await lab.engine.handle(order(registration(name, user=1), name))
        made = Site(lab, provider or MemoryProvider(CANARY))
        if not lab.engine.tailnet.provided.providers:
            await made.send(AddProvider(name="mv", kind="mullvad", quota=2, account=CANARY))
            await made.send(registration_of_peer("exit", provider="mv"))
        yield made


async def test_a_node_is_registered_and_withdrawn() -> None:
    async with site() as s:
        await s.enrol(1)
        await s.ticks()
        assert s.states() == {1: "registered"}
        assert s.keys() == {node_key("a")}
        held = s.provider.accounts[CANARY][node_key("a")]
        assert (s.device(1).ipv4, s.device(1).ipv6) == (held.ipv4, held.ipv6)
        await s.send(WithdrawNode(provider="mv", node=1))
        await s.ticks()
        assert (s.states(), s.keys()) == ({}, set())
        last = (await s.lab.records())[-2].envelope
        assert (last.actor, last.cause) == ("engine", "provider")


async def test_a_deleted_nodes_key_is_revoked() -> None:
    async with site() as s:
        await s.enrol(1)
        await s.ticks()
        await s.send(DeleteNode(node=1))
        await s.ticks()
        assert (s.states(), s.keys()) == ({}, set())


async def test_what_passes_is_tried_again_when_its_time_comes() -> None:
    async with site() as s:
        s.provider.troubles.extend([BUSY, BUSY])
        await s.enrol(1)
        await s.ticks(3)
        assert len(s.provider.calls) == 1, "not before its time"
        s.lab.clock.advance(1)
        await s.ticks(2)
        assert len(s.provider.calls) == 2
        s.lab.clock.advance(5)
        await s.ticks()
        assert s.states() == {1: "registered"}
        assert (await s.told()).count("DeviceFailed") == 2


async def test_what_lasts_is_told_and_not_tried_again_before_somebody_acts() -> None:
    async with site() as s:
        s.provider.quota = 0
        await s.enrol(1)
        await s.ticks()
        assert (s.device(1).failure, due_at(s.device(1))) == (FULL, None)
        s.lab.clock.advance(365 * 86_400)
        await s.ticks()
        assert len(s.provider.calls) == 1
        s.provider.quota = 1
        await s.enrol(1)
        await s.ticks()
        assert s.states() == {1: "registered"}


async def test_a_wrong_account_number_is_put_right_by_another() -> None:
    async with site(provider=MemoryProvider("another")) as s:
        await s.enrol(1)
        await s.ticks()
        assert s.device(1).failure == "provider.account"
        await s.send(UpdateProvider(provider="mv", account="another"))
        await s.ticks()
        assert s.states() == {1: "registered"}


async def test_a_new_node_key_is_registered_before_the_former_is_revoked() -> None:
    async with site() as s:
        await s.enrol(1)
        await s.ticks()
        await s.send(registration("a", node_key=node_key("a2"), user=1))
        await s.ticks()
        assert s.keys() == {node_key("a"), node_key("a2")}
        await s.ticks()
        assert s.keys() == {node_key("a2")}
        assert s.provider.calls[1:] == [("register", node_key("a2")), ("revoke", node_key("a"))]


async def test_in_a_full_account_the_former_key_makes_room_for_the_new_one() -> None:
    async with site() as s:
        s.provider.quota = 1
        await s.enrol(1)
        await s.ticks()
        await s.send(registration("a", node_key=node_key("a2"), user=1))
        await s.ticks(3)
        assert s.keys() == {node_key("a2")}
        assert s.states() == {1: "registered"}


async def test_an_engine_that_ended_between_the_call_and_its_report_does_it_again_without_effect() -> None:
    log, provider = MemoryLog(), MemoryProvider(CANARY)
    async with site(log, provider) as s:
        await s.enrol(1)
        s.lab.store.fault = Fault("the power went")
        await s.ticks()
        assert s.keys() == {node_key("a")}
        assert s.states() == {1: "wanted"}, "the log knows nothing of it"
        kept = dict(provider.accounts[CANARY])
    async with site(log, provider) as s:
        await s.ticks()
        assert s.states() == {1: "registered"}
        assert provider.accounts[CANARY] == kept
        assert [event.ipv4 for event in await registered(s)] == [kept[node_key("a")].ipv4]


async def test_an_answer_that_was_lost_is_asked_for_again() -> None:
    async with site() as s:
        s.provider.deaf = 1
        await s.enrol(1)
        await s.ticks()
        assert s.states() == {1: "wanted"}
        s.lab.clock.advance(1)
        await s.ticks()
        assert s.states() == {1: "registered"}
        assert len(s.keys()) == 1


async def test_a_report_that_the_store_kept_without_saying_so_is_not_made_twice() -> None:
    async with site() as s:
        await s.enrol(1)
        s.lab.store.fault, s.lab.store.keep = Fault("unknown"), True
        await s.ticks()
        for _ in range(20):
            await asyncio.sleep(0)
        await s.ticks(2)
        assert s.states() == {1: "registered"}
        assert len(await registered(s)) == 1


async def test_who_is_withdrawn_while_a_call_is_on_its_way_is_revoked_after_it() -> None:
    class Slow(MemoryProvider):
        def __init__(self) -> None:
            super().__init__(CANARY)
            self.gate = asyncio.Event()

        async def register_key(self, account: str, key: NodeKey) -> Registered:
            await self.gate.wait()
            return await super().register_key(account, key)

    slow = Slow()
    async with site(provider=slow) as s:
        await s.enrol(1)
        call = asyncio.create_task(s.provisioner.tick())
        await asyncio.sleep(0)
        await s.send(WithdrawNode(provider="mv", node=1))
        assert s.provisioner.due() == [], "one call at a time for a device"
        slow.gate.set()
        await call
        assert s.keys() == {node_key("a")}
        await s.ticks(2)
        assert (s.states(), s.keys()) == ({}, set())


async def test_no_more_calls_are_on_their_way_than_may_be() -> None:
    class Counting(MemoryProvider):
        now = most = 0

        async def register_key(self, account: str, key: NodeKey) -> Registered:
            self.now += 1
            self.most = max(self.most, self.now)
            for _ in range(5):
                await asyncio.sleep(0)
            self.now -= 1
            return await super().register_key(account, key)

    counting = Counting(CANARY, quota=50)
    async with site(provider=counting) as s:
        await s.send(UpdateProvider(provider="mv", quota=50))
        for number in range(12):
            await s.send(registration(f"n{number}", user=1))
        await s.enrol(*range(4, 16))
        await s.ticks()
        assert counting.most == AT_ONE < AT_ONCE
        assert set(s.states().values()) == {"registered"}


async def test_when_outside_calls_are_off_nothing_is_called_and_the_next_start_looks_again() -> None:
    class Shut(MemoryProvider):
        def client(self, kind: str, base_url: str) -> ProviderClient:  # noqa: ARG002 (the port)
            raise ProviderTrouble(OFF, "outside calls are off", lasting=True)

    log = MemoryLog()
    async with site(log, Shut(CANARY)) as s:
        await s.enrol(1)
        await s.ticks(3)
        assert (s.device(1).failure, s.device(1).attempts) == (OFF, 1)
        assert not s.provider.calls
    async with site(log, MemoryProvider(CANARY)) as s:
        await s.ticks()
        assert s.states() == {1: "registered"}


async def test_an_account_number_that_other_keys_sealed_is_said_to_be_so() -> None:
    async with site() as s:
        other = MemoryKeyRing(seed=7).seal(ACCOUNT, CANARY)
        await s.lab.engine.handle(order(UpdateProvider(provider="mv", account=other), "other"))
        await s.enrol(1)
        await s.ticks()
        assert (s.device(1).failure, s.provider.calls) == (SEALED, [])


async def test_what_an_answer_cannot_be_is_a_failure_and_the_engine_goes_on() -> None:
    class Odd(MemoryProvider):
        async def register_key(self, account: str, key: NodeKey) -> Registered:
            if key == node_key("a"):
                return Registered(reference="x", ipv4="no address")
            raise ZeroDivisionError(account)

    async with site(provider=Odd(CANARY)) as s:
        await s.enrol(1, 2)
        await s.ticks()
        assert (s.device(1).failure, s.device(2).failure) == ("provider.answer", "provider.fault")
        assert "device.address" in s.device(1).word
        assert s.device(2).word == "ZeroDivisionError"


async def test_no_log_line_and_no_event_has_the_account_number() -> None:
    async with site() as s:
        s.provider.troubles.extend([BUSY, ProviderTrouble(FULL, "full", lasting=True)])
        with structlog.testing.capture_logs() as lines:
            await s.enrol(1, 2)
            await s.ticks()
        assert len(lines) == 2
        failed = [r.event for r in await s.lab.records() if isinstance(r.event, DeviceFailed)]
        assert len(failed) == 2
        assert CANARY not in f"{lines}{await s.lab.records()}"


async def test_it_runs_by_itself_until_it_is_stopped() -> None:
    async with site() as s:
        stop = asyncio.Event()
        running_ = asyncio.create_task(s.provisioner.run(stop))
        await s.enrol(1)
        async with asyncio.timeout(10):
            while s.states() != {1: "registered"}:
                await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(10):
            await running_


async def test_a_stop_does_not_wait_for_a_provider_that_does_not_answer() -> None:
    class Silent(MemoryProvider):
        async def register_key(self, account: str, key: NodeKey) -> Registered:  # noqa: ARG002 (the port)
            self.calls.append(("register", key))
            await asyncio.Event().wait()
            raise AssertionError

    silent = Silent(CANARY)
    async with site(provider=silent) as s:
        stop = asyncio.Event()
        running_ = asyncio.create_task(s.provisioner.run(stop))
        await s.enrol(1)
        async with asyncio.timeout(10):
            while not silent.calls:
                await asyncio.sleep(0)
            stop.set()
            await running_
        assert s.states() == {1: "wanted"}


async def registered(s: Site) -> list[DeviceRegistered]:
    return [r.event for r in await s.lab.records() if isinstance(r.event, DeviceRegistered)]


def test_reports_are_not_an_operators_to_make() -> None:
    assert not [kind for kind in COMMANDS.values() if kind.__name__.startswith("Report")]
