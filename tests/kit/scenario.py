"""Given, when, then for decisions: a tailnet in memory, with its log, and a clock that stands until it is moved."""

import hashlib
from typing import Final

import pytest

from engine.domain.commands import (
    AddConnection,
    Command,
    CreateAuthKey,
    CreateUser,
    RegisterNode,
    RegisterPeer,
)
from engine.domain.decide import decide
from engine.domain.decision import Decision, Given
from engine.domain.errors import Refusal
from engine.domain.events import Event, tag_of
from engine.domain.state import Tailnet
from engine.domain.values import FIRST_PEER_ID, MachineKey, Millis, NodeId, NodeKey, PeerId

START: Final = Millis(1_750_000_000_000)
HOUR: Final = 3_600_000
DOCUMENT_KEY: Final = "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8="
"""The public key of the user's document."""


def octets(name: str) -> str:
    """Return 64 hex digits that no other name has, and that do not look like a private key."""
    digits = bytearray(hashlib.sha256(name.encode()).digest())
    digits[0] |= 1
    return digits.hex()


def node_key(name: str) -> NodeKey:
    return NodeKey("nodekey:" + octets(f"node {name}"))


def machine_key(name: str) -> MachineKey:
    return MachineKey("mkey:" + octets(f"machine {name}"))


def peer_key(name: str) -> NodeKey:
    return NodeKey("nodekey:" + octets(f"peer {name}"))


def peer_id(ordinal: int) -> PeerId:
    """Return the id of the first WireGuard-only peer, the second, and so on."""
    return PeerId(FIRST_PEER_ID + ordinal - 1)


class Scene:
    """A tailnet that is spoken to; every decision is applied, and kept in `log`."""

    def __init__(self) -> None:
        self.tailnet = Tailnet()
        self.log: list[tuple[Event, Millis]] = []
        self.now = START
        self.commands = 0

    def given(self) -> Given:
        self.commands += 1
        return Given(now=self.now, secret=hashlib.md5(str(self.commands).encode()).hexdigest())

    def when(self, command: Command) -> Decision:
        """Decide, and take in what happened."""
        decision = decide(self.tailnet, command, self.given())
        for event in decision.events:
            self.tailnet.apply(event, self.now)
            self.log.append((event, self.now))
        return decision

    def happens(self, command: Command) -> list[str]:
        """Decide, take in, and return the events' names without their versions."""
        return [tag_of(event).partition(".")[0] for event in self.when(command).events]

    def refused(self, command: Command) -> Refusal:
        """Decide, and return the refusal; the tailnet must not have changed."""
        before = self.replay()
        with pytest.raises(Refusal) as caught:
            decide(self.tailnet, command, self.given())
        assert self.tailnet == before, "a refusal changed the tailnet"
        return caught.value

    def replay(self) -> Tailnet:
        """Return a tailnet made of the log alone."""
        tailnet = Tailnet()
        for event, at in self.log:
            tailnet.apply(event, at)
        return tailnet

    def later(self, millis: int) -> None:
        self.now = Millis(self.now + millis)

    def user(self, name: str = "anna") -> int:
        return number(self.when(CreateUser(name=name)), "id")

    def auth_key(self, user: str | int = 1, **options: object) -> str:
        command = CreateAuthKey(user=user, **options)  # type: ignore[arg-type]
        return str(self.when(command).secret_result["key"])

    def node(self, name: str, /, user: str | int = 1, **options: object) -> NodeId:
        """Let a machine of this name in, by approval."""
        return NodeId(number(self.when(registration(name, user=user, **options)), "node"))

    def peer(self, name: str, /, **options: object) -> Decision:
        return self.when(registration_of_peer(name, **options))

    def connect(self, node: int | str, peer: int | str, ipv4: str = "", ipv6: str = "") -> Decision:
        return self.when(AddConnection(node=node, peer=peer, ipv4_masq_addr=ipv4, ipv6_masq_addr=ipv6))


def number(decision: Decision, field: str) -> int:
    value = decision.result[field]
    assert isinstance(value, int)
    return value


def registration(name: str, /, **options: object) -> RegisterNode:
    """Return the registration of machine `name` with its first node key; options are fields of the command."""
    fields = {
        "machine_key": machine_key(name),
        "node_key": node_key(name),
        "hostname": name,
        "capver": 106,
    } | options
    return RegisterNode(**fields)  # type: ignore[arg-type]


def registration_of_peer(name: str, /, **options: object) -> RegisterPeer:
    """Return the registration of a WireGuard-only exit; options are fields of the command."""
    address = int(octets(name)[:4], 16)
    fields = {
        "name": name,
        "user": 1,
        "public_key": peer_key(name),
        "allowed_ips": ("0.0.0.0/0", "::/0"),
        "endpoints": (f"198.51.{address >> 8}.{address & 255}:51820",),
    } | options
    return RegisterPeer(**fields)  # type: ignore[arg-type]
