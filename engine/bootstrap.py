"""The composition root of the engine's process.

Rule 1: at `stop` it takes no more, appends what it has decided, answers, and lets go of the store.
Rule 2: an engine that is deposed, or has lost its store or its bus, lets go of everything and stands by again, in the same
        process: a supervisor has nothing to do, and whatever it knew is read anew.
Rule 3: a fault before it was ever ready ends it: that is a mistake in the settings, and is told at once.
"""

import asyncio
import contextlib
import gc
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engine.adapters.bus.eventstream import JetStreamEvents
from engine.adapters.bus.jetstream import JetStreamQueue
from engine.adapters.bus.nats import NatsBus, open_bus
from engine.adapters.bus.streams import DAY
from engine.adapters.checkpoints import FileCheckpoints
from engine.adapters.clock import SystemClock
from engine.adapters.ids import RandomIds
from engine.adapters.keyring import FileKeyRing
from engine.adapters.provider.opening import WebProviders
from engine.adapters.provider.web import Outside, Web
from engine.adapters.resolver.dns import DnsResolver
from engine.adapters.store.opening import open_reader, open_store
from engine.application.announcer import Announcer
from engine.application.answers import digest_of
from engine.application.checkpoints import Checkpoints
from engine.application.deadlines import Deadlines
from engine.application.durable import DurableCommands
from engine.application.engine import Engine
from engine.application.eventstream import EventTeller
from engine.application.ledger import Order
from engine.application.logins import Logins
from engine.application.lookups import Lookups
from engine.application.provisioner import Provisioner
from engine.application.quiet import Quiet
from engine.application.registration import Registration
from engine.application.service import VERSION, Commands, serve
from engine.application.standby import Standby
from engine.config import Settings
from engine.contracts import subjects
from engine.domain.commands import SetDerpMap
from engine.domain.errors import Refusal
from engine.domain.values import CommandId, TailnetName
from engine.ports import EventReader, EventStore, Fault, Undecodable, WrongFence

_LOG: Final = structlog.get_logger()
AGAIN_SECONDS: Final = 1.0
"""From the end of one reign to the next try."""
ACTIVE: Final = "active"
STANDBY: Final = "standby"
"""What `$SRV.INFO.netmap-engine` says of an engine, under `state`."""
KEYS: Final = "keys"
"""The folder of the key ring in the directory of the settings."""
CHECKPOINTS: Final = "checkpoints"
"""The file of signed checkpoints in the directory of the settings: copy it elsewhere, and it witnesses."""


async def run_engine(settings: Settings, stop: asyncio.Event) -> None:
    """Decide commands until `stop`; as a standby as long as another engine does (rules 2 and 3).

    Raises:
        Fault: the store or the bus cannot be opened at the start, or the log cannot be understood.
    """
    was_ready = asyncio.Event()
    while not stop.is_set():
        try:
            await _reign(settings, stop, was_ready)
        except* WrongFence as deposed:
            _LOG.warning("engine.deposed", why=str(_first_of(deposed)))
        except* Undecodable as unread:
            raise Fault(str(_first_of(unread))) from None
        except* Fault as failed:
            if not was_ready.is_set():
                raise Fault(str(_first_of(failed))) from None
            _LOG.error("engine.failed", fault=str(_first_of(failed)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)


async def _reign(settings: Settings, stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Take the store, decide until `stop` or until another engine has taken over."""
    clock = SystemClock()
    ids = RandomIds(clock)
    async with _opened(settings) as (store, bus), _reader(settings) as reader:
        keyring = FileKeyRing(Path(settings.directory) / KEYS)
        engine = Engine(store, clock, ids, keyring)
        place = {"state": STANDBY, "host": socket.gethostname(), "process": str(os.getpid())}
        await bus.serve(
            subjects.ENGINE_SERVICE, VERSION, "An engine, active or standing by", (), metadata=place
        )
        if not await _started(engine, Standby(reader), stop):
            return
        gc.collect()
        gc.freeze()
        tailnet = TailnetName(settings.tailnet)
        logins = Logins(clock, ids)
        registration = Registration(engine, logins, ids)
        commands = Commands(engine, registration, ids, open_commands=settings.open_commands)
        queue = JetStreamQueue(
            bus, tailnet, open_commands=settings.open_commands, replicas=settings.nats_replicas
        )
        await queue.open()
        announcer = Announcer(engine, bus, tailnet)
        deadlines = Deadlines(engine, clock)
        lookups = Lookups(engine, DnsResolver(settings.name_servers), clock, settings.lookup_seconds)
        provisioner = Provisioner(engine, _providers(settings, clock), clock, keyring)
        kept = FileCheckpoints(Path(settings.directory) / CHECKPOINTS)
        checkpoints = Checkpoints(engine, keyring, bus, tailnet, kept)
        teller = EventTeller(engine, reader, _event_stream(settings, bus), tailnet)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(engine.run(stop))
                group.create_task(announcer.run(stop))
                group.create_task(deadlines.run(stop))
                group.create_task(lookups.run(stop))
                group.create_task(provisioner.run(stop))
                group.create_task(checkpoints.run(stop))
                if settings.event_stream:
                    group.create_task(teller.run(stop))
                    await teller.serve(bus)
                group.create_task(Quiet(engine, clock, settings.ephemeral_seconds).run(bus, tailnet, stop))
                group.create_task(DurableCommands(queue, commands, tailnet).run(stop))
                await _set_derp_map(engine, settings.derp_map)
                await serve(bus, tailnet, commands, registration, checkpoints)
                group.create_task(_release_at(stop, logins))
                place["state"] = ACTIVE
                ready.set()
                _LOG.info("engine.ready", position=engine.head().position, epoch=engine.head().epoch)
        finally:
            logins.release()


def _first_of(group: BaseExceptionGroup[Fault]) -> BaseException:
    """Return the first fault of a group, and of the groups in it."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


@contextlib.asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[EventReader]:
    reader = open_reader(settings.store_url(), tailnet=settings.tailnet)
    try:
        yield reader
    finally:
        await reader.close()


def _event_stream(settings: Settings, bus: NatsBus) -> JetStreamEvents:
    age = settings.event_days * DAY
    return JetStreamEvents(
        bus,
        TailnetName(settings.tailnet),
        age=age,
        octets=settings.event_octets,
        replicas=settings.nats_replicas,
    )


def _providers(settings: Settings, clock: SystemClock) -> WebProviders:
    outside = Outside(
        calls=settings.outside_calls,
        hosts=tuple(host.strip().lower() for host in settings.outside_hosts),
        loopback=settings.outside_loopback,
    )
    return WebProviders(Web(outside), clock)


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[EventStore, NatsBus]]:
    store = open_store(settings.store_url(), tailnet=settings.tailnet)
    try:
        bus = await open_bus(settings, "engine", name="netmap-engine")
        try:
            yield store, bus
        finally:
            await bus.close()
    finally:
        await store.close()


async def _started(engine: Engine, standby: Standby, stop: asyncio.Event) -> bool:
    """Start the engine, which as a standby may take for ever; return False when told to stop first."""
    starting = asyncio.ensure_future(engine.start(standby))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return False
        starting.result()
        return True
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


async def _release_at(stop: asyncio.Event, logins: Logins) -> None:
    await stop.wait()
    logins.release()


async def _set_derp_map(engine: Engine, path: str) -> None:
    if not path:
        return
    try:
        body = await asyncio.to_thread(Path(path).read_bytes)
        derp_map = msgspec.json.decode(body, type=dict[str, object])
    except (OSError, msgspec.MsgspecError) as error:
        raise Fault(f"the DERP map {path} cannot be read: {type(error).__name__}") from None
    # The id follows from the map and from where the log is: the same file at the next start is decided anew.
    key = hashlib.sha256(body + str(engine.head()).encode()).hexdigest()[:32]
    order = Order(
        command=SetDerpMap(derp_map=derp_map),
        name="derp.set",
        command_id=CommandId(f"derp-{key}"),
        actor="engine",
        digest=digest_of("engine", "derp.set", body),
        reason=f"the settings' {Path(path).name}",
        receipt_always=False,
    )
    try:
        await engine.handle(order)
    except Refusal as refusal:
        raise Fault(f"the DERP map {path} is refused: {refusal.message}") from None
