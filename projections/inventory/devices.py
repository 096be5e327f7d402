"""Providers and the devices that nodes are there, as rows.

Rule 1: an account number is in no row, not even as it is in the log.
Rule 2: what becomes of a device next is said with it: who waits behind how many, when what failed is tried again, what failed.
"""

from collections import Counter
from collections.abc import Iterator

import msgspec

from engine.domain.device import Device, Provider, due_at, task_of
from engine.domain.state import Tailnet
from engine.domain.values import NodeId


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A provider, and how many of its places are taken; `waiting` nodes have none, `failing` ones had bad news last."""

    id: int
    name: str
    kind: str
    base_url: str
    quota: int
    used: int
    waiting: int
    failing: int
    relays: int
    created: int


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A node at a provider; `nextTry` is when what failed is tried again, 0 for never by itself."""

    id: int
    provider: int
    provider_name: str
    node: int
    node_name: str
    state: str
    ipv4: str
    ipv6: str
    node_key: str
    selector: str
    """Because of which selector it is there; empty: somebody asked for it."""
    ahead: int
    """Who waits before it does; 0 for who does not wait."""
    failure: str
    word: str
    attempts: int
    next_try: int
    revoking: int
    """Former keys that the provider is still to forget."""
    created: int


def providers(tailnet: Tailnet) -> Iterator[ProviderRow]:
    """Yield every provider, by id."""
    provided = tailnet.provided
    for number in sorted(provided.providers):
        provider = provided.providers[number]
        failing = Counter(bool(device.failure) for device in provided.devices_at(number))
        yield ProviderRow(
            id=provider.id,
            name=provider.name,
            kind=provider.kind,
            base_url=provider.base_url,
            quota=provider.quota,
            used=provided.places(number),
            waiting=len(provided.waiting.get(number, ())),
            failing=failing[True],
            relays=len(provided.relays.get(number, ())),
            created=provider.created,
        )


def devices(tailnet: Tailnet) -> Iterator[DeviceRow]:
    """Yield every device, who came first before the others."""
    ahead: Counter[int] = Counter()
    for number in sorted(tailnet.provided.devices):
        device = tailnet.provided.devices[number]
        provider = tailnet.provided.providers.get(device.provider)
        yield _row(tailnet, device, provider, ahead[device.provider] if device.state == "waiting" else 0)
        ahead[device.provider] += device.state == "waiting"


def _row(tailnet: Tailnet, device: Device, provider: Provider | None, ahead: int) -> DeviceRow:
    return DeviceRow(
        id=device.id,
        provider=device.provider,
        provider_name="" if provider is None else provider.name,
        node=device.node,
        node_name=_node_name(tailnet, device.node),
        state=device.state,
        ipv4=device.ipv4,
        ipv6=device.ipv6,
        node_key=device.node_key,
        selector=device.selector,
        ahead=ahead,
        failure=device.failure,
        word=device.word,
        attempts=device.attempts,
        next_try=(due_at(device) or 0) if device.failure and task_of(device) else 0,
        revoking=len(device.former),
        created=device.created,
    )


def _node_name(tailnet: Tailnet, number: NodeId) -> str:
    node = tailnet.nodes.get(number)
    return "" if node is None else node.name
