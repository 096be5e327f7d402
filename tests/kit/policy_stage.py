"""A tailnet on stage with its policy: events are folded, the objects go to a replica, and each node's first frame is read.

It is the way of the real thing from end to end but for sockets: what is asserted is what a client would have been told.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.contracts.netmap import Change, Delta, Snapshot
from engine.contracts.soft import SoftFact
from engine.domain.events import (
    AutoUpdatesSet,
    DomainsSet,
    Event,
    LogStarted,
    NodeRegistered,
    NodeRoutesAdvertised,
    NodeRoutesApproved,
    PolicySet,
    UserCreated,
)
from engine.domain.values import (
    CommandId,
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    Position,
    StableId,
    UserId,
)
from engine.ports import Envelope, Recorded
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica, node_key
from frontends.control.session import End, Session
from frontends.control.view import View
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of

Json = dict[str, Any]
TIME: Final = "2026-01-01T00:00:00Z"
START: Final = 1_700_000_000_000
OLD, NEW = 104, 142
"""Capability versions: sources as addresses, sources as capabilities."""


class Stage:
    """A log of events, its projection, and a frontend's replica that follows it."""

    def __init__(self, *events: Event, epoch: str = "stage") -> None:
        self.state: Final = NetmapState()
        self.replica: Final = Replica()
        self.view: Final = View(self.replica)
        self.lists: Final = PeerLists(self.view, bytes)
        self._sequence = 0
        self._fold(LogStarted(epoch=Epoch(epoch)))
        for event in events:
            self._fold(event)
        sent = msgspec.json.encode(snapshot_of(self.state))
        self._show(self.replica.load(msgspec.json.decode(sent, type=Snapshot)))

    def tell(self, *events: Event) -> tuple[Change, ...]:
        """Let something happen; the replica gets it as one delta. Returns what changed, each key once."""
        prev = self.state.position
        changes = {change.key: change for event in events for change in self._fold(event)}
        delta = Delta(
            epoch=self.state.epoch, prev=prev, cur=self.state.position, changes=tuple(changes.values())
        )
        arrived = msgspec.json.decode(msgspec.json.encode(delta), type=Delta)
        self._show(self.replica.receive(arrived)[1])
        return delta.changes

    def online(self, numbers: Iterable[int], *, online: bool = True) -> None:
        """Let nodes come online, or go."""
        self._sequence += 1
        facts = [
            SoftFact(node=NodeId(number), origin="f1", generation=1, sequence=self._sequence, online=online)
            for number in numbers
        ]
        self.replica.merge(facts)
        self._show(frozenset(node_key(fact.node) for fact in facts))

    def first(self, number: int, capver: int = OLD) -> Json:
        """Return a node's first frame."""
        whole = Session(NodeId(number), capver).first(self.view, self.lists, TIME)
        assert not isinstance(whole, End)
        frame: Json = json.loads(whole.head + b"".join(whole.peers) + whole.tail)
        return frame

    def _fold(self, event: Event) -> tuple[Change, ...]:
        position = Position(self.state.position + 1)
        envelope = Envelope(
            stream="s", version=position, at=Millis(START), actor="t", command_id=CommandId(f"c{position}")
        )
        return fold(
            self.state, Recorded(position=position, envelope=envelope, event=event, digest=f"{position:x}")
        )

    def _show(self, touched: frozenset[str]) -> None:
        self.lists.update(self.view.update(touched))


def policy_set(policy: Mapping[str, Any] | str | None) -> PolicySet:
    """Return the event that sets a policy, by its value or its text; None is none."""
    text = policy if isinstance(policy, str) else "" if policy is None else json.dumps(policy)
    return PolicySet(text=text, digest=f"digest of {len(text)}")


def node_registered(number: int, user: int, tags: Sequence[str], ipv4: str, ipv6: str) -> NodeRegistered:
    """Return the event that a node joined."""
    return NodeRegistered(
        node=NodeId(number),
        stable_id=StableId(f"n{number}"),
        machine_key=MachineKey(f"mkey:{number:064x}"),
        node_key=NodeKey(f"nodekey:{number:064x}"),
        user=UserId(user),
        name=f"n{number}",
        hostname=f"n{number}",
        ipv4=ipv4,
        ipv6=ipv6,
        tags=tuple(tags),
    )


def vector_events(vector: Mapping[str, Any]) -> list[Event]:
    """Return the events that make a vector's tailnet, its policy last."""
    settings = vector["tailnet"]["settings"]
    events: list[Event] = [
        DomainsSet(domains=tuple(vector["tailnet"]["domains"])),
        AutoUpdatesSet(on=settings.get("devices_auto_updates_on", False)),
    ]
    numbers = {user["name"]: user["id"] for user in vector["users"]}
    for user in vector["users"]:
        roles = user["roles"]
        role = "owner" if "owner" in roles else "admin" if "admin" in roles else ""
        events.append(UserCreated(user=UserId(user["id"]), name=user["name"], email=user["email"], role=role))
    for node in vector["nodes"]:
        owner = numbers.get(node["user"], vector["users"][0]["id"])
        events.append(node_registered(node["id"], owner, node["tags"], node["ipv4"], node["ipv6"]))
        number = NodeId(node["id"])
        events.append(NodeRoutesAdvertised(node=number, routes=tuple(sorted(node["advertised_routes"]))))
        events.append(NodeRoutesApproved(node=number, routes=tuple(sorted(node["approved_routes"]))))
    return [*events, policy_set(vector["policy"])]
