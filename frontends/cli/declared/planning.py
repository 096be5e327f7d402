"""From what there is to what is wanted.

Rule 1: a peer that another file keeps is a fault; one that no file keeps is taken over.
Rule 2: a file owns the peers with its mark, and what hangs on them: their selectors, and the connections that no selector
        made. Nothing else is ever removed, and that only with `prune`.
"""

import difflib

from engine.domain.commands import RemovePeer
from engine.domain.keys import node_key_of
from frontends.cli.declared.pairplan import Pairs
from frontends.cli.declared.peerplan import Target, peer_steps
from frontends.cli.declared.present import NowPeer, Present
from frontends.cli.declared.reading import Fault, Place
from frontends.cli.declared.steps import Phase, Plan, Step
from frontends.cli.declared.wanted import Wanted, WantedPeer


def plan(wanted: Wanted, there: Present, *, prune: bool = False) -> Plan:
    """Return the steps, and what is left although no file speaks of it any more.

    Raises:
        Fault: `peer.managed`, `peer.key`, `peer.unknown`, `node.unknown`, `user.unknown`, `masq.none`,
            `connection.disabled`, `file.again`.
    """
    targets = _targets(wanted, there)
    steps: list[Step] = []
    for want in wanted.peers:
        steps += peer_steps(targets[want.name].now, want, _user(there, want), wanted.managed_by)
    gone = _gone(wanted, there, targets)
    pairs = Pairs(wanted, there, _Peers(targets, there, gone if prune else []), gone, prune=prune)
    steps += pairs.steps()
    if prune:
        steps += [_removed(peer) for peer in gone]
    left = [] if prune else [*pairs.left(), *(f"peer {peer.name}" for peer in gone)]
    return Plan(tuple(sorted(steps, key=lambda step: step.phase)), tuple(left))


def _targets(wanted: Wanted, there: Present) -> dict[str, Target]:
    by_name = {peer.name: peer for peer in there.peers}
    by_key = {peer.public_key: peer for peer in there.peers}
    names = {want.name for want in wanted.peers}
    targets: dict[str, Target] = {}
    for want in wanted.peers:
        holder = by_key.get(want.public_key)
        now = by_name.get(want.name)
        if now is None and holder is not None and holder.name not in names:
            now = holder
        if holder is not None and holder is not now:
            message = f"the public key of {want.name} is that of the peer {holder.name}"
            hint = "give that one its other key, or remove it, first"
            raise Fault("peer.key", want.at, message, field="publicKey", hint=hint)
        if now is not None and wanted.managed_by and now.managed_by not in {"", wanted.managed_by}:
            message = f"the peer {now.name} is kept by {now.managed_by}, not by {wanted.managed_by}"
            hint = f'netmap wg update {now.name} --managed-by ""'
            raise Fault("peer.managed", want.at, message, field="managedBy", hint=hint)
        targets[want.name] = Target(now, want)
    return targets


def _user(there: Present, want: WantedPeer) -> str:
    found = there.users.get(want.user.lower())
    if found is None:
        message = f"there is no user {want.user[:80]!r}"
        raise Fault("user.unknown", want.at, message, field="user", hint="netmap user create NAME")
    return found


def _gone(wanted: Wanted, there: Present, targets: dict[str, Target]) -> list[NowPeer]:
    """Return the peers that the files own and do not declare."""
    kept = {target.now.id for target in targets.values() if target.now is not None}
    mark = wanted.managed_by
    return [peer for peer in there.peers if mark and peer.managed_by == mark and peer.id not in kept]


def _removed(peer: NowPeer) -> Step:
    return Step(Phase.REMOVE, "remove", "peer", peer.name, (), RemovePeer(peer=peer.id))


class _Peers:
    """Peers by what they are called."""

    def __init__(self, targets: dict[str, Target], there: Present, gone: list[NowPeer]) -> None:
        self._targets = targets
        self._called: dict[str, Target] = {}
        removed = {peer.id for peer in gone}
        wanted = {target.now.id: target for target in targets.values() if target.now is not None}
        for peer in there.peers:
            if peer.id not in removed:
                target = wanted.get(peer.id, Target(peer, None))
                self._called |= dict.fromkeys((str(peer.id), peer.name, peer.public_key), target)

    def __call__(self, called: str, at: Place) -> Target:
        """Return the peer.

        Raises:
            Fault: `peer.unknown`.
        """
        key = node_key_of(called)
        found = self._targets.get(called) or self._called.get(called if key is None else key)
        if found is None:
            near = difflib.get_close_matches(called[:80], [*self._targets, *self._called], n=1)
            hint = f"did you mean {near[0]}?" if near else "declare it under peers, or register it first"
            raise Fault("peer.unknown", at, f"there is no peer {called[:80]!r}", field="peer", hint=hint)
        return found
