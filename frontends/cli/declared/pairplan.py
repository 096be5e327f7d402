"""The steps that make connections and selectors what is wanted.

Rule 1: what is in the way of another goes early: a masquerade address that another node is to have, a prefix or an endpoint
        that the node is to have of another peer. A connection that must make room is ended and made anew.
Rule 2: nobody is let out of jail before the peer is what it will be, and everybody is jailed before that.
Rule 3: a selector on other terms is removed and added again: its nodes are disconnected for a moment.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple

from engine.domain.commands import (
    AddConnection,
    AddSelector,
    RemoveConnection,
    RemoveSelector,
    UpdateConnection,
)
from engine.domain.prefixes import is_covered
from engine.domain.state import DEFAULT_ROUTES
from frontends.cli.declared.peerplan import Target
from frontends.cli.declared.present import NowConnection, NowPeer, NowSelector, Present
from frontends.cli.declared.reading import Fault, Place
from frontends.cli.declared.steps import Change, Phase, Step, changed, shown
from frontends.cli.declared.wanted import Wanted, WantedConnection, WantedSelector

_NOWHERE: Final = Place("", 0, 0)
FindPeer = Callable[[str, Place], Target]


class _Pair(NamedTuple):
    """A connection that is wanted, with both its ends."""

    node: int
    target: Target
    want: WantedConnection


class Pairs:
    """All connections and selectors: those that are wanted, those that are there, those that are owned."""

    def __init__(
        self, wanted: Wanted, there: Present, find: FindPeer, gone: Collection[NowPeer], *, prune: bool
    ) -> None:
        self._there: Final = there
        self._prune: Final = prune
        self._names: Final = {peer.id: peer.name for peer in there.peers}
        self._pairs: Final = _pairs(wanted, there, find)
        self._selectors: Final = _selectors(wanted, there, find)
        self._owned: Final = {peer.id for peer in gone} | {
            peer.id for peer in there.peers if wanted.managed_by and peer.managed_by == wanted.managed_by
        }
        self._find: Final = find
        self._gone: Final = {peer.id for peer in gone}
        self._held: Final = {(one.node, one.peer): one for one in there.connections}
        self._surplus: Final = [
            one
            for one in there.connections
            if one.peer in self._owned and not one.selector and (one.node, one.peer) not in self._pairs
        ]
        self._idle: Final = [
            (peer, one)
            for peer in there.peers
            for one in peer.selectors
            if peer.id in self._owned and (one.selector, peer.id) not in self._selectors
        ]

    def left(self) -> list[str]:
        """Return what the files own and do not speak of."""
        pairs = [f"connection {self._called(one.node, self._names[one.peer])}" for one in self._surplus]
        return pairs + [f"selector {one.selector} → {peer.name}" for peer, one in self._idle]

    def steps(self) -> Iterator[Step]:
        """Yield the steps."""
        ended = {(peer.id, one.selector) for peer, one in self._idle} if self._prune else set()
        for (text, _), (target, selector) in self._selectors.items():
            yield from self._selector(target, selector, text)
            ended |= _replaced(target, selector, text)
        for pair in self._pairs.values():
            held = None if pair.target.now is None else self._held.get((pair.node, pair.target.now.id))
            if held is not None and (held.peer, held.selector) in ended:
                held = None
            yield from self._connected(pair, held)
        if self._prune:
            yield from map(self._ended, self._surplus)
            for peer, one in self._idle:
                remove = RemoveSelector(selector=one.selector, peer=peer.id)
                name = f"{one.selector} → {peer.name}"
                phase = Phase.RELEASE if self._must_go_early(peer, one) else Phase.DISCONNECT
                yield Step(phase, "remove", "selector", name, (), remove)

    def _must_go_early(self, peer: NowPeer, selector: NowSelector) -> bool:
        """Return whether a connection that the selector made is declared by itself, or is in the way."""
        return any(
            (held.node, held.peer) in self._pairs or self._is_in_the_way(held)
            for held in self._there.connections
            if held.peer == peer.id and held.selector == selector.selector
        )

    def _called(self, node: int, peer: str) -> str:
        return f"{self._there.node_names.get(node, node)} → {peer}"

    def _connected(self, pair: _Pair, held: NowConnection | None) -> Iterator[Step]:
        name, want = self._called(pair.node, pair.target.name), pair.want
        if held is None:
            _refuse_hopeless(pair)
            yield Step(Phase.CONNECT, "create", "connection", name, tuple(_terms(want)), _added(pair))
            return
        changes = _differences(held, want)
        makes_room = self._makes_room(pair, held)
        if makes_room and not (want.ipv4 or want.ipv6):
            changes.append(Change("masqPool", shown((held.ipv4, held.ipv6)), "the next address"))
        if not changes:
            return
        if not held.selector and (makes_room or _is_outside(pair, held)):
            remove = RemoveConnection(node=held.node, peer=held.peer)
            yield Step(Phase.RELEASE, "change", "connection", name, tuple(changes), remove)
            yield Step(Phase.CONNECT, "change", "connection", name, (), _added(pair))
            return
        if want.jailed and not held.jailed:
            jail = UpdateConnection(node=held.node, peer=held.peer, jailed=True)
            jailed = changed("jailed", old=False, new=True)
            yield Step(Phase.JAIL, "change", "connection", name, tuple(jailed), jail)
            changes = [change for change in changes if change.field != "jailed"]
        if changes:
            yield self._updated(pair, held, name, changes)

    def _updated(self, pair: _Pair, held: NowConnection, name: str, changes: list[Change]) -> Step:
        want, now = pair.want, pair.target.now
        command = UpdateConnection(
            node=held.node,
            peer=held.peer,
            ipv4_masq_addr=want.ipv4,
            ipv6_masq_addr=want.ipv6,
            allowed_ips=want.allowed_ips or (),
            jailed=want.jailed,
        )
        is_early = now is not None and not _fits(held.allowed_ips, pair.target.allowed_ips)
        return Step(
            Phase.RELEASE if is_early else Phase.CONNECT,
            "change",
            "connection",
            name,
            tuple(changes),
            command,
        )

    def _makes_room(self, pair: _Pair, held: NowConnection) -> bool:
        """Return whether another node is to have an address that this connection has, and is not said to keep."""
        return any(
            address and address not in (pair.want.ipv4, pair.want.ipv6) and self._is_wanted(held, address)
            for address in (held.ipv4, held.ipv6)
        )

    def _is_wanted(self, held: NowConnection, address: str) -> bool:
        return any(
            address in (pair.want.ipv4, pair.want.ipv6)
            for (node, peer), pair in self._pairs.items()
            if peer == held.peer and node != held.node
        )

    def _ended(self, held: NowConnection) -> Step:
        name = self._called(held.node, self._names[held.peer])
        remove = RemoveConnection(node=held.node, peer=held.peer)
        is_early = (
            not held.jailed
            or self._is_in_the_way(held)
            or any(address and self._is_wanted(held, address) for address in (held.ipv4, held.ipv6))
        )
        phase = Phase.RELEASE if is_early else Phase.DISCONNECT
        return Step(phase, "remove", "connection", name, (), remove)

    def _is_in_the_way(self, held: NowConnection) -> bool:
        """Return whether the peer could not be changed, or the node not be given what it is to have of another peer."""
        if held.peer not in self._gone and held.allowed_ips is not None:
            target = self._find(str(held.peer), _NOWHERE)
            if not _fits(held.allowed_ips, target.allowed_ips):
                return True
        peer = next(one for one in self._there.peers if one.id == held.peer)
        mine = {*peer.endpoints, *(held.allowed_ips or peer.allowed_ips)} - DEFAULT_ROUTES
        return any(
            not mine.isdisjoint({*pair.target.endpoints, *(pair.want.allowed_ips or pair.target.allowed_ips)})
            for (node, number), pair in self._pairs.items()
            if node == held.node and number != held.peer
        )

    def _selector(self, target: Target, want: WantedSelector, text: str) -> Iterator[Step]:
        name = f"{text} → {target.name}"
        add = AddSelector(selector=text, peer=target.ref, allowed_ips=want.allowed_ips, jailed=want.jailed)
        held = _held_selector(target, text)
        if held is None:
            yield Step(Phase.SELECT, "create", "selector", name, tuple(_terms(want)), add)
        elif changes := _differences(held, want):
            remove = RemoveSelector(selector=text, peer=target.ref)
            yield Step(Phase.RELEASE, "change", "selector", name, tuple(changes), remove)
            yield Step(Phase.SELECT, "change", "selector", name, (), add)


def _pairs(wanted: Wanted, there: Present, find: FindPeer) -> dict[tuple[int, int | str], _Pair]:
    found: dict[tuple[int, int | str], _Pair] = {}
    for want in wanted.connections:
        number = there.nodes.get(want.node)
        if number is None:
            near = difflib.get_close_matches(want.node[:80], there.nodes, n=1)
            hint = f"did you mean {near[0]}?" if near else "netmap node list shows all"
            raise Fault(
                "node.unknown", want.at, f"there is no node {want.node[:80]!r}", field="node", hint=hint
            )
        pair = _Pair(number, find(want.peer, want.at), want)
        earlier = found.get((number, pair.target.ref))
        if earlier is not None:
            message = f"the connection of {want.node} with {pair.target.name} is declared in {earlier.want.at} already"
            raise Fault("file.again", want.at, message)
        found[number, pair.target.ref] = pair
    return found


def _selectors(
    wanted: Wanted, there: Present, find: FindPeer
) -> dict[tuple[str, int | str], tuple[Target, WantedSelector]]:
    found: dict[tuple[str, int | str], tuple[Target, WantedSelector]] = {}
    for want in wanted.selectors:
        kind, _, rest = want.selector.partition(":")
        text = want.selector
        if kind == "user":
            name = there.users.get(rest.removesuffix("@").lower())
            if name is None:
                raise Fault("user.unknown", want.at, f"there is no user {rest[:80]!r}", field="selector")
            text = f"user:{name}"
        target = find(want.peer, want.at)
        if not target.is_pooled:
            _refuse_without_pool(target, want.at)
        found[text, target.ref] = target, want
    return found


def _held_selector(target: Target, text: str) -> NowSelector | None:
    held = () if target.now is None else target.now.selectors
    return next((one for one in held if one.selector == text), None)


def _replaced(target: Target, want: WantedSelector, text: str) -> set[tuple[int, str]]:
    held = _held_selector(target, text)
    is_other = held is not None and target.now is not None and bool(_differences(held, want))
    return {(target.now.id, text)} if is_other and target.now is not None else set()


def _refuse_hopeless(pair: _Pair) -> None:
    """Refuse to plan what the engine will certainly refuse."""
    now, want = pair.target.now, pair.target.want
    if not (pair.want.ipv4 or pair.want.ipv6 or pair.target.is_pooled):
        _refuse_without_pool(pair.target, pair.want.at)
    if now is not None and now.disabled and (want is None or want.disabled is not False):
        message = f"the peer {pair.target.name} is disabled: nobody can be connected to it"
        hint = f"netmap wg enable {pair.target.name}, or disabled: false"
        raise Fault("connection.disabled", pair.want.at, message, field="peer", hint=hint)


def _refuse_without_pool(target: Target, at: Place) -> None:
    message = f"the peer {target.name} has no pool that could give a masquerade address"
    hint = "ipv4MasqAddr, ipv6MasqAddr or both; or a masqPool of the peer"
    raise Fault("masq.none", at, message, field="ipv4MasqAddr", hint=hint)


def _is_outside(pair: _Pair, held: NowConnection) -> bool:
    """Return whether no order of changes would keep the connection's part inside of what the peer routes."""
    now = pair.target.now
    if now is None or _fits(held.allowed_ips, pair.target.allowed_ips):
        return False
    return pair.want.allowed_ips is None or not _fits(pair.want.allowed_ips, now.allowed_ips)


def _fits(part: Iterable[str] | None, whole: tuple[str, ...]) -> bool:
    return all(is_covered(prefix, whole) for prefix in part or ())


def _added(pair: _Pair) -> AddConnection:
    want = pair.want
    return AddConnection(
        node=pair.node,
        peer=pair.target.ref,
        ipv4_masq_addr=want.ipv4,
        ipv6_masq_addr=want.ipv6,
        allowed_ips=want.allowed_ips,
        jailed=want.jailed,
    )


def _terms(want: WantedConnection | WantedSelector) -> list[Change]:
    found: list[Change] = []
    if isinstance(want, WantedConnection):
        found += changed("ipv4MasqAddr", "", want.ipv4) + changed("ipv6MasqAddr", "", want.ipv6)
        if not (want.ipv4 or want.ipv6):
            found.append(Change("masqPool", "", "the next address"))
    if want.allowed_ips is not None:
        found += changed("allowedIps", None, want.allowed_ips)
    return found if want.jailed else [*found, *changed("jailed", old=None, new=False)]


def _differences(held: NowConnection | NowSelector, want: WantedConnection | WantedSelector) -> list[Change]:
    found: list[Change] = []
    if isinstance(held, NowConnection) and isinstance(want, WantedConnection) and (want.ipv4 or want.ipv6):
        found += changed("ipv4MasqAddr", held.ipv4, want.ipv4) + changed("ipv6MasqAddr", held.ipv6, want.ipv6)
    was, will = held.allowed_ips, want.allowed_ips
    if (None if was is None else set(was)) != (None if will is None else set(will)):
        found += changed("allowedIps", "all" if was is None else was, "all" if will is None else will)
    return found + changed("jailed", held.jailed, want.jailed)
