"""A node's registration at a provider over its life, and what is to be done about it next; pure.

Rule 1: the lifecycle is the table `NEXT`; an event that a state does not know changes nothing.
Rule 2: a new key is registered before the former one is revoked. Only when the provider says that the account is full is
        the former one revoked first: the node has that key no more, so nothing is lost by it.
Rule 3: `former` are keys that the provider may know and should not: also one of which nobody said what became of it.
Rule 4: `turn` counts what was reported; a report of another turn is about what is past.
"""

from collections.abc import Mapping
from typing import Final, Literal, assert_never

import msgspec
from msgspec.structs import replace

from engine.domain.providerevents import (
    DeviceAdmitted,
    DeviceEvent,
    DeviceFailed,
    DeviceForgotten,
    DeviceLeft,
    DeviceRegistered,
    DeviceRekeyed,
    DeviceRetried,
    DeviceRevoked,
    DeviceWanted,
    ProviderAdded,
    ProviderEvent,
    ProviderRemoved,
    ProviderUpdated,
)
from engine.domain.values import NEVER, DeviceId, Millis, NodeId, NodeKey, ProviderId

State = Literal["waiting", "wanted", "registered", "rotating", "leaving"]
"""Waits for a place · is to be registered · is · is, with a former key · is to be revoked. Then it is gone."""

NEXT: Final[Mapping[State, Mapping[type[DeviceEvent], State]]] = {
    "waiting": {DeviceWanted: "waiting", DeviceAdmitted: "wanted", DeviceRekeyed: "waiting"},
    "wanted": {
        DeviceWanted: "wanted",
        DeviceRegistered: "registered",
        DeviceRekeyed: "wanted",
        DeviceFailed: "wanted",
        DeviceRetried: "wanted",
        DeviceRevoked: "wanted",
        DeviceLeft: "leaving",
    },
    "registered": {
        DeviceWanted: "registered",
        DeviceRekeyed: "rotating",
        DeviceFailed: "registered",
        DeviceRetried: "registered",
        DeviceRevoked: "registered",
        DeviceLeft: "leaving",
    },
    "rotating": {
        DeviceWanted: "rotating",
        DeviceRegistered: "registered",
        DeviceRekeyed: "rotating",
        DeviceFailed: "rotating",
        DeviceRetried: "rotating",
        DeviceRevoked: "rotating",
        DeviceLeft: "leaving",
    },
    "leaving": {
        DeviceRegistered: "leaving",
        DeviceFailed: "leaving",
        DeviceRetried: "leaving",
        DeviceRevoked: "leaving",
    },
}
"""State → what may happen → the state after it. What ends a device (left while it waited, its last key revoked, forgotten)
is in `evolve_device`."""

OFF: Final = "provider.off"
NOT_ALLOWED: Final = "provider.host"
UNCALLED: Final = frozenset({OFF, NOT_ALLOWED})
"""Failures without a call: outside calls are off, or not allowed to this host; another start may change it."""
FULL: Final = "provider.quota"
"""The account has as many devices as it may."""
BACKOFF_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3_600)
"""From a failure to the next try, by failures in a row; the last is repeated: a provider that is down for a day is asked
thirty times by a device, and a device is soon back after a hiccup."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An account at a VPN provider; `account` is sealed."""

    id: ProviderId
    name: str
    kind: str
    base_url: str
    quota: int
    account: str
    created: Millis = NEVER

    def __repr__(self) -> str:
        """Return which provider it is."""
        return f"Provider(id={self.id}, name={self.name!r}, kind={self.kind!r}, …)"


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A key at a provider, and the provider's id of it; without one nobody has said whether it is known there."""

    node_key: NodeKey
    reference: str = ""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A node at a provider."""

    id: DeviceId
    provider: ProviderId
    node: NodeId
    node_key: NodeKey
    """The key that the provider should know."""
    state: State = "waiting"
    selector: str = ""
    """Because of which selector it is there; empty: somebody asked for it."""
    held: Registration | None = None
    """What the addresses belong to."""
    former: tuple[Registration, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    turn: int = 0
    attempts: int = 0
    """Failures in a row."""
    failure: str = ""
    word: str = ""
    next_try: Millis = NEVER
    created: Millis = NEVER

    @property
    def has_addresses(self) -> bool:
        """Whether connections can live by it."""
        return self.state in {"registered", "rotating"} and bool(self.ipv4 or self.ipv6)

    @property
    def was_told(self) -> bool:
        """Whether the provider may know any key of it."""
        return self.state != "waiting" and bool(self.held or self.former or self.failure not in UNCALLED)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done at the provider."""

    verb: Literal["register", "revoke"]
    registration: Registration


def task_of(device: Device) -> Task | None:
    """Return what is to be done next about a device; None if nothing."""
    match device.state:
        case "waiting":
            return None
        case "wanted" | "rotating":
            yielding = (*device.former, *((device.held,) if device.held else ()))
            if device.failure == FULL and yielding:
                return Task(verb="revoke", registration=yielding[0])
            return Task(verb="register", registration=Registration(node_key=device.node_key))
        case "registered" | "leaving":
            return Task(verb="revoke", registration=device.former[0]) if device.former else None
        case _:
            assert_never(device.state)


def due_at(device: Device) -> Millis | None:
    """Return when the device's task is to be done, 0 for at once; None when there is none, or nobody may try."""
    if task_of(device) is None or (device.failure and device.next_try == NEVER):
        return None
    return device.next_try


def end_of(device: Device) -> DeviceLeft | DeviceForgotten:
    """Return the device's end; where the provider was never told of it, there is nothing to revoke."""
    if device.state != "waiting" and not device.was_told:
        return DeviceForgotten(device=device.id, node=device.node)
    return DeviceLeft(device=device.id, node=device.node)


def evolve_provider(provider: Provider | None, event: ProviderEvent, at: Millis) -> Provider | None:
    """Return the provider after the event; None when there is none any more."""
    match event:
        case ProviderAdded():
            return Provider(
                id=event.provider,
                name=event.name,
                kind=event.kind,
                base_url=event.base_url,
                quota=event.quota,
                account=event.account,
                created=at,
            )
        case ProviderUpdated():
            return provider and replace(
                provider,
                name=event.name,
                base_url=event.base_url,
                quota=event.quota,
                account=event.account,
            )
        case ProviderRemoved():
            return None
        case _:
            assert_never(event)


def evolve_device(device: Device | None, event: DeviceEvent, at: Millis) -> Device | None:
    """Return the device after the event; None when there is none any more."""
    if isinstance(event, DeviceForgotten):
        return None
    if device is None:
        return _new(event, at) if isinstance(event, DeviceWanted) else None
    if isinstance(event, DeviceLeft) and device.state == "waiting":
        return None
    state = NEXT[device.state].get(type(event))
    return device if state is None else _moved(replace(device, state=state), event, device.state)


def _new(event: DeviceWanted, at: Millis) -> Device:
    return Device(
        id=event.device,
        provider=event.provider,
        node=event.node,
        node_key=event.node_key,
        selector=event.selector,
        created=at,
    )


def _moved(device: Device, event: DeviceEvent, before: State) -> Device | None:
    """Return the device, whose state is that after the event already, with the rest of what the event does."""
    match event:
        case DeviceWanted():
            return replace(device, selector=event.selector)
        case DeviceRegistered():
            return _registered(device, event, before)
        case DeviceRekeyed():
            return _rekeyed(device, event.node_key)
        case DeviceFailed():
            failed = replace(device, failure=event.code, word=event.word, next_try=event.next_try)
            return replace(failed, turn=device.turn + 1, attempts=event.attempts)
        case DeviceRetried():
            return _hopeful(device)
        case DeviceLeft():
            unknown = () if before == "registered" else (Registration(node_key=device.node_key),)
            held = () if device.held is None else (device.held,)
            return _hopeful(replace(device, held=None, former=(*device.former, *held, *unknown)))
        case DeviceRevoked():
            return _revoked(device, event.node_key)
        case DeviceAdmitted() | DeviceForgotten():
            return device
        case _:
            assert_never(event)


def _registered(device: Device, event: DeviceRegistered, before: State) -> Device:
    told = _hopeful(replace(device, turn=device.turn + 1))
    fresh = Registration(node_key=event.node_key, reference=event.reference)
    others = tuple(one for one in device.former if one.node_key != event.node_key)
    if before == "leaving" or event.node_key != device.node_key:
        # It came too late: somebody has withdrawn it meanwhile, or the node has yet another key (rule 3).
        return replace(told, state=before, former=(*others, fresh))
    left = () if device.held is None or device.held.node_key == event.node_key else (device.held,)
    return replace(told, held=fresh, former=(*others, *left), ipv4=event.ipv4, ipv6=event.ipv6)


def _rekeyed(device: Device, key: NodeKey) -> Device:
    if key == device.node_key:
        is_held = device.held is not None and device.held.node_key == key
        return replace(device, state="registered" if is_held else device.state)
    after = _hopeful(replace(device, node_key=key))
    if device.state == "waiting":
        return after
    former = device.former
    if device.held is None or device.held.node_key != device.node_key:
        former = (*former, Registration(node_key=device.node_key))
    if device.held is not None and device.held.node_key == key:
        return replace(after, former=former, state="registered")
    return replace(after, former=tuple(one for one in former if one.node_key != key))


def _revoked(device: Device, key: NodeKey) -> Device | None:
    former = tuple(one for one in device.former if one.node_key != key)
    if device.state == "leaving" and not former:
        return None
    held = None if device.held is not None and device.held.node_key == key else device.held
    return _hopeful(replace(device, turn=device.turn + 1, former=former, held=held))


def _hopeful(device: Device) -> Device:
    return replace(device, attempts=0, failure="", word="", next_try=NEVER)
