"""What the log wants of providers, done there; and what became of it, reported as commands.

Rule 1: what is to be done follows from the committed log alone (`device.py`), so that a start after a kill goes on with it: a call
        whose report is missing is made again, which changes nothing at the provider.
Rule 2: one call at a time for a device; reports have ids that follow from the device and its turn, so one that is sent again has
        no second effect.
Rule 3: at most `AT_ONCE` calls are on their way, `AT_ONE` of them to one provider: a slow one does not keep the others waiting.
Rule 4: an account number is opened for the time of a call, and is in no log; of a provider's words only what is redacted.
Rule 5: a failure without a call (outside calls are off) is looked at again at each start: the settings may be others.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from engine.application.answers import digest_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.application.sealing import ACCOUNT
from engine.domain.command import Command
from engine.domain.device import UNCALLED, Device, Provider, Task, due_at, task_of
from engine.domain.errors import Refusal
from engine.domain.provided import OF_PROVIDERS, Provided
from engine.domain.providercommands import ReportFailed, ReportRegistered, ReportRevoked
from engine.domain.values import CommandId, DeviceId, ProviderId
from engine.ports import Clock, Fault, KeyRing, Recorded, Unsealable
from engine.providerports import Providers, ProviderTrouble

_LOG: Final = structlog.get_logger()
AT_ONCE: Final = 8
AT_ONE: Final = 2
TICK_SECONDS: Final = 1.0
"""The shortest pause of `device.BACKOFF_SECONDS`."""
ACTOR: Final = "engine"
SEALED: Final = "provider.sealed"
"""The account number cannot be opened with the keys that are here."""


class Provisioner:
    """The one who speaks to providers. Made after the engine has started; only the active engine's runs."""

    def __init__(self, engine: Engine, providers: Providers, clock: Clock, keyring: KeyRing) -> None:
        self._engine: Final = engine
        self._providers: Final = providers
        self._clock: Final = clock
        self._keyring: Final = keyring
        self._known: Provided = engine.tailnet.provided.draft()
        self._position = engine.head().position
        self._in_flight: Final[set[DeviceId]] = set()
        self._unlucky: Final[set[DeviceId]] = set()
        """Devices whose failure without a call is of this process (rule 5)."""
        self._turns: Final = asyncio.Semaphore(AT_ONCE)
        self._turns_of: Final[dict[ProviderId, asyncio.Semaphore]] = {}
        self._wake: Final = asyncio.Event()
        engine.watch(self._on_commit)

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is due, until `stop`; calls that are on their way then are given up, and made again at the next start."""
        async with asyncio.TaskGroup() as group:
            tasks: set[asyncio.Task[None]] = set()
            while not stop.is_set():
                self._wake.clear()
                for device in self.due():
                    task = group.create_task(self._do(device))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await self._pause(stop)
            for task in tasks:
                task.cancel()

    async def tick(self) -> None:
        """Do what is due now, and wait until it is done."""
        await asyncio.gather(*(self._do(device) for device in self.due()))

    def due(self) -> list[Device]:
        """Return the devices whose task is due and not on its way; they count as on their way from now on."""
        self._catch_up()
        found = [self._known.devices[number] for number in sorted(self._known.busy - self._in_flight)]
        due = [device for device in found if self._is_due(device)]
        self._in_flight.update(device.id for device in due)
        return due

    def _is_due(self, device: Device) -> bool:
        if device.failure in UNCALLED and device.id not in self._unlucky:
            return True
        at = due_at(device)
        return at is not None and at <= self._clock.now()

    async def _pause(self, stop: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self._wake.wait())]
        await asyncio.wait(waits, timeout=TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _do(self, device: Device) -> None:
        try:
            task, provider = task_of(device), self._known.providers.get(device.provider)
            if task is None or provider is None:
                return
            turns = self._turns_of.setdefault(provider.id, asyncio.Semaphore(AT_ONE))
            async with turns, self._turns:
                report = await self._called(device, provider, task)
            await self._report(device, report)
        finally:
            self._in_flight.discard(device.id)

    async def _called(self, device: Device, provider: Provider, task: Task) -> Command:
        """Make the call; return what is to be reported of it."""
        key = task.registration.node_key
        try:
            account = self._keyring.unseal(ACCOUNT, provider.account)
            client = self._providers.client(provider.kind, provider.base_url)
            if task.verb == "revoke":
                await client.revoke(account, key, task.registration.reference)
                return ReportRevoked(device=device.id, turn=device.turn, node_key=key)
            found = await client.register_key(account, key)
        except ProviderTrouble as trouble:
            return self._failed(device, provider, trouble)
        except Unsealable:
            lost = ProviderTrouble(
                SEALED, "the keys of this directory do not open the account number", lasting=True
            )
            return self._failed(device, provider, lost)
        except Exception as error:  # noqa: BLE001 (whatever a provider sends, it must not stop the engine)
            return self._failed(device, provider, ProviderTrouble("provider.fault", type(error).__name__))
        return ReportRegistered(
            device=device.id,
            turn=device.turn,
            node_key=key,
            reference=found.reference,
            ipv4=found.ipv4,
            ipv6=found.ipv6,
        )

    def _failed(self, device: Device, provider: Provider, trouble: ProviderTrouble) -> ReportFailed:
        if trouble.reason in UNCALLED:
            self._unlucky.add(device.id)
        _LOG.warning(
            "provider.failed",
            provider=provider.name,
            node=device.node,
            code=trouble.reason,
            word=trouble.word,
            attempts=device.attempts + 1,
        )
        return ReportFailed(
            device=device.id,
            turn=device.turn,
            code=trouble.reason,
            word=trouble.word,
            lasting=trouble.lasting,
        )

    async def _report(self, device: Device, command: Command) -> None:
        try:
            await self._engine.handle(_order(device, command))
        except Refusal as refusal:
            if isinstance(command, ReportFailed):
                _LOG.error("provider.unreported", node=device.node, code=refusal.code)
                return
            word = f"its answer is refused here: {refusal.code}"
            failed = ReportFailed(device=device.id, turn=device.turn, code="provider.answer", word=word)
            await self._report(device, failed)
        except Fault as fault:
            _LOG.warning(
                "provider.later", node=device.node, fault=fault.code
            )  # the next tick calls again (rule 1)

    def _on_commit(self, records: Sequence[Recorded]) -> None:
        for record in records:
            if isinstance(record.event, OF_PROVIDERS):
                self._known.apply(record.event, record.envelope.at)
                self._wake.set()
        self._position = records[-1].position

    def _catch_up(self) -> None:
        """Take everything anew after a recovery, which commits what nobody was told of."""
        head = self._engine.head().position
        if head != self._position:
            self._known, self._position = self._engine.tailnet.provided.draft(), head


def _order(device: Device, command: Command) -> Order:
    verb = {ReportRegistered: "registered", ReportFailed: "failed", ReportRevoked: "revoked"}[type(command)]
    name = f"device.{verb}"
    return Order(
        command=command,
        name=name,
        command_id=CommandId(f"device-{device.id}-{device.turn}-{verb}"),
        actor=ACTOR,
        digest=digest_of(ACTOR, name, msgspec.json.encode(command)),
        cause="provider",
    )
