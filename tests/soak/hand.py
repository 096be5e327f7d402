"""What a client holds after each frame, as entries, kept up by what the frame names; the merge rules are `ClientView`'s.

Rule 1: a frame costs what it names, not what the client holds: thousands of frames a second are looked at, every one whole.
        With another filter all peers are looked at.
Rule 2: what a real client could not work with is complained about as in `ClientView.complaints`, for what the frame names.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from engine.domain.values import FIRST_PEER_ID
from tests.kit.client_view import ClientView
from tests.kit.naive_world import any_overlap
from tests.soak.records import Entry, Framed, sender

Json = dict[str, Any]
UNIQUE: Final = ("Key", "StableID", "Name")


class Hand:
    """The entries in one client's hands, for one map session."""

    def __init__(self, client: int, watchwords: tuple[str, ...] = ()) -> None:
        self.entries: dict[int, Entry] = {}
        self._client: Final = client
        self._watchwords: Final = tuple(word.encode() for word in watchwords)
        self._owners: dict[tuple[str, str], int] = {}
        """Whose each key, stable id, name and route is."""
        self._owned: dict[int, list[tuple[str, str]]] = {}
        self._has_begun = False
        self._filter = Filter([])

    def take(self, view: ClientView, raw: bytes, frame: Json, at: int) -> Framed:
        """Take a frame that the view has just applied; return its line."""
        removed = frozenset(frame.get("PeersRemoved") or ())
        strangers = removed - self.entries.keys()
        told = told_by(frame)
        named = {*told, *removed}
        if frame.get("Peers") or "PacketFilters" in frame or "PacketFilter" in frame:
            self._filter = Filter(view.rules)
            named |= view.peers.keys() | {number for number in self.entries if number > 0}
        if "Node" in frame and view.node is not None:
            named.add(view.node["ID"])
        put, gone = self._renew(view, named)
        line = Framed(
            client=self._client,
            at=at,
            is_first=not self._has_begun,
            put=tuple(put),
            gone=tuple(gone),
            astray=tuple(sorted(told - self.entries.keys())),
            strangers=tuple(sorted(strangers)),
            watchwords=tuple(word.decode() for word in self._watchwords if word in raw),
            complaints=tuple(self._complaints(view, named)),
        )
        self._has_begun = True
        return line

    def _renew(self, view: ClientView, named: Iterable[int]) -> tuple[list[Entry], list[int]]:
        put: list[Entry] = []
        gone: list[int] = []
        for number in named:
            was, now = self.entries.get(number), _entry(view, number)
            if now is None and was is not None:
                del self.entries[number]
                gone.append(number)
            elif now is not None and now != was:
                self.entries[number] = now
                put.append(now)
            may = number in view.peers and number < FIRST_PEER_ID and self._filter.admits(view.peers[number])
            if may and -number not in self.entries:
                put.append(sender(number))
                self.entries[-number] = put[-1]
            elif not may and -number in self.entries:
                del self.entries[-number]
                gone.append(-number)
        return put, gone

    def _complaints(self, view: ClientView, named: Iterable[int]) -> Iterator[str]:
        if view.derp is None or not view.derp.get("Regions"):
            yield "no DERP region: the client never leaves Starting"
        if not view.filters:
            yield "no packet filter: nothing comes in"
        if view.node is not None and view.node["ID"] in view.peers:
            yield "the node is its own peer"
        for number in named:
            for claim in self._owned.pop(number, ()):
                if self._owners.get(claim) == number:
                    del self._owners[claim]
        for number in named:
            node = _node(view, number)
            if node is not None:
                yield from self._of_node(view, number, node)

    def _of_node(self, view: ClientView, number: int, node: Json) -> Iterator[str]:
        if node["User"] not in view.profiles:
            yield f"user {node['User']} of {node['Name']} has no profile"
        if not node["Name"].endswith("."):
            yield f"{node['Name']} has no trailing dot"
        claims = self._owned[number] = list(_claims(node, is_self=node is view.node))
        for claim in claims:
            if self._owners.setdefault(claim, number) != number:
                yield f"{claim[0]} {claim[1]} belongs to two"


class Filter:
    """Who may send, by the packet filter in force."""

    def __init__(self, rules: Iterable[Json]) -> None:
        sources = {source for rule in rules for source in rule.get("SrcIPs") or ()}
        self._capabilities = {source[4:] for source in sources if source.startswith("cap:")}
        sources -= {f"cap:{name}" for name in self._capabilities}
        self._ranges = {source for source in sources if source == "*" or "/" in source or "-" in source}
        self._addresses = sources - self._ranges

    def admits(self, peer: Json) -> bool:
        """Whether a node may send something to whoever has the filter."""
        if not self._capabilities.isdisjoint(peer.get("CapMap") or ()):
            return True
        addresses = [prefix.partition("/")[0] for prefix in peer["Addresses"]]
        return not self._addresses.isdisjoint(addresses) or any_overlap(self._ranges, addresses)


def told_by(frame: Json) -> frozenset[int]:
    """The peers that a frame says something about."""
    whole = [*(frame.get("Peers") or ()), *(frame.get("PeersChanged") or ())]
    return frozenset(
        {
            *(peer["ID"] for peer in whole),
            *(patch["NodeID"] for patch in frame.get("PeersChangedPatch") or ()),
            *(int(number) for name in ("OnlineChange", "PeerSeenChange") for number in frame.get(name) or ()),
        }
    )


def _node(view: ClientView, number: int) -> Json | None:
    if view.node is not None and view.node["ID"] == number:
        return view.node
    return view.peers.get(number)


def _entry(view: ClientView, number: int) -> Entry | None:
    node = _node(view, number)
    if node is None:
        return None
    if number >= FIRST_PEER_ID:
        ended = "expired" if node.get("Expired") else ""
        masquerade = (
            node.get("SelfNodeV4MasqAddrForThisPeer", ""),
            node.get("SelfNodeV6MasqAddrForThisPeer", ""),
        )
        return Entry(number, ("wireguard", node["Key"], ended, *masquerade))
    how = "self" if node is view.node else "peer"
    name = node["Name"].partition(".")[0]
    tags = ",".join(sorted(node.get("Tags") or ()))
    return Entry(number, (how, node["Key"], name, tags, node["Addresses"][0].partition("/")[0]))


def _claims(node: Json, *, is_self: bool) -> Iterator[tuple[str, str]]:
    """What nobody else may have: a real client takes a route, a key or a name for one peer's."""
    yield from ((field, node[field]) for field in UNIQUE)
    if not is_self:
        yield from (("route", prefix) for prefix in node["AllowedIPs"] if not prefix.endswith("/0"))
