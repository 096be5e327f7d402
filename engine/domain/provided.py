"""Providers and devices as decisions see them: the tables and indices of `Tailnet` that are about them; its rules hold here.

Rule 1: devices are numbered in the order in which they were wanted: who waits longest has the lowest number.
"""

from collections.abc import Iterator
from typing import Final

from engine.domain.device import Device, Provider, evolve_device, evolve_provider, task_of
from engine.domain.events import Event
from engine.domain.providerevents import DeviceEvent, PeerProviderSet, ProviderEvent
from engine.domain.tables import copied, join, leave
from engine.domain.values import DeviceId, Millis, NodeId, PeerId, ProviderId
from engine.domain.wgevents import PeerRemoved

OF_PROVIDERS: Final = (ProviderEvent, DeviceEvent, PeerProviderSet, PeerRemoved)
"""What these tables take in."""


class Provided:
    """Tables by id, and indices: providers by name, devices by provider and node, relays by provider; who has a task."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.providers: dict[ProviderId, Provider] = {}
        self.devices: dict[DeviceId, Device] = {}
        self.next_provider = ProviderId(1)
        self.next_device = DeviceId(1)
        self.by_name: dict[str, ProviderId] = {}
        self.by_pair: dict[tuple[ProviderId, NodeId], DeviceId] = {}
        self.of_node: dict[NodeId, set[DeviceId]] = {}
        self.of_provider: dict[ProviderId, set[DeviceId]] = {}
        self.waiting: dict[ProviderId, set[DeviceId]] = {}
        self.relays: dict[ProviderId, set[PeerId]] = {}
        self.provider_of_peer: dict[PeerId, ProviderId] = {}
        self.busy: set[DeviceId] = set()

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same."""
        return isinstance(other, Provided) and vars(self) == vars(other)

    def draft(self) -> "Provided":
        """Return another one that says the same."""
        other = Provided()
        for name, table in vars(self).items():
            setattr(other, name, copied(table))
        return other

    def device(self, provider: ProviderId, node: NodeId) -> Device | None:
        """Return the node's device at the provider."""
        number = self.by_pair.get((provider, node))
        return None if number is None else self.devices[number]

    def devices_at(self, provider: ProviderId) -> Iterator[Device]:
        """Yield a provider's devices, who came first before the others."""
        return (self.devices[number] for number in sorted(self.of_provider.get(provider, ())))

    def devices_of(self, node: NodeId) -> Iterator[Device]:
        """Yield a node's devices, by id."""
        return (self.devices[number] for number in sorted(self.of_node.get(node, ())))

    def places(self, provider: ProviderId) -> int:
        """Return how many of a provider's places are taken: by whoever does not wait."""
        return len(self.of_provider.get(provider, ())) - len(self.waiting.get(provider, ()))

    def apply(self, event: Event, at: Millis) -> None:
        """Take in an event that is one of `OF_PROVIDERS`; cannot fail."""
        if isinstance(event, ProviderEvent):
            self._apply_provider(event, at)
        elif isinstance(event, DeviceEvent):
            self._apply_device(event, at)
        elif isinstance(event, PeerProviderSet):
            self._apply_peer(event.peer, event.provider)
        elif isinstance(event, PeerRemoved):
            self._apply_peer(event.peer, None)

    def _apply_provider(self, event: ProviderEvent, at: Millis) -> None:
        before = self.providers.pop(event.provider, None)
        after = evolve_provider(before, event, at)
        if before is not None:
            self.by_name.pop(before.name, None)
        if after is not None:
            self.providers[after.id] = after
            self.by_name[after.name] = after.id
            self.next_provider = max(self.next_provider, ProviderId(after.id + 1))

    def _apply_device(self, event: DeviceEvent, at: Millis) -> None:
        before = self.devices.get(event.device)
        after = evolve_device(before, event, at)
        if before is not None and after is None:
            self._forget(before)
        if after is None:
            return
        self.devices[after.id] = after
        self.by_pair[after.provider, after.node] = after.id
        join(self.of_node, after.node, after.id)
        join(self.of_provider, after.provider, after.id)
        (join if after.state == "waiting" else leave)(self.waiting, after.provider, after.id)
        (self.busy.discard if task_of(after) is None else self.busy.add)(after.id)
        self.next_device = max(self.next_device, DeviceId(after.id + 1))

    def _forget(self, device: Device) -> None:
        del self.devices[device.id]
        self.by_pair.pop((device.provider, device.node), None)
        leave(self.of_node, device.node, device.id)
        leave(self.of_provider, device.provider, device.id)
        leave(self.waiting, device.provider, device.id)
        self.busy.discard(device.id)

    def _apply_peer(self, peer: PeerId, provider: ProviderId | None) -> None:
        before = self.provider_of_peer.pop(peer, None)
        if before is not None:
            leave(self.relays, before, peer)
        if provider is not None:
            self.provider_of_peer[peer] = provider
            join(self.relays, provider, peer)
