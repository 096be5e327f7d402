"""The fold: the same prefix gives the same netmaps (P1), in steps or at once (P2), as the oracle says.

What steps leave is compared with what `tests/kit/rebuilt.py` makes of the same tailnet from nothing: an object that an event
should have touched and did not is found, whatever the event.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contracts.chunks import encode
from engine.contracts.netmap import (
    Change,
    ClassSetObject,
    ConnectionExtra,
    ExtrasObject,
    WireGuardPeerObject,
    key_of,
)
from engine.domain.events import ConnectionRemoved, Event, NodeDeleted, NodeExpired, PolicySet, UserRoleSet
from engine.domain.values import NodeId
from engine.ports import Recorded
from projections.netmap.diff import diff
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from projections.netmap.view import NodeNetmap, view
from tests.kit.governed import governed
from tests.kit.histories import Step, history, steps
from tests.kit.naive_world import any_overlap
from tests.kit.oracle import Entitlement, entitlements, key_and_expiry
from tests.kit.policy_steps import settled_world, staged
from tests.kit.policy_steps import steps as told
from tests.kit.policy_worlds import mutations, scenes
from tests.kit.rebuilt import Rebuilt

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
    ranges = [text for rule in netmap.rules for text in rule.sources]
    others = (node for node in state.nodes() if node.id != netmap.self_node.id and not node.expired)
    return {
        int(node.id)
        for node in others
        if node.class_id in classes or any_overlap(ranges, [node.ipv4, node.ipv6])
    }


def entitled(events: Sequence[Event], state: NetmapState) -> dict[int, Entitlement]:
    """Everybody's netmap, as the oracle says; it has no word on what an enforced policy leaves of relays."""
    found = entitlements(events)
    if state.tailnet.settings.is_enforced:
        for number, own in found.items():
            own.wireguard = {extra.peer: masks(extra) for extra in state.extras(NodeId(number)).connections}
            own.wireguard = {} if key_and_expiry(events, number)[1] else own.wireguard
    return found


def masks(extra: ConnectionExtra) -> tuple[str, str]:
    return extra.ipv4_masq, extra.ipv6_masq


def is_rebuilt(state: NetmapState) -> None:
    """Assert that the state holds what the tailnet looked at from nothing has."""
    right = Rebuilt(state.tailnet, state.epoch)
    assert {key: change.value for key, change in state.objects.items()} == right.objects
    assert state.identities == right.identities
    assert state.standings == right.standings
    assert state.members == right.members
    assert state.sets == right.sets
    assert state.routers == right.routers


def follow(log: Sequence[Recorded], by: Fold = fold) -> None:
    """After every record: what the changes say is what changed, the state is the rebuilt one and the oracle's."""
    state = NetmapState()
    mirror: dict[str, Change] = {}
    for number, record in enumerate(log, start=1):
        for change in by(state, record):
            assert change.at == record.position
            assert change.key not in mirror or mirror[change.key].value != change.value
            if change.value is None:
                del mirror[change.key]
            else:
                assert key_of(change.value) == change.key
                mirror[change.key] = change
        assert state.position == record.position
        assert mirror == state.objects
        is_rebuilt(state)
        assert seen(state) == entitled([record.event for record in log[:number]], state)
    assert canonical(state) == canonical(folded(log))


@settings(max_examples=80, deadline=None)
@given(steps(longest=30))
def test_step_by_step_is_what_the_oracle_says_after_every_event(course: list[Step]) -> None:
    follow(history(course))


@settings(max_examples=80, deadline=None)
@given(steps(longest=30))
def test_under_policies_too_the_state_is_the_rebuilt_one_and_the_oracles(course: list[Step]) -> None:
    follow(governed(history([*course[:3], ("policy", 0, 0), *course[3:], ("policy", 1, 1)])))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.data())
def test_every_edit_of_a_policy_and_every_change_under_it_leaves_the_rebuilt_state(
    data: st.DataObject,
) -> None:
    world, policy = data.draw(scenes())
    stage = staged(settled_world(world), policy)
    is_rebuilt(stage.state)
    for _ in range(data.draw(st.integers(1, 8))):
        after, now = data.draw(mutations(world, policy))
        stage.tell(*told((settled_world(world), policy), (settled_world(after), now)))
        is_rebuilt(stage.state)
        world, policy = after, now


@settings(max_examples=20, deadline=None)
@given(steps(longest=25))
def test_any_prefix_rebuilt_from_nothing_is_the_same_state(course: list[Step]) -> None:
    log = history(course)
    state = NetmapState()
    for number, record in enumerate(log, start=1):
        fold(state, record)
        rebuilt = folded(log[:number])
        assert canonical(rebuilt) == canonical(state)
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


def connection(peer: WireGuardPeerObject) -> ConnectionExtra:
    return ConnectionExtra(peer=peer.id)


def keeps_routers(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    routers = {prefix: list(numbers) for prefix, numbers in state.routers.items()}
    changes = fold(state, record)
    if isinstance(record.event, NodeExpired):
        state.routers.update(routers)
    return changes


def keeps_roles(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    """As if nobody but the user itself had to be looked at."""
    held = dict(state.objects), dict(state.standings), dict(state.identities)
    changes = fold(state, record)
    if isinstance(record.event, UserRoleSet):
        user = f"user/{record.event.user}"
        changes = tuple(change for change in changes if change.key == user)
        state.objects = held[0] | {change.key: change for change in changes}
        state.standings, state.identities = held[1:]
    return changes


def keeps_whom_an_edit_does_not_name(state: NetmapState, record: Recorded) -> tuple[Change, ...]:
    """As if a policy changed its own objects and nothing else."""
    held = dict(state.objects)
    changes = fold(state, record)
    if isinstance(record.event, PolicySet):
        changes = tuple(c for c in changes if c.key.startswith(("entry/", "ssh/", "program")))
        others = {key: c for key, c in held.items() if not key.startswith(("entry/", "ssh/", "program"))}
        own = {key: c for key, c in state.objects.items() if key.startswith(("entry/", "ssh/", "program"))}
        state.objects = others | own
    return changes


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
    ("policy", 0, 0),
    ("role", 0, 0),
    ("advertise", 0, 1),
    ("approve", 0, 1),
    ("policy", 0, 0),
    ("tag", 1, 3),
    ("role", 1, 0),
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
        keeps_routers,
        keeps_roles,
        keeps_whom_an_edit_does_not_name,
    ],
)
def test_a_broken_fold_is_found(broken: Fold) -> None:
    follow(governed(history(COURSE)))
    with pytest.raises(AssertionError):
        follow(governed(history(COURSE)), broken)


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
