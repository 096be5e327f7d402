"""Decisions about nodes at providers: who is registered there, and what the engine heard from them.

Rule 1: places go to who came first; who finds none waits, and gets the next that is free (`followed_up`).
Rule 2: a node's new key, and its end, reach its devices in the same decision.
Rule 3: an address that a provider gave moves all connections that live by the former one in the decision that reports it.
Rule 4: a report about what is past (`Device.turn`) changes nothing, and is no error.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from engine.domain.decision import Decision, Given
from engine.domain.device import BACKOFF_SECONDS, FULL, Device, Provider, end_of
from engine.domain.devicemasq import lives_by, moved_connections
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import Event, NodeDeleted, NodeReregistered
from engine.domain.pairs import listed_few, named
from engine.domain.provided import OF_PROVIDERS, Provided
from engine.domain.providercommands import (
    EnrolNode,
    ReportFailed,
    ReportRegistered,
    ReportRevoked,
    WithdrawNode,
)
from engine.domain.providerevents import (
    DeviceAdmitted,
    DeviceEvent,
    DeviceFailed,
    DeviceRegistered,
    DeviceRekeyed,
    DeviceRetried,
    DeviceRevoked,
    DeviceWanted,
)
from engine.domain.providers import provider_of
from engine.domain.refs import node_of
from engine.domain.selectors import wanted_by
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, Millis
from engine.domain.wgevents import ConnectionRemoved

_MAX_WORD: Final = 200
"""Characters of a provider's word that are kept."""


def enrol_node(tailnet: Tailnet, command: EnrolNode) -> Decision:
    """Decide to register the node at the provider; what failed is tried again now.

    Raises:
        NotFound: `provider.not_found`, `node.not_found`.
        Conflict: `device.leaving`.
    """
    provider, node = provider_of(tailnet, command.provider), node_of(tailnet, command.node)
    device = tailnet.provided.device(provider.id, node.id)
    if device is None:
        number = tailnet.provided.next_device
        wanted = DeviceWanted(device=number, provider=provider.id, node=node.id, node_key=node.node_key)
        return Decision(events=(wanted,), result={"id": number, "provider": provider.id, "node": node.id})
    if device.state == "leaving":
        raise Conflict(
            "device.leaving",
            f"node {named(node)} is being withdrawn from {provider.name}; that must end first",
            field="node",
            hint=f"netmap provider get {provider.name} shows when it has",
        )
    events: list[Event] = []
    if device.selector:
        events.append(
            DeviceWanted(device=device.id, provider=provider.id, node=node.id, node_key=device.node_key)
        )
    if device.failure:
        events.append(DeviceRetried(device=device.id, node=node.id))
    return Decision(events=tuple(events), result=described(device))


def withdraw_node(tailnet: Tailnet, command: WithdrawNode) -> Decision:
    """Decide to revoke what the provider knows of the node.

    Raises:
        NotFound: `provider.not_found`, `node.not_found`, `device.not_found`.
        Conflict: `device.connected`, `device.selected`.
    """
    provider, node = provider_of(tailnet, command.provider), node_of(tailnet, command.node)
    device = tailnet.provided.device(provider.id, node.id)
    if device is None:
        raise NotFound(
            "device.not_found",
            f"node {named(node)} is not registered at {provider.name}",
            field="node",
            hint=f"netmap provider get {provider.name}",
        )
    wanting = wanted_by(tailnet, device)
    if wanting is not None:
        selector, peer = wanting
        raise Conflict(
            "device.selected",
            f"node {named(node)} is registered at {provider.name} because {selector} is connected to {named(peer)}",
            field="node",
            hint=f"netmap connection remove-selector --selector {selector} --wg-peer-id {peer.id}",
        )
    living = [connection.peer for connection in lives_by(tailnet, device)]
    if living and not command.cascade:
        names = [named(tailnet.peers[peer]) for peer in living]
        raise Conflict(
            "device.connected",
            f"node {named(node)} is connected to {listed_few(names)} with the addresses that {provider.name} gave it",
            field="node",
            hint=f"with its connections: netmap provider withdraw {provider.name} {node.id} --cascade",
        )
    if device.state == "leaving":
        return Decision(result=described(device))
    ended = tuple(ConnectionRemoved(node=node.id, peer=peer) for peer in living)
    warnings = (f"device.connections: {len(ended)} connections went with it",) if ended else ()
    return Decision(events=(*ended, end_of(device)), result=described(device), warnings=warnings)


def report_registered(tailnet: Tailnet, command: ReportRegistered) -> Decision:
    """Decide on what follows from a registration at a provider (rule 3).

    Raises:
        Invalid: `device.address`: no source of packets can be what the provider gave.
    """
    device = tailnet.provided.devices.get(command.device)
    if device is None or device.turn != command.turn:
        return _past()
    event = DeviceRegistered(
        device=device.id,
        node=device.node,
        node_key=command.node_key,
        reference=command.reference,
        ipv4=_address(command.ipv4, 4, "ipv4"),
        ipv6=_address(command.ipv6, 6, "ipv6"),
    )
    if not (event.ipv4 or event.ipv6):
        raise Invalid("device.address", "the provider gave no address", field="ipv4")
    moves, warnings = moved_connections(tailnet, device, event)
    return Decision(events=(event, *moves), result=described(device), warnings=tuple(warnings))


def report_failed(tailnet: Tailnet, command: ReportFailed, given: Given) -> Decision:
    """Decide when a device's task is tried again: never by itself, when the failure lasts."""
    device = tailnet.provided.devices.get(command.device)
    if device is None or device.turn != command.turn:
        return _past()
    attempts = device.attempts + 1
    pause = BACKOFF_SECONDS[min(attempts, len(BACKOFF_SECONDS)) - 1]
    next_try = Millis(given.now + pause * 1_000)
    if command.lasting:
        next_try = given.now if _can_yield(device, command.code) else NEVER
    word = "".join(letter for letter in command.word[:_MAX_WORD] if letter.isprintable())
    event = DeviceFailed(
        device=device.id,
        node=device.node,
        code=command.code,
        word=word,
        attempts=attempts,
        next_try=next_try,
    )
    return Decision(events=(event,), result=described(device))


def report_revoked(tailnet: Tailnet, command: ReportRevoked) -> Decision:
    """Decide on what follows when a provider knows a key no more."""
    device = tailnet.provided.devices.get(command.device)
    if device is None or device.turn != command.turn:
        return _past()
    event = DeviceRevoked(device=device.id, node=device.node, node_key=command.node_key)
    return Decision(events=(event,), result=described(device))


def followed_up(tailnet: Tailnet, decision: Decision, given: Given) -> Decision:
    """Return the decision with what it means for devices at providers (rules 1 and 2)."""
    if not tailnet.provided.providers:
        return decision
    if not any(
        isinstance(event, (*OF_PROVIDERS, NodeReregistered, NodeDeleted)) for event in decision.events
    ):
        return decision
    later = tailnet.provided.draft()
    for event in decision.events:
        later.apply(event, given.now)
    events: list[Event] = []
    for step in _of_nodes(later, decision.events):
        later.apply(step, given.now)
        events.append(step)
    for provider in sorted(later.waiting):
        for step in _admissions(later, later.providers.get(provider)):
            later.apply(step, given.now)
            events.append(step)
    events += _unblocked(tailnet.provided, later)
    waiting = _new_waiting(tailnet, later)
    if not events and not waiting:
        return decision
    return replace(decision, events=(*decision.events, *events), warnings=(*decision.warnings, *waiting))


def described(device: Device) -> dict[str, object]:
    """Return what a reply says of a device."""
    return {"id": device.id, "provider": device.provider, "node": device.node}


def _past() -> Decision:
    return Decision(result={"past": True})


def _can_yield(device: Device, code: str) -> bool:
    """Return whether the account is full and the device itself has a former key there to give up."""
    if code != FULL or device.state not in {"wanted", "rotating"}:
        return False
    return bool(device.former or device.held)


def _address(text: str, version: int, field: str) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in text:
        raise Invalid("device.address", f"the provider gave what is no IPv{version} address", field=field)
    return str(address)


def _of_nodes(later: Provided, events: Iterable[Event]) -> Iterator[DeviceEvent]:
    for event in events:
        if isinstance(event, NodeReregistered):
            for device in list(later.devices_of(event.node)):
                if device.node_key != event.node_key and device.state != "leaving":
                    yield DeviceRekeyed(device=device.id, node=device.node, node_key=event.node_key)
        elif isinstance(event, NodeDeleted):
            for device in list(later.devices_of(event.node)):
                if device.state != "leaving":
                    yield end_of(device)


def _admissions(later: Provided, provider: Provider | None) -> Iterator[DeviceAdmitted]:
    if provider is None:
        return
    free = provider.quota - later.places(provider.id)
    for number in sorted(later.waiting.get(provider.id, ()))[: max(free, 0)]:
        yield DeviceAdmitted(device=number, node=later.devices[number].node)


def _unblocked(before: Provided, later: Provided) -> Iterator[DeviceRetried]:
    """Yield who was told that the account is full, at providers where a device is gone now."""
    shrunk = {
        device.provider
        for number, device in before.devices.items()
        if number not in later.devices and device.state != "waiting"
    }
    for provider in sorted(shrunk):
        for device in later.devices_at(provider):
            if device.failure == FULL and device.next_try == NEVER:
                yield DeviceRetried(device=device.id, node=device.node)


def _new_waiting(tailnet: Tailnet, later: Provided) -> list[str]:
    """Say who waits from now on, and behind how many."""
    told = []
    for provider, numbers in sorted(later.waiting.items()):
        fresh = [number for number in sorted(numbers) if number not in tailnet.provided.devices]
        if fresh:
            one = later.providers[provider]
            told.append(
                f"device.waits: {len(fresh)} more wait for one of the {one.quota} places at {one.name}; "
                f"{len(numbers)} wait in all"
            )
    return told
