"""The fold: the same prefix gives the same netmaps (P1), in steps or at once (P2), as the oracle says."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from engine.contracts.chunks import encode
from engine.contracts.netmap import Change, ClassSetObject, ExtrasObject, WireGuardPeerObject, key_of
from engine.domain.events import ConnectionRemoved, NodeDeleted
from engine.domain.values import NodeId
from engine.ports import Recorded
from projections.netmap.diff import diff
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from projections.netmap.view import NodeNetmap, view
from tests.kit.histories import Step, history, steps
from tests.kit.oracle import Entitlement, entitlements

Fold = Callable[[NetmapState, Recorded], tuple[Change, ...]]
ROOT = Path(__file__).parents[2]


def folded(log: Sequence[Recorded], by: Fold = fold) -> NetmapState:
    state = NetmapState()
    for record in log:
        by(state, record)
    return state


def canonical(state: NetmapState) -> bytes:
    return encode(snapshot_of(state))


def seen(state: NetmapState) -> dict[int, Entitlement]:
    """Everybody's netmap, in the oracle's terms."""
    found = {}
    for node in state.nodes():
        netmap = view(state, node.id)
        assert netmap is not None
        found[int(node.id)] = Entitlement(
            peers={peer.id: (peer.node_key, peer.expired) for peer in netmap.peers},
            wireguard={p.id: (p.ipv4_masq_addr, p.ipv6_masq_addr) for p in netmap.wireguard_only_peers},
            senders=senders(state, netmap),
        )
    return found


def senders(state: NetmapState, netmap: NodeNetmap) -> set[int]:
    """Who may send to the node by its rules."""
    classes = {name for rule in netmap.rules for name in rule.source_classes}
    others = (node for node in state.nodes() if node.id != netmap.self_node.id and not node.expired)
    return {int(node.id) for node in others if node.class_id in classes}


def follow(log: Sequence[Recorded], by: Fold = fold) -> None:
    """After every record: what the changes say is what changed, the state is the rebuilt one and the oracle's."""
    state = NetmapState()
    mirror: dict[str, Change] = {}
    for number, record in enumerate(log, start=1):
        for change in by(state, record):
            assert change.at == record.position
            if change.value is None:
                del mirror[change.key]
            else:
                assert key_of(change.value) == change.key
                mirror[change.key] = change
        assert state.position == record.position
        assert mirror == state.objects
        assert seen(state) == entitlements(record.event for record in log[:number])
    assert canonical(state) == canonical(folded(log))


@settings(max_examples=80, deadline=None)
@given(steps(longest=30))
def test_step_by_step_is_what_the_oracle_says_after_every_event(course: list[Step]) -> None:
    follow(history(course))


@settings(max_examples=20, deadline=None)
@given(steps(longest=25))
def test_any_prefix_rebuilt_from_nothing_is_the_same_state(course: list[Step]) -> None:
    log = history(course)
    state = NetmapState()
    for number, record in enumerate(log, start=1):
        fold(state, record)
        rebuilt = folded(log[:number])
        assert canonical(rebuilt) == canonical(state)
        assert rebuilt.members == state.members
        assert rebuilt.sets == state.sets
        assert rebuilt.tailnet == state.tailnet


def forgets_disconnection(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    if isinstance(record.event, ConnectionRemoved):
        state.position = record.position
        return ()
    return fold(state, record)


def forgets_the_extras_of_the_deleted(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    extras = state.objects.get(f"extras/{getattr(record.event, 'node', 0)}")
    changes = fold(state, record)
    if isinstance(record.event, NodeDeleted) and extras is not None:
        state.objects[extras.key] = extras
    return changes


def hides_a_change(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    return tuple(change for change in fold(state, record) if not isinstance(change.value, ExtrasObject))


def hides_the_sets(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    return tuple(change for change in fold(state, record) if not isinstance(change.value, ClassSetObject))


def keeps_the_first_sets(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    held = dict(state.objects)
    changes = fold(state, record)
    late = [change.key for change in changes if change.key.startswith("set/") and change.key in held]
    state.objects.update({key: held[key] for key in late})
    return tuple(change for change in changes if change.key not in late)


def shows_peers_to_everybody(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    changes = fold(state, record)
    for change in changes:
        if isinstance(change.value, WireGuardPeerObject):
            for node in state.nodes():
                own = state.extras(node.id)
                state.put(
                    msgspec.structs.replace(own, connections=(*own.connections, connection(change.value)))
                )
    return changes


def connection(peer: WireGuardPeerObject) -> object:
    from engine.contracts.netmap import ConnectionExtra

    return ConnectionExtra(peer=peer.id)


COURSE: list[Step] = [
    ("user", 0, 0),
    ("node", 0, 0),
    ("node", 0, 0),
    ("peer", 0, 0),
    ("connect", 0, 0),
    ("connect", 1, 0),
    ("disconnect", 0, 0),
    ("peer", 0, 1),
    ("user", 0, 0),
    ("node", 1, 0),
    ("expire", 0, 0),
    ("delete", 2, 0),
]


@pytest.mark.parametrize(
    "broken",
    [
        forgets_disconnection,
        hides_a_change,
        shows_peers_to_everybody,
        hides_the_sets,
        keeps_the_first_sets,
    ],
)
def test_a_broken_fold_is_found(broken: Fold) -> None:
    follow(history(COURSE))
    with pytest.raises(AssertionError):
        follow(history(COURSE), broken)


def test_extras_that_outlive_their_node_are_found() -> None:
    log = [r for r in history([*COURSE, ("delete", 1, 0)]) if not isinstance(r.event, ConnectionRemoved)]
    follow(log)
    with pytest.raises(AssertionError):
        follow(log, forgets_the_extras_of_the_deleted)


@settings(max_examples=60, deadline=None)
@given(steps(longest=30, restores=False))
def test_the_diff_of_two_views_names_every_peer_that_differs(course: list[Step]) -> None:
    log = history(course)
    earlier, later = folded(log[: len(log) // 2]), folded(log)
    before, after = view(earlier, NodeId(1)), view(later, NodeId(1))
    if before is None or after is None:
        return
    found = diff(before, after).peers
    removed = {peer.id for peer in found.removed}
    changed = {pair.after.id: pair.after for pair in found.changed}
    kept = {p.id: changed.get(p.id, p) for p in before.peers if p.id not in removed}
    assert kept | {peer.id: peer for peer in found.added} == {peer.id: peer for peer in after.peers}


PROGRAM = """
import hashlib, sys
from tests.property.test_projections_fold import LONG, canonical, folded
from tests.kit.histories import history
log = history(LONG)
print(" ".join(hashlib.sha256(canonical(folded(log[:n]))).hexdigest() for n in range(0, len(log) + 1, 20)))
"""
NAMES = (
    "user",
    "node",
    "again",
    "peer",
    "connect",
    "settings",
    "delete",
    "expire",
    "rename",
    "disconnect",
    "peer_end",
)
LONG: list[Step] = [("user", 0, 0), ("user", 0, 0)] + [
    (NAMES[(n * n + n // 3) % len(NAMES)], n * 7 % 21, n * 5 % 21) for n in range(160)
]


def test_hosts_with_other_hash_seeds_time_zones_and_locales_agree_on_every_byte() -> None:
    log = history(LONG)
    digests = [hashlib.sha256(canonical(folded(log[:n]))).hexdigest() for n in range(0, len(log) + 1, 20)]
    assert len(set(digests)) > 5
    for seed, zone, language in (
        ("0", "UTC", "C"),
        ("1", "Asia/Kathmandu", "C.UTF-8"),
        ("4242", "Etc/GMT+12", "POSIX"),
    ):
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONHASHSEED": seed,
                "TZ": zone,
                "LC_ALL": language,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == digests
