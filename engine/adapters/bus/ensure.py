"""Looks at every NATS server of a deployment, and brings JetStream to what the settings say.

Rule 1: each server is asked by itself, over a connection of its own: one with an old configuration would be found by chance else.
Rule 2: rights are tried, not read: what a role needs must be let through, and some of what it must not have must be refused.
Rule 3: nothing is deleted: what a server does not change of a stream is told to a person.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StreamConfig, StreamInfo

from engine.adapters.bus import streams
from engine.adapters.bus.barrier import ended, settled
from engine.adapters.bus.context import Context, context_of, context_path, inbox_of, tls_of
from engine.adapters.bus.nats import open_bus
from engine.adapters.bus.server_config import ROLES, rights_of
from engine.config import Settings
from engine.contracts import subjects
from engine.domain.values import TailnetName
from engine.ports import Fault

FLOORS: Final = ((2, 12, 12), (2, 14, 3))
"""Below these nats-server has known holes (reference: reliability-security §4.4): 2.12 from .12 on, or from 2.14.3 on."""
PAYLOAD_OCTETS: Final = 1 << 20
"""Deltas and chunks of snapshots are up to 512 KiB, with headers."""
CONNECT_SECONDS: Final = 3
ENGINE: Final = "engine"


class State(StrEnum):
    """What became of one thing, or would."""

    OK = "ok"
    MADE = "made"
    CHANGED = "changed"
    MISSING = "missing"
    DIFFERS = "differs"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    state: State
    says: str

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in (State.OK, State.MADE, State.CHANGED)


async def ensure(settings: Settings, *, change: bool) -> Sequence[Finding]:
    """Look at servers, rights and streams, as the engine; make and change streams if `change`.

    Raises:
        Fault: nothing says how to connect, or no server lets the engine in.
    """
    context = context_of(settings, ENGINE)
    urls = context.url.split(",")
    found = [await _server(url, context, TailnetName(settings.tailnet)) for url in urls]
    found += await _rights_of_roles(settings)
    bus = await open_bus(settings, ENGINE, name="netmap-admin")
    try:
        js = bus.client.jetstream(timeout=streams.AGAIN_SECONDS * 10)
        found += [await _stream(js, config, change=change) for config in streams.streams_of(settings)]
    finally:
        await bus.close()
    return found


def is_new_enough(version: str) -> bool:
    """Whether a nats-server of this version has none of the holes that are known (`FLOORS`); an odd text is not."""
    try:
        found = tuple(int(part) for part in version.split("-", maxsplit=1)[0].split("."))
    except ValueError:
        return False
    return found >= FLOORS[1] or (found[:2] == FLOORS[0][:2] and found >= FLOORS[0])


async def _server(url: str, context: Context, tailnet: TailnetName) -> Finding:
    what = f"server {url}"
    try:
        probe = await _Probe.connect(url, context)
    except Fault as fault:
        return Finding(what, State.WRONG, str(fault))
    try:
        wrong = await probe.trespasses(ENGINE, tailnet)
        version, payload = probe.version, probe.client.max_payload
    finally:
        await ended(probe.client)
    if not is_new_enough(version):
        wrong.append(f"version {version} has known holes: 2.12.12, 2.14.3 or later")
    if payload < PAYLOAD_OCTETS:
        wrong.append(f"max_payload {payload} is less than {PAYLOAD_OCTETS}")
    if await _lets_anybody_in(url, context):
        wrong.append("lets anybody in without a password")
    said = f"{version}, {'TLS' if tls_of(context) else 'in clear'}, rights of {ENGINE} as they should be"
    return Finding(what, State.WRONG, "; ".join(wrong)) if wrong else Finding(what, State.OK, said)


async def _rights_of_roles(settings: Settings) -> list[Finding]:
    """Try the rights of those other roles whose contexts are in the directory."""
    found = []
    for role in ROLES:
        if role == ENGINE or settings.nats_urls or not context_path(settings.directory, role).is_file():
            continue
        context = context_of(settings, role)
        try:
            probe = await _Probe.connect(context.url.split(",")[0], context)
        except Fault as fault:
            found.append(Finding(f"rights {role}", State.WRONG, str(fault)))
            continue
        wrong = await probe.trespasses(role, TailnetName(settings.tailnet))
        await ended(probe.client)
        state = State.WRONG if wrong else State.OK
        found.append(Finding(f"rights {role}", state, "; ".join(wrong) or "as they should be"))
    return found


class _Probe:
    """A connection to one server that notes what it is refused."""

    def __init__(self) -> None:
        self.client: Final = Client()
        self._refused: list[str] = []

    @classmethod
    async def connect(cls, url: str, context: Context) -> "_Probe":
        """Connect as the context's user.

        Raises:
            Fault: the server does not answer, or does not let it in.
        """
        probe, tls = cls(), tls_of(context)
        try:
            await probe.client.connect(
                [url],
                name="netmap-probe",
                user=context.user or None,
                password=context.password or None,
                inbox_prefix=context.inbox_prefix or "_INBOX",
                allow_reconnect=False,
                connect_timeout=CONNECT_SECONDS,
                tls=tls,
                tls_handshake_first=tls is not None,
                error_cb=probe._note,
            )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await ended(probe.client)
            raise Fault(f"no connection as {context.user or 'nobody'!r}: {_why(error)}") from None
        return probe

    @property
    def version(self) -> str:
        """The server's, as it says."""
        found = self.client.connected_server_version
        return f"{found.major}.{found.minor}.{found.patch}"

    async def trespasses(self, role: str, tailnet: TailnetName) -> list[str]:
        """Return what this role is refused but needs, and what it is let do but must not (rule 2)."""
        needed = (*rights_of(role, tailnet).subscribe, f"{inbox_of(role)}.>")
        others = [inbox_of(other) for other in ROLES if other != role]
        barred = ["_INBOX.>", "$SYS.>", *(f"{inbox}.>" for inbox in others)]
        unsayable = [subjects.command_as(tailnet, "operator", "netmap", "probe"), f"{others[0]}.netmap-probe"]
        try:
            for subject in (*needed, *barred):
                await self.client.subscribe(subject)
            for subject in unsayable:
                await self.client.publish(subject, b"")
            await settled(self.client)
        except (nats.errors.Error, OSError) as error:
            return [f"rights cannot be tried: {_why(error)}"]
        wrong = [
            f"may not hear {each}, but must" for each in needed if self._is_refused("subscription", each)
        ]
        wrong += [f"may hear {each}" for each in barred if not self._is_refused("subscription", each)]
        return wrong + [f"may say {each}" for each in unsayable if not self._is_refused("publish", each)]

    def _is_refused(self, verb: str, subject: str) -> bool:
        wanted = f'permissions violation for {verb} to "{subject}"'.lower()
        return any(wanted in text for text in self._refused)

    async def _note(self, error: Exception) -> None:
        self._refused.append(str(error).lower())


async def _lets_anybody_in(url: str, context: Context) -> bool:
    nobody = msgspec.structs.replace(context, user="", password="", inbox_prefix="")
    try:
        probe = await _Probe.connect(url, nobody)
    except Fault:
        return False
    await ended(probe.client)
    return True


async def _stream(js: JetStreamContext, wanted: StreamConfig, *, change: bool) -> Finding:
    name = str(wanted.name)
    what = f"stream {name}"
    try:
        info = await _info(js, name)
        if info is None and not change:
            return Finding(what, State.MISSING, "not there; without --check it is made")
        different = streams.differences(info.config, wanted) if info else ()
        said = ", ".join(map(str, different))
        if any(each.field in streams.FIXED for each in different):
            said += (
                f"; a server does not change that: look what is in it, `nats stream rm {name}`, then again"
            )
            return Finding(what, State.WRONG, said)
        if info is not None and not different:
            return Finding(what, State.OK, _standing(info))
        if not change:
            return Finding(what, State.DIFFERS, said)
        await streams.have(js, wanted)
    except (nats.errors.Error, OSError) as error:
        return Finding(what, State.WRONG, _why(error))
    return Finding(what, State.CHANGED if info else State.MADE, said or _shape(wanted))


async def _info(js: JetStreamContext, name: str) -> StreamInfo | None:
    try:
        return await streams.patiently(lambda: js.stream_info(name))
    except nats.js.errors.NotFoundError:
        return None


def _standing(info: StreamInfo) -> str:
    said = f"{info.state.messages} messages, {info.state.bytes} octets"
    if info.cluster is None or not info.cluster.leader:
        return said
    others = info.cluster.replicas or []
    current = 1 + sum(bool(each.current) and not each.offline for each in others)
    return f"{said}; leader {info.cluster.leader}, {current} of {1 + len(others)} servers current"


def _shape(config: StreamConfig) -> str:
    return f"{config.num_replicas} replicas, {', '.join(config.subjects or ())}"


def _why(error: Exception) -> str:
    """Say a failure: JetStream's own words where it has some, else the kind; others may hold what is not ours to tell."""
    if isinstance(error, nats.js.errors.APIError) and error.description:
        return str(error.description)
    return type(error).__name__
