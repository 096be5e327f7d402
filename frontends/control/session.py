"""One map session: what its client holds, and what it must be told to hold what it may hold now; pure.

Rule 1: a session remembers one `Standing`: references to what many share. It never queues (reliability §5.3).
Rule 2: what is sent is the difference between what the client holds and what it is entitled to now; nothing in
        between ever existed (S1). Each frame leaves the client exactly there.
Rule 3: a session whose difference can no longer be told, or whose node is gone or has another key, ends: its client
        comes back and gets everything.
Rule 4: every frame but the keep-alive has `ControlTime`: without it some clients take short frames for keep-alives.
Rule 5: a client of `HASTY` may configure WireGuard before its sockets know the key of a WireGuard-only peer, fail, and try
        again only when the configuration differs: it is told such peers again, with their routes in another order, and
        later, for who was busy, in the first one: always the same entitlement.
Rule 6: nobody is told that it has no peers by an empty list: peers that went are removed by id (S6).
"""

from enum import Enum
from typing import Final

import msgspec

from engine.domain.values import NodeId
from frontends.control.difference import Difference, patched
from frontends.control.fragment import Fragment
from frontends.control.peerlist import PeerLists
from frontends.control.profiles import WIREGUARD
from frontends.control.relayed import moved
from frontends.control.view import Standing, View
from frontends.wire.codec import encode, fragment
from frontends.wire.tailcfg.map import Debug, MapResponse

HASTY: Final = range(116, 142)
"""Capability versions that rule 5 is for: seen with 131 (v1.92.5, where ipn/ipnlocal tells magicsock of a netmap over
an event bus and does not wait); 115 (v1.82.0) and 142 (v1.102.3) were seen to do it in order."""

SETTLE_SECONDS: Final = (1.0, 5.0)
"""After which, each from the one before, a client is told again: an idle one has taken in a frame after the first, one on a
busy machine after both (a client under load was seen not to come back to an enabled exit after one second alone)."""


class End(Enum):
    """Why a session has nothing more to say."""

    GONE = "the node is gone, or has another key"
    TOO_OLD = "what the client holds is no longer known"


class Whole(msgspec.Struct, frozen=True):
    """A first frame: JSON before the list of peers, the list in compressed pieces, and JSON after it."""

    head: bytes
    peers: tuple[bytes, ...]
    tail: bytes


class Session:
    """What one client holds; `told` is None before its first frame."""

    __slots__ = ("at", "capver", "node", "told", "unsettled")

    def __init__(self, node: NodeId, capver: int) -> None:
        self.node: Final = node
        self.capver: Final = capver
        self.told: Standing | None = None
        self.at = 0
        """The version at which the client holds all that it may: that of `told`, or a later one that did not concern it."""
        self.unsettled = 0
        """How many times `settle` still has something to say."""

    def first(self, view: View, lists: PeerLists, time: str) -> Whole | End:
        """Return everything that the node may know."""
        now = view.standing(self.node, self.capver)
        if now is None:
            return End.GONE
        self.told, self.at = now, now.version
        self._look_at((), now.extras)
        pieces = lists.pieces(now.scope, self.node)
        extras = b",".join(extra.data for extra in now.extras)
        head = _with_filters(encode(_everything(view, now, time)), now.filters)
        if not pieces and not extras:
            return Whole(head, (), b"")
        comma = b"," if pieces and extras else b""
        return Whole(head[:-1] + b',"Peers":[', pieces, comma + extras + b"]}")

    def rests(self, view: View) -> bool:
        """Return whether nothing has happened since that may concern the client."""
        if self.told is None:
            return False
        if self.at != view.version and not view.concerns(self.told, self.at):
            self.at = view.version
        return self.at == view.version

    def next(self, view: View, time: str) -> bytes | End | None:
        """Return the JSON of the frame that brings the client from what it holds to now; None if it is there."""
        if self.rests(view):
            return None
        before = self.told
        now = view.standing(self.node, self.capver)
        if before is None or now is None or now.key != before.key:
            return End.GONE
        difference = view.between(before, now, self.at)
        if difference is None:
            return End.TOO_OLD
        self.told, self.at = now, now.version
        self._look_at(before.extras, now.extras)
        return _text(before, now, difference, time)

    def settle(self, time: str) -> bytes | None:
        """Return the frame of rule 5, to be sent when the client has had time for the last one; None if there is none."""
        told = self.told
        if not self.unsettled or told is None or not told.extras:
            self.unsettled = 0
            return None
        self.unsettled -= 1
        again = (_turned(extra) if self.unsettled % 2 else extra.data for extra in told.extras)
        return encode(MapResponse(peers_changed=tuple(map(msgspec.Raw, again)), control_time=time))

    def _look_at(self, before: tuple[Fragment, ...], now: tuple[Fragment, ...]) -> None:
        if self.capver in HASTY and before is not now:
            gone, came = moved(before, now)
            known = {extra.node.key for extra in (*gone, *(old for old, _ in came if old is not None))}
            if any(extra.node.key not in known for _, extra in came):
                self.unsettled = len(SETTLE_SECONDS)


def _turned(extra: Fragment) -> bytes:
    routes = extra.node.allowed_ips
    return fragment(msgspec.structs.replace(extra.node, allowed_ips=routes and routes[::-1]))


def _everything(view: View, now: Standing, time: str) -> MapResponse:
    profiles = {profile: None for user in sorted(view.users_of(now.scope)) if (profile := view.profile(user))}
    profiles |= {profile: None for profile in (now.profile, _wireguard(now)) if profile}
    return MapResponse(
        node=msgspec.Raw(now.me),
        derp_map=now.common.derp,
        dns_config=now.common.dns,
        ssh_policy=msgspec.Raw(now.ssh),
        domain=now.common.domain,
        user_profiles=tuple(msgspec.Raw(profile) for profile in profiles),
        collect_services=False,
        control_time=time,
        debug=Debug(disable_log_tail=True),
    )


def _text(before: Standing, now: Standing, difference: Difference, time: str) -> bytes | None:
    """Return the frame's JSON, made once for all whose difference this is and to whom nothing else has happened."""
    if difference.concerns(now.node) or not _differ_in_peers_only(before, now):
        return _own_text(before, now, difference, time)
    if difference.text is None or difference.text[0] != time:
        difference.text = (time, _own_text(before, now, difference, time))
    return difference.text[1]


def _differ_in_peers_only(before: Standing, now: Standing) -> bool:
    """Return whether all else is the same objects; if it is merely equal, the work is done once more."""
    return (
        before.me is now.me
        and before.filters is now.filters
        and before.ssh is now.ssh
        and before.extras is now.extras
        and before.profile is now.profile
        and before.common is now.common
    )


def _own_text(before: Standing, now: Standing, difference: Difference, time: str) -> bytes | None:
    response = _response(before, now, difference, time)
    if response is None:
        return None
    text = encode(response)
    return text if before.filters == now.filters else _with_filters(text, now.filters)


def _response(before: Standing, now: Standing, difference: Difference, time: str) -> MapResponse | None:
    gone, whole, patches = _extras_moved(before, now)
    removed = [*difference.removed(now.node), *gone]
    changed = [*difference.changed(now.node), *whole]
    patches = [*difference.patched(now.node), *patches]
    profiles = list(difference.profiles)
    if now.profile and now.profile != before.profile:
        profiles.append(msgspec.Raw(now.profile))
    if now.extras and not before.extras:
        profiles.append(msgspec.Raw(WIREGUARD.data))
    me = None if now.me == before.me else msgspec.Raw(now.me)
    common, old = now.common, before.common
    ssh = None if now.ssh == before.ssh else msgspec.Raw(now.ssh)
    others = removed or changed or patches or profiles or me or ssh
    if not (others or common != old or now.filters != before.filters):
        return None
    return MapResponse(
        node=me,
        derp_map=None if bytes(common.derp) == bytes(old.derp) else common.derp,
        dns_config=None if bytes(common.dns) == bytes(old.dns) else common.dns,
        ssh_policy=ssh,
        domain="" if common.domain == old.domain else common.domain,
        peers_removed=tuple(removed) or None,
        peers_changed=tuple(changed) or None,
        peers_changed_patch=tuple(patches) or None,
        user_profiles=tuple(profiles) or None,
        control_time=time,
    )


def _with_filters(text: bytes, filters: bytes) -> bytes:
    return text[:-1] + b',"PacketFilters":' + filters + b"}"


def _wireguard(now: Standing) -> bytes:
    return WIREGUARD.data if now.extras else b""


def _extras_moved(
    before: Standing, now: Standing
) -> tuple[list[NodeId], list[msgspec.Raw], list[msgspec.Raw]]:
    """Return the WireGuard-only peers that went, that are told as a whole, and that a patch is enough for."""
    whole: list[msgspec.Raw] = []
    patches: list[msgspec.Raw] = []
    if before.extras is now.extras:
        return [], whole, patches
    gone, came = moved(before.extras, now.extras)
    for known, extra in came:
        if known is not None and known.data == extra.data:
            continue
        change = None if known is None else patched(known, extra)
        if change is None:
            whole.append(msgspec.Raw(extra.data))
        else:
            patches.append(change)
    return [NodeId(extra.node.id) for extra in gone], whole, patches
