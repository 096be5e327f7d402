"""Netmap objects, and how their changes travel from projections to frontends.

A node's netmap is `self + objects(class) + extras`: a recipe over shared objects, never a blob for each node. A class
says whom it sees and who may reach it by naming sets of classes, never by listing classes: a class that comes or goes
changes itself and the sets that it is in, and no other class (docs/adr/0003).

Rule 1: an object is a whole value under a key; a change is an upsert or a removal of one key at one position.
Rule 2: a delta says from where to where: `(epoch, prev, cur]`. Its changes hold the objects as they are at `cur`,
        each with the last position that touched it.
Rule 3: a holder at `own` applies a delta iff the epochs agree and prev ≤ own ≤ cur, skipping changes at or before
        `own`; it then is at `cur`. An old delta is ignored; a gap or another epoch means resync (`judge`).
Rule 4: a bookmark is a delta without changes and prev = cur.
Rule 5: on the bus all of these are JSON. A delta has at most `MAX_DELTA` octets; where one position alone has
        more, it is left out, and a bookmark at that position makes every holder resync: the epoch stays.
Rule 6: a delta says by its state digest what all objects are at `cur`, and a snapshot what its own are (`digest.py`). Who holds
        something else there holds something wrong, or was told something wrong.
Rule 7: soft state (endpoints, home DERP, online, Hostinfo) is not here: see `soft.py`.
"""

from enum import Enum
from typing import Final, assert_never

import msgspec

from engine.domain.events import ExtraConfig
from engine.domain.values import (
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    PeerId,
    Position,
    StableId,
    UserId,
)
from engine.policy.attributes import DISABLE_IPV4
from engine.policy.policy import Entry, Reach, SshRule, SshUse


class NodeObject(msgspec.Struct, frozen=True, kw_only=True, tag="node", omit_defaults=True):
    """A node as the log knows it; `class_id` names the class that it belongs to."""

    id: NodeId
    stable_id: StableId
    name: str
    """The name's first label; the FQDN needs the tailnet's base domain."""
    user: UserId
    machine_key: MachineKey
    node_key: NodeKey
    ipv4: str
    ipv6: str
    class_id: str
    created: Millis
    tags: tuple[str, ...] = ()
    expiry: Millis = Millis(0)
    expired: bool = False
    ephemeral: bool = False
    hostname: str = ""
    os: str = ""
    capver: int = 0
    advertised: tuple[str, ...] = ()
    """The prefixes that its client offers, exit routes included; sorted."""
    routes: tuple[str, ...] = ()
    """What is both offered and approved, without exit routes; sorted."""
    exit_routes: tuple[str, ...] = ()
    """The exit routes that are both offered and approved."""


class WireGuardPeerObject(msgspec.Struct, frozen=True, kw_only=True, tag="peer", omit_defaults=True):
    """A WireGuard-only peer; it appears in a netmap only through an `ExtrasObject`."""

    id: PeerId
    stable_id: StableId
    name: str
    public_key: NodeKey
    allowed_ips: tuple[str, ...]
    endpoints: tuple[str, ...]
    ipv4: str
    ipv6: str
    created: Millis
    extra: ExtraConfig = ExtraConfig()
    parked_key: NodeKey | None = None
    """Set while it is disabled: clients get this key and an endpoint that leads nowhere."""
    expired_at: Millis = Millis(0)
    drained: bool = False
    """Whether clients count it as offline, though traffic passes."""


NOWHERE: Final = "192.0.2.1:9"
"""The endpoint of a parked WireGuard-only peer: the discard port of a documentation address (RFC 863, RFC 5737)."""


class UserObject(msgspec.Struct, frozen=True, kw_only=True, tag="user", omit_defaults=True):
    """Who a node belongs to, as other people see it."""

    id: UserId
    name: str
    display_name: str = ""


class ClassSetObject(msgspec.Struct, frozen=True, kw_only=True, tag="set", omit_defaults=True):
    """Classes that a policy speaks of together, under a name that stays the same while classes come and go."""

    id: str
    classes: tuple[str, ...]
    """Sorted."""
    is_source: bool = False
    """Whether filters name it: its nodes then carry its name in their viewers' netmaps."""


class ClassObject(msgspec.Struct, frozen=True, kw_only=True, tag="class", omit_defaults=True):
    """Nodes of one policy identity: what they see, who may reach them, and what they may do."""

    id: str
    sees: tuple[str, ...]
    """The sets whose classes' nodes are peers of this class's nodes, sorted."""
    user: UserId = UserId(0)
    """Whose nodes they are; 0 for tagged ones."""
    rules: tuple[Reach, ...] = ()
    capabilities: tuple[str, ...] = ()
    """What their own clients are told that they may do, beyond what everybody may; sorted."""
    ssh: tuple[SshUse, ...] = ()
    local_names: tuple[tuple[str, str], ...] = ()
    """Their user's login names under SSH rules of which they are sources: (rule, name)."""

    @property
    def has_ipv4(self) -> bool:
        """Whether its nodes show their IPv4 addresses."""
        return DISABLE_IPV4 not in self.capabilities


class EntryObject(msgspec.Struct, frozen=True, kw_only=True, tag="entry"):
    """The sources of one rule; classes say by its id how they may be reached by them."""

    entry: Entry


class SshRuleObject(msgspec.Struct, frozen=True, kw_only=True, tag="ssh"):
    """One rule of Tailscale SSH; classes that have it name it by its id."""

    rule: SshRule


class ProgramObject(msgspec.Struct, frozen=True, kw_only=True, tag="program"):
    """The order of all entries: address lists are merged over all of them before they are cut to one node."""

    entries: tuple[str, ...]


class SteeredRouters(msgspec.Struct, frozen=True, array_like=True):
    """Viewers of these sets use the prefix through the first of these routers that is there."""

    sets: tuple[str, ...]
    routers: tuple[NodeId, ...]


class RouteObject(msgspec.Struct, frozen=True, kw_only=True, tag="route", omit_defaults=True):
    """An approved prefix that is no exit route: who routes it, and who is told.

    Its primary router is the first that is online. Viewers whose class is in any of `sets` are told of it there;
    others as `steered` says, the first that fits.
    """

    prefix: str
    routers: tuple[NodeId, ...]
    """In the order in which they joined."""
    sets: tuple[str, ...] = ()
    steered: tuple[SteeredRouters, ...] = ()


class ConnectionExtra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One connection, as the node's recipe needs it."""

    peer: PeerId
    ipv4_masq: str = ""
    ipv6_masq: str = ""
    allowed_ips: tuple[str, ...] | None = None
    """What this node gets of the peer's allowed IPs, and the policy leaves of that if it rules here; None: all."""
    jailed: bool = True
    """Whether the far side may only answer."""


class ExtrasObject(msgspec.Struct, frozen=True, kw_only=True, tag="extras", omit_defaults=True):
    """What is one node's own: its connections, sorted by peer; absent when there are none."""

    node: NodeId
    connections: tuple[ConnectionExtra, ...] = ()
    demotes: bool = False
    """Whether one of them is an exit with resolvers of its own, before which the tailnet's do not go."""


class TailnetObject(msgspec.Struct, frozen=True, kw_only=True, tag="tailnet", omit_defaults=True):
    """What holds for every node: names and the DERP map (the wire form's JSON)."""

    base_domain: str
    derp_map: msgspec.Raw
    auto_updates: bool = False
    """Whether clients whose person has not said otherwise update themselves."""
    resolvers: tuple[str, ...] = ()
    """What nodes ask instead of their own resolvers."""


NetmapObject = (
    NodeObject
    | WireGuardPeerObject
    | UserObject
    | ClassSetObject
    | ClassObject
    | EntryObject
    | SshRuleObject
    | ProgramObject
    | RouteObject
    | ExtrasObject
    | TailnetObject
)
TAILNET_KEY: Final = "tailnet"
PROGRAM_KEY: Final = "program"
MAX_DELTA: Final = 512 * 1024
"""Octets: half of a NATS server's default max_payload (1 MiB)."""
BOOKMARK_SECONDS: Final = 1.0
"""How often a projection that has nothing to tell says where it is (reference: reliability F3)."""


def key_of(value: NetmapObject) -> str:  # noqa: C901 (an arm for each kind)
    """Return the key under which an object is held: `node/7`, `class/u1`, `set/all`, and so on."""
    match value:
        case NodeObject(id=number):
            return f"node/{number}"
        case WireGuardPeerObject(id=number):
            return f"peer/{number}"
        case UserObject(id=number):
            return f"user/{number}"
        case ClassSetObject(id=name):
            return f"set/{name}"
        case ClassObject(id=name):
            return f"class/{name}"
        case EntryObject(entry=entry):
            return f"entry/{entry.id}"
        case SshRuleObject(rule=rule):
            return f"ssh/{rule.id}"
        case ProgramObject():
            return PROGRAM_KEY
        case RouteObject(prefix=prefix):
            return f"route/{prefix}"
        case ExtrasObject(node=number):
            return f"extras/{number}"
        case TailnetObject():
            return TAILNET_KEY
        case _:
            assert_never(value)


class Change(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One key, the last position that touched it, and its value; None is a removal."""

    key: str
    at: Position
    value: NetmapObject | None


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """All changes in (prev, cur]; without changes and with prev = cur it is a bookmark."""

    epoch: Epoch
    prev: Position
    cur: Position
    changes: tuple[Change, ...] = ()
    digest: str = ""
    """The state digest at `cur`; empty where a batch is cut between its ends."""
    by: str = ""
    """The projection that says it."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Every object of a tailnet at one position, sorted by key."""

    epoch: Epoch
    position: Position
    objects: tuple[Change, ...]
    digest: str = ""
    """The state digest of the objects."""


class SnapshotChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a snapshot's JSON, compressed as one zstd stream cut into chunks.

    `id` is the snapshot's SHA-256 in hex over the whole compressed JSON; a chunk of another id does not belong.
    """

    id: str
    epoch: Epoch
    position: Position
    index: int
    count: int
    data: bytes


class Verdict(Enum):
    """What a holder does with a delta."""

    APPLY = "apply"
    IGNORE = "ignore"
    RESYNC = "resync"


def judge(epoch: Epoch, own: Position, delta: Delta) -> Verdict:
    """Return what a holder at `(epoch, own)` does with the delta (rule 3)."""
    if delta.epoch != epoch:
        return Verdict.RESYNC
    if delta.cur <= own:
        return Verdict.IGNORE
    return Verdict.APPLY if delta.prev <= own else Verdict.RESYNC
