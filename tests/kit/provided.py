"""A tailnet with a provider in it, and somebody who reports what the provider does."""

import hashlib
from typing import Final

from engine.domain.decision import Decision
from engine.domain.device import Device, task_of
from engine.domain.events import tag_of
from engine.domain.providercommands import (
    AddProvider,
    EnrolNode,
    ReportFailed,
    ReportRegistered,
    ReportRevoked,
)
from engine.domain.values import DeviceId, NodeId, NodeKey, ProviderId
from tests.kit.scenario import Scene

SEALED: Final = "sealed:v1:AAAA"


def addresses_of(key: NodeKey) -> tuple[str, str]:
    """What a provider gives a key: always the same."""
    digits = hashlib.sha256(key.encode()).digest()
    return f"10.{64 + digits[0] % 32}.{digits[1]}.{digits[2]}", f"fc00:bbbb::{digits[0]:x}:{digits[3]:x}"


class ProviderScene(Scene):
    """User anna, and a provider `mv` with two places unless said otherwise; `exit` is a relay of it."""

    def __init__(self, *, quota: int = 2) -> None:
        super().__init__()
        self.user("anna")
        self.when(AddProvider(name="mv", kind="mullvad", quota=quota, account=SEALED))
        self.peer("exit", provider="mv")

    def device(self, node: int) -> Device:
        device = self.tailnet.provided.device(ProviderId(1), NodeId(node))
        assert device is not None
        return device

    def states(self) -> dict[int, str]:
        """The state of each node's device."""
        return {device.node: device.state for device in self.tailnet.provided.devices.values()}

    def enrol(self, node: int) -> Decision:
        return self.when(EnrolNode(provider="mv", node=node))

    def works(self, node: int) -> Decision:
        """Do at the provider what is to be done for the node's device next, and report it."""
        return self.works_on(self.device(node))

    def works_on(self, device: Device) -> Decision:
        """As `works`, for a device whose node may be gone."""
        task = task_of(device)
        assert task is not None
        key = task.registration.node_key
        if task.verb == "revoke":
            return self.when(ReportRevoked(device=device.id, turn=device.turn, node_key=key))
        return self.registered(device.id, device.turn, key)

    def happens_next(self, node: int) -> list[str]:
        """As `works`, and return the events' names."""
        return [tag_of(event).partition(".")[0] for event in self.works(node).events]

    def registered(self, device: int, turn: int, key: NodeKey) -> Decision:
        ipv4, ipv6 = addresses_of(key)
        reference = f"ref-{key[-6:]}"
        return self.when(
            ReportRegistered(
                device=DeviceId(device), turn=turn, node_key=key, reference=reference, ipv4=ipv4, ipv6=ipv6
            )
        )

    def fails(self, node: int, code: str = "provider.unreachable", *, lasting: bool = False) -> Decision:
        return self.fails_on(self.device(node), code, lasting=lasting)

    def fails_on(self, device: Device, code: str, *, lasting: bool) -> Decision:
        """As `fails`, for a device whose node may be gone."""
        return self.when(
            ReportFailed(device=device.id, turn=device.turn, code=code, word="no", lasting=lasting)
        )
