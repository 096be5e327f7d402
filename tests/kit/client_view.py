"""What a real client believes after the frames of one map session: its merge rules, as a pure class.

Rule 1: the first frame that is no keep-alive has `Node`; what a frame leaves out stays as it was.
Rule 2: a non-empty `Peers` replaces all peers, and the rest of the frame's peer changes is then ignored. An empty
        one changes nothing.
Rule 3: a peer in `PeersChanged` that the client knows is first turned into a patch, compared with the state before
        this frame, if what differs fits into one. A patch cannot clear everything: old values stay.
Rule 4: order: PeersRemoved, PeersChanged, PeerSeenChange, OnlineChange, PeersChangedPatch.
Rule 5: packet filters: `PacketFilter` is the one named `base`; then `"*": null` clears all; then the other names, a
        null value deletes one; in force are all rules, by sorted name.
Rule 6: what a real client would reject raises `Rejected`; the view is of no more use then.

Nodes are held in `normal` form. Source: tailscale control/controlclient/map.go, v1.102.3; below capver 111 only the
string `DERP` counts, below 112 absent AllowedIPs are none, from 138 on stale disco keys are not taken.
"""

import ipaddress
import json
from typing import Any, Final

from frontends.wire.timetext import parse
from tests.kit.client_schema import RESPONSE
from tests.kit.go_json import Rejected

Json = dict[str, Any]
PATCHABLE: Final = frozenset(
    {
        "Key",
        "KeyExpiry",
        "KeySignature",
        "DiscoKey",
        "Endpoints",
        "HomeDERP",
        "Cap",
        "CapMap",
        "Online",
        "LastSeen",
    }
)
_KEPT_WHEN_ZERO: Final = frozenset({"Online", "AllowedIPs"})
_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


def normal(node: Json, capver: int = 142) -> Json:
    """Return a node as a client of this capver understands it: no zero values, one home region, its AllowedIPs."""
    home = node.get("HomeDERP") if capver >= 111 else None
    legacy = int(node["DERP"].rpartition(":")[2]) if node.get("DERP") else 0
    allowed = node.get("AllowedIPs")
    if allowed is None:
        allowed = node["Addresses"] if capver >= 112 else []
    whole = {**node, "HomeDERP": home or legacy, "AllowedIPs": allowed}
    whole.pop("DERP", None)
    return {
        name: value
        for name, value in whole.items()
        if value is not None and (name in _KEPT_WHEN_ZERO or not _is_zero(value))
    }


def _is_zero(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("", _ZERO_TIME) or (":" in value and not value.partition(":")[2].strip("0"))
    return not value


def strict_json(text: bytes) -> Json:
    """Return a frame's JSON; a name that stands twice in one object is refused."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Rejected("a name stands twice in one object")
        return found

    def never(constant: str) -> Any:
        raise Rejected(f"not JSON: {constant}")

    try:
        frame = json.loads(text.decode(), object_pairs_hook=once, parse_constant=never)
    except ValueError:
        raise Rejected("not JSON") from None
    if not isinstance(frame, dict):
        raise Rejected("not an object")
    return frame


class ClientView:
    """The state of one map session, at the client.

    `node` is the self node, `peers` are by id, `filters` by name, `profiles` by user id. `frames` counts what was no
    keep-alive; `strangers` are the ids of patches and online changes for peers that the client does not hold: real
    clients ignore them, but each says something about a peer that the viewer should not see.
    """

    def __init__(self, capver: int = 142) -> None:
        self.capver: Final = capver
        self.node: Json | None = None
        self.peers: dict[int, Json] = {}
        self.filters: dict[str, list[Json]] = {}
        self.profiles: dict[int, Json] = {}
        self.dns: Json | None = None
        self.derp: Json | None = None
        self.ssh: Json | None = None
        self.domain = ""
        self.health: list[str] = []
        self.messages: dict[str, Json] = {}
        self.collect_services: bool | None = None
        self.control_time: str | None = None
        self.debug: list[Json] = []
        self.pings: list[Json] = []
        self.frames = 0
        self.keep_alives = 0
        self.strangers: list[int] = []

    @property
    def rules(self) -> list[Json]:
        """The packet filter in force."""
        return [rule for name in sorted(self.filters) for rule in self.filters[name]]

    def apply(self, text: bytes) -> Json:
        """Take one frame's JSON and return it.

        Raises:
            Rejected: a real client would discard the frame and end the poll.
        """
        frame = strict_json(text)
        RESPONSE(frame)
        frame = {name: value for name, value in frame.items() if value is not None}
        self.control_time = frame.get("ControlTime", self.control_time)
        if "PingRequest" in frame:
            self.pings.append(frame["PingRequest"])
        if frame.get("KeepAlive"):
            self.keep_alives += 1
            return frame
        if not self.frames and "Node" not in frame:
            raise Rejected("initial MapResponse lacked node")
        self.frames += 1
        self._peers(frame)
        self._sticky(frame)
        self._filters(frame)
        return frame

    def complaints(self) -> list[str]:
        """Return what a real client would take but not work with; empty when all is well."""
        found: list[str] = []
        nodes = [node for node in (self.node, *self.peers.values()) if node is not None]
        if self.derp is None or not self.derp.get("Regions"):
            found.append("no DERP region: the client never leaves Starting")
        if not self.filters:
            found.append("no packet filter: nothing comes in")
        if self.node is not None and self.node["ID"] in self.peers:
            found.append("the node is its own peer")
        found += [
            f"user {n['User']} of {n['Name']} has no profile" for n in nodes if n["User"] not in self.profiles
        ]
        found += [f"{n['Name']} has no trailing dot" for n in nodes if not n["Name"].endswith(".")]
        for field in ("Key", "StableID", "Name"):
            values = [node[field] for node in nodes]
            found += [
                f"{field} {value} stands twice" for value in sorted(set(values)) if values.count(value) > 1
            ]
        return found + self._overlaps()

    def _overlaps(self) -> list[str]:
        owners: dict[str, int] = {}
        found: list[str] = []
        for peer, node in sorted(self.peers.items()):
            for prefix in node["AllowedIPs"]:
                route = str(ipaddress.ip_network(prefix, strict=False))
                if not route.endswith("/0") and owners.setdefault(route, peer) != peer:
                    found.append(f"{route} belongs to two peers")
        return found

    def _peers(self, frame: Json) -> None:
        if frame.get("Peers"):
            self.peers = {peer["ID"]: self._guarded(normal(peer, self.capver)) for peer in frame["Peers"]}
            return
        changed, patches = self._patchify(frame)
        for number in frame.get("PeersRemoved", ()):
            self.peers.pop(number, None)
        for peer in changed:
            self.peers[peer["ID"]] = peer
        for number, seen in self._known(frame.get("PeerSeenChange", {})):
            if not seen:
                self.peers[number].pop("LastSeen", None)
        for number, online in self._known(frame.get("OnlineChange", {})):
            self.peers[number] = {**self.peers[number], "Online": online}
        for patch in patches:
            self._patch(patch)

    def _known(self, changes: dict[str, bool]) -> list[tuple[int, bool]]:
        known = [(int(number), value) for number, value in changes.items() if int(number) in self.peers]
        self.strangers += [int(number) for number in changes if int(number) not in self.peers]
        return known

    def _patchify(self, frame: Json) -> tuple[list[Json], list[Json]]:
        whole: list[Json] = []
        patches: list[Json] = list(frame.get("PeersChangedPatch", ()))
        for sent in frame.get("PeersChanged", ()):
            peer = normal(sent, self.capver)
            was = self.peers.get(peer["ID"])
            if was is None or _fixed(was) != _fixed(peer):
                whole.append(peer)
            elif patch := _difference(was, peer, sent):
                patches.append({"NodeID": peer["ID"], **patch})
        return whole, [patch for patch in patches if not self._is_stale(patch)]

    def _is_stale(self, patch: Json) -> bool:
        """A disco key that comes with an offline peer not seen since is older than the one that is held."""
        was = self.peers.get(patch["NodeID"], {})
        told = {"DiscoKey", "Online", "LastSeen"} <= {
            name for name, value in patch.items() if value is not None
        }
        if self.capver < 138 or not told or patch["Online"] or "LastSeen" not in was:
            return False
        return parse(patch["LastSeen"]) <= parse(was["LastSeen"])

    def _guarded(self, peer: Json) -> Json:
        was = self.peers.get(peer["ID"], {})
        guarded = (
            self.capver >= 138
            and "DiscoKey" in peer
            and peer["DiscoKey"] != was.get("DiscoKey")
            and not peer.get("Online")
            and "LastSeen" in was
            and parse(peer.get("LastSeen")) <= parse(was["LastSeen"])
        )
        if not guarded:
            return peer
        held = {name: was.get(name) for name in ("DiscoKey", "LastSeen")}
        return normal({**peer, **held})

    def _patch(self, patch: Json) -> None:
        was = self.peers.get(patch["NodeID"])
        if was is None:
            self.strangers.append(patch["NodeID"])
            return
        peer = dict(was)
        if patch.get("DERPRegion"):
            peer["HomeDERP"] = patch["DERPRegion"]
        if patch.get("Cap"):
            peer["Cap"] = patch["Cap"]
        for name in PATCHABLE - {"HomeDERP", "Cap"}:
            if patch.get(name) is not None:
                peer[name] = patch[name]
        self.peers[patch["NodeID"]] = normal(peer)

    def _sticky(self, frame: Json) -> None:
        if "Node" in frame:
            self.node = normal(frame["Node"], self.capver)
        for profile in frame.get("UserProfiles", ()):
            self.profiles[profile["ID"]] = profile
        if "DERPMap" in frame:
            self.derp = _merged_derp(self.derp or {}, frame["DERPMap"])
        self.dns = frame.get("DNSConfig", self.dns)
        self.ssh = frame.get("SSHPolicy", self.ssh)
        self.domain = frame.get("Domain") or self.domain
        self.health = frame.get("Health", self.health)
        self.collect_services = frame.get("CollectServices", self.collect_services)
        if "Debug" in frame:
            self.debug.append(frame["Debug"])
        self.messages = _merged(self.messages, frame.get("DisplayMessages", {}))

    def _filters(self, frame: Json) -> None:
        if "PacketFilter" in frame:
            self.filters = {**self.filters, "base": frame["PacketFilter"]}
        self.filters = _merged(self.filters, frame.get("PacketFilters", {}))


def _merged(held: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Apply named changes: `"*": null` first, null deletes, `"*"` with a value is ignored."""
    merged = {} if "*" in changes and changes["*"] is None else dict(held)
    for name, value in changes.items():
        if name == "*":
            continue
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _merged_derp(held: Json, sent: Json) -> Json:
    merged = {name: value for name, value in sent.items() if value is not None}
    if "Regions" not in merged:
        merged |= {name: held[name] for name in ("Regions", "omitDefaultRegions") if name in held}
    params = {
        **held.get("HomeParams", {}),
        **{k: v for k, v in merged.get("HomeParams", {}).items() if v is not None},
    }
    return {**merged, "HomeParams": params} if params else merged


def _fixed(node: Json) -> Json:
    return {name: value for name, value in node.items() if name not in PATCHABLE}


def _difference(was: Json, peer: Json, sent: Json) -> Json:
    """Return the patch into which a client turns a whole peer; some changes are lost in it."""
    patch: Json = {}
    for name in ("Key", "KeyExpiry", "DiscoKey"):
        if was.get(name) != peer.get(name):
            patch[name] = peer.get(name, _ZERO_TIME if name == "KeyExpiry" else "discokey:" + "0" * 64)
    for name in ("KeySignature", "Endpoints"):
        if was.get(name) != peer.get(name) and sent.get(name) is not None:
            patch[name] = sent[name]
    if was.get("HomeDERP") != peer.get("HomeDERP"):
        patch["DERPRegion"] = peer.get("HomeDERP", 0)
    if was.get("Cap") != peer.get("Cap"):
        patch["Cap"] = peer.get("Cap", 0)
    if _capabilities(was) != _capabilities(peer):
        patch["CapMap"] = peer.get("CapMap", {})
    for name in ("Online", "LastSeen"):
        if name in was and peer.get(name) is not None and was[name] != peer[name]:
            patch[name] = peer[name]
    return patch


def _capabilities(node: Json) -> Json:
    return {name: values or [] for name, values in node.get("CapMap", {}).items()}
