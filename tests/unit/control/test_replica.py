"""The replica's chain rule, its keys, its soft facts."""

import itertools

import msgspec
import pytest

from engine.contracts.chunks import BadSnapshot
from engine.contracts.netmap import Change, Delta, Snapshot, Verdict
from engine.contracts.soft import SoftFact
from engine.domain.values import Epoch, MachineKey, Millis, NodeId, NodeKey, Position
from frontends.control.replica import Replica
from tests.unit.control.objects import node

EPOCH = Epoch("e")
ONE = NodeId(1)


def loaded(position: int = 5) -> Replica:
    replica = Replica()
    value = node(1, "u1")
    replica.load(Snapshot(epoch=EPOCH, position=Position(position), objects=(change(1, value),)))
    return replica


def change(at: int, value: object, key: str = "node/1") -> Change:
    return Change(key=key, at=Position(at), value=value)  # type: ignore[arg-type]


def fact(origin: str = "f1", generation: int = 1, sequence: int = 1, **fields: object) -> SoftFact:
    return SoftFact(node=ONE, origin=origin, generation=generation, sequence=sequence, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("epoch", "prev", "cur", "verdict", "position"),
    [
        ("e", 5, 7, Verdict.APPLY, 7),
        ("e", 3, 7, Verdict.APPLY, 7),
        ("e", 3, 5, Verdict.IGNORE, 5),
        ("e", 1, 2, Verdict.IGNORE, 5),
        ("e", 6, 7, Verdict.RESYNC, 5),
        ("other", 5, 7, Verdict.RESYNC, 5),
    ],
)
def test_a_delta_is_applied_only_where_it_follows(
    epoch: str, prev: int, cur: int, verdict: Verdict, position: int
) -> None:
    replica = loaded()
    delta = Delta(epoch=Epoch(epoch), prev=Position(prev), cur=Position(cur))
    assert replica.receive(delta)[0] is verdict
    assert replica.position == position


def test_changes_at_or_before_the_own_position_are_skipped() -> None:
    replica = loaded(5)
    changes = (change(5, None), change(6, node(2, "u1"), "node/2"))
    _, touched = replica.receive(Delta(epoch=EPOCH, prev=Position(4), cur=Position(6), changes=changes))
    assert touched == {"node/2"}
    assert replica.node(ONE) is not None


def test_a_load_touches_what_differs_and_nothing_else() -> None:
    replica = loaded()
    objects = (change(1, node(1, "u1")), change(9, node(2, "u1"), "node/2"))
    assert replica.load(Snapshot(epoch=EPOCH, position=Position(9), objects=objects)) == {"node/2"}


def test_another_history_keeps_no_fact_of_another_machine_under_the_same_id() -> None:
    """Invariant F6: after a restored backup the id may be somebody else's."""
    same, other = NodeId(1), NodeId(2)
    replica = Replica()
    first = (change(1, node(1, "u1")), change(2, node(2, "u1"), "node/2"))
    replica.load(Snapshot(epoch=EPOCH, position=Position(2), objects=first))
    replica.merge([fact(endpoints=("192.0.2.1:1",)), msgspec.structs.replace(fact(), node=other)])
    changed = msgspec.structs.replace(node(2, "u1"), machine_key=MachineKey("mkey:" + "f" * 64))
    objects = (change(1, node(1, "u1")), change(2, changed, "node/2"))
    replica.load(Snapshot(epoch=EPOCH, position=Position(2), objects=objects))
    assert replica.held(other) is not None  # the same history: a resync forgets nothing
    replica.load(Snapshot(epoch=Epoch("later"), position=Position(2), objects=first))
    assert replica.held(same) is not None
    assert replica.held(other) is None


def test_a_node_is_bound_by_its_current_key_and_its_machine() -> None:
    replica = loaded()
    old, machine = node(1, "u1").node_key, node(1, "u1").machine_key
    assert replica.bound(old, machine) is not None
    assert replica.bound(old, MachineKey("mkey:" + "f" * 64)) is None
    fresh = NodeKey("nodekey:" + "e" * 64)
    value = msgspec.structs.replace(node(1, "u1"), node_key=fresh)
    replica.receive(Delta(epoch=EPOCH, prev=Position(5), cur=Position(6), changes=(change(6, value),)))
    assert replica.bound(old, machine) is None
    assert replica.bound(fresh, machine) is not None
    assert replica.knows(machine)
    replica.receive(Delta(epoch=EPOCH, prev=Position(6), cur=Position(7), changes=(change(7, None),)))
    assert replica.bound(fresh, machine) is None
    assert not replica.knows(machine)


def test_facts_end_the_same_in_any_order() -> None:
    facts = [
        fact("f1", 1, 1, online=True),
        fact("f2", 2, 1, online=True, home_derp=3),
        fact("f1", 1, 9),
        fact("f2", 2, 2),
    ]
    ends = set()
    for order in itertools.permutations(facts):
        replica = loaded()
        replica.merge(order)
        replica.merge(order[:2])
        ends.add(msgspec.json.encode(replica.held(ONE)))
    assert ends == {msgspec.json.encode(facts[3])}


def test_a_fact_that_says_the_same_touches_nothing() -> None:
    replica = loaded()
    assert replica.merge([fact(online=True)]) == {"node/1"}
    assert replica.merge([fact(sequence=2, online=True)]) == frozenset()


def test_a_lapsed_frontend_has_no_sessions_until_it_is_heard_again() -> None:
    replica = loaded()
    replica.merge([fact(online=True)])
    assert replica.lapse("f1", Millis(77)) == {"node/1"}
    read = replica.fact(ONE)
    assert read is not None
    assert (read.online, read.last_seen) == (False, 77)
    assert replica.revive("f1") == {"node/1"}
    again = replica.fact(ONE)
    assert again is not None
    assert again.online


def test_a_snapshot_that_is_not_what_it_says_changes_nothing() -> None:
    replica = Replica()
    objects = (change(1, node(1, "u1")),)
    replica.load(Snapshot(epoch=EPOCH, position=Position(1), objects=objects))
    right = replica.state_digest()
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    other = (change(2, node(1, "u2")),)
    with pytest.raises(BadSnapshot):
        replica.load(Snapshot(epoch=EPOCH, position=Position(2), objects=other, digest=wrong))
    assert (replica.position, replica.state_digest()) == (1, right)
    replica.load(Snapshot(epoch=EPOCH, position=Position(2), objects=other))
    assert replica.state_digest() != right
