"""Netmap objects for the frontend's tests: what a projection would say, made from few words.

A class's name says what its nodes are: `u1` is user 1's, `t:tag:a+tag:b` has these tags.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from engine.contracts.netmap import (
    Change,
    ClassObject,
    ClassSetObject,
    Delta,
    EntryObject,
    NetmapObject,
    NodeObject,
    ProgramObject,
    Snapshot,
    SshRuleObject,
    TailnetObject,
    WireGuardPeerObject,
    key_of,
)
from engine.contracts.soft import SoftFact
from engine.domain.values import Epoch, NodeId, Position, UserId
from engine.policy.document import ALL_PORTS, Ports
from engine.policy.policy import Entry, Reach, SshRule, Target
from frontends.control.replica import Replica, node_key
from frontends.control.view import View

EPOCH: Final = Epoch("e1")
TIME: Final = "2026-01-01T00:00:00Z"
MARK: Final = "cap:netmap.internal/set/"
"""Begins a source that is a set, for clients that know sources by capability."""


def tailnet(
    base: str = "tail.example.com", *, auto_updates: bool = False, resolvers: tuple[str, ...] = ()
) -> TailnetObject:
    derp = msgspec.json.encode(
        {
            "Regions": {
                "900": {
                    "RegionID": 900,
                    "RegionCode": "a",
                    "RegionName": "A",
                    "Nodes": [{"Name": "900a", "RegionID": 900, "HostName": "d"}],
                }
            }
        }
    )
    return TailnetObject(
        base_domain=base, derp_map=msgspec.Raw(derp), auto_updates=auto_updates, resolvers=resolvers
    )


def tags_of(class_id: str) -> tuple[str, ...]:
    return tuple(class_id[2:].split("+")) if class_id.startswith("t:") else ()


def node(number: int, class_id: str, **fields: Any) -> NodeObject:
    tags = tags_of(class_id)
    fields.setdefault("node_key", f"nodekey:{number:064x}")
    whole: dict[str, Any] = {
        "id": number,
        "stable_id": f"n{number}",
        "name": fields.pop("name", f"host{number}"),
        "user": 1 if tags else int(class_id[1:]),
        "machine_key": f"mkey:{number:064x}",
        "ipv4": f"100.64.0.{number}",
        "ipv6": f"fd7a:115c:a1e0::{number:x}",
        "class_id": class_id,
        "created": 1_700_000_000_000,
        "tags": tags,
        "hostname": f"h{number}",
        "os": "linux",
        "capver": 142,
        **fields,
    }
    return NodeObject(**whole)


def external(number: int, **fields: Any) -> WireGuardPeerObject:
    whole: dict[str, Any] = {
        "id": number,
        "stable_id": f"w{number}",
        "name": fields.pop("name", f"exit{number % 1000}"),
        "public_key": fields.pop("key", f"nodekey:{number:064x}"),
        "allowed_ips": fields.pop("allowed_ips", ("0.0.0.0/0", "::/0", "10.9.0.0/16", "fd09::/64")),
        "endpoints": fields.pop("endpoints", ("192.0.2.1:51820",)),
        "ipv4": f"100.127.0.{number % 1000}",
        "ipv6": f"fd7a:115c:a1e0:ffff::{number % 1000:x}",
        "created": 1_700_000_000_000,
        **fields,
    }
    return WireGuardPeerObject(**whole)


def a_class(name: str, *, sees: Iterable[str] = (), **fields: Any) -> ClassObject:
    """A class that sees these sets; whose it is, its name says."""
    user = UserId(0 if name.startswith("t:") else int(name[1:]))
    return ClassObject(id=name, sees=tuple(sees), user=user, **fields)


def a_set(name: str, *classes: str, is_source: bool = True) -> ClassSetObject:
    return ClassSetObject(id=name, classes=tuple(sorted(classes)), is_source=is_source)


def entry(name: str, *sets: str, **fields: Any) -> EntryObject:
    """A rule's sources: the devices of these sets, and what else the fields say."""
    return EntryObject(entry=Entry(id=name, sets=sets, **fields))


def program(*names: str) -> ProgramObject:
    return ProgramObject(entries=names)


def reach(name: str, *targets: Target, own: str = "") -> Reach:
    """How a class is reached by an entry; without targets on its own addresses, at every port."""
    return Reach(entry=name, targets=targets or (Target("", ALL_PORTS),), own=own)


def to(ip: str = "", ports: Ports = ALL_PORTS) -> Target:
    return Target(ip, ports)


def granted(name: str) -> Reach:
    """How a class is reached by a grant of capabilities."""
    return Reach(entry=name)


def shell(name: str, *sets: str, **fields: Any) -> SshRuleObject:
    """A rule of Tailscale SSH for root, from these sets."""
    users = fields.pop("users", (("root", "root"),))
    return SshRuleObject(rule=SshRule(id=name, sets=sets, users=users, **fields))


class Held:
    """A replica and the view of it; `put` is one delta, as a projection sends it."""

    def __init__(self, *values: NetmapObject) -> None:
        self.replica: Final = Replica()
        self.view: Final = View(self.replica)
        self._sequence = 0
        changes = tuple(Change(key=key_of(value), at=Position(1), value=value) for value in values)
        self.view.update(self.replica.load(Snapshot(epoch=EPOCH, position=Position(1), objects=changes)))

    def put(self, *values: NetmapObject, gone: Iterable[str] = ()) -> frozenset[str]:
        """Change these objects in one delta; return the keys that it touched."""
        touched = self.replica.receive(delta(self.replica, values, gone))[1]
        self.view.update(touched)
        return touched

    def online(self, *numbers: int, online: bool = True) -> None:
        """Let nodes come online, or go."""
        self.view.update(self.say(*numbers, online=online))

    def say(self, *numbers: int, online: bool = True) -> frozenset[str]:
        """Merge facts into the replica, and do not tell the view yet."""
        self._sequence += 1
        facts = [
            SoftFact(node=NodeId(number), origin="f1", generation=1, sequence=self._sequence, online=online)
            for number in numbers
        ]
        return self.replica.merge(facts)

    def filter(self, number: int, capver: int) -> list[dict[str, Any]]:
        """A node's packet filter."""
        standing = self.view.standing(NodeId(number), capver)
        assert standing is not None
        found: list[dict[str, Any]] = msgspec.json.decode(standing.filters)["netmap"]
        return found

    def routes(self, number: int) -> dict[int, tuple[str, ...]]:
        """For each router the prefixes that lead to it in a node's view."""
        standing = self.view.standing(NodeId(number), 142)
        assert standing is not None
        return {int(router): routes for router, routes in standing.scope.routes.items()}

    def shells(self, number: int) -> list[dict[str, Any]]:
        """A node's SSH rules."""
        standing = self.view.standing(NodeId(number), 142)
        assert standing is not None
        found: list[dict[str, Any]] = msgspec.json.decode(standing.ssh)["rules"]
        return found


def delta(replica: Replica, values: Iterable[NetmapObject], gone: Iterable[str] = ()) -> Delta:
    """These changes as the delta that follows what the replica has."""
    position = Position(replica.position + 1)
    changes = [Change(key=key_of(value), at=position, value=value) for value in values]
    changes += [Change(key=key, at=position, value=None) for key in gone]
    return Delta(epoch=EPOCH, prev=replica.position, cur=position, changes=tuple(changes))


def key(number: int) -> str:
    """The key under which a node is held."""
    return node_key(NodeId(number))
