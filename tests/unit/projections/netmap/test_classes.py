"""Classes and their sets: what a class that comes or goes changes, and what that costs."""

import msgspec
import pytest

from engine.contracts.netmap import MAX_DELTA, Change, ClassObject, ClassSetObject, Delta
from engine.domain.events import Event, NodeDeleted, NodeReregistered, NodeTagged, UserRoleSet
from engine.domain.values import NodeId, NodeKey, Position, UserId
from engine.policy.document import Kind, Selector
from engine.policy.program import ANY_KEY, key_of
from projections.netmap.deltas import Step as Folded
from projections.netmap.deltas import deltas
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from tests.kit.histories import Step, history
from tests.unit.projections.netmap.stages import acl, keys, registered, routed, stage, touched

USERS = 300
CROWD: list[Step] = [("user", 0, 0)] * USERS + [("node", user, 0) for user in range(USERS)]
MEMBERS = {"acls": [acl("autogroup:member", "autogroup:member:*")]}


def last(course: list[Step]) -> tuple[NetmapState, dict[str, Change]]:
    """The state after the course, and what its last event changed."""
    state = NetmapState()
    changes: tuple[Change, ...] = ()
    for record in history(course):
        changes = fold(state, record)
    return state, {change.key: change for change in changes}


def cost(state: NetmapState, changes: dict[str, Change]) -> tuple[int, int]:
    """How many keys are touched, and how many octets that is as a delta."""
    ordered = tuple(changes[key] for key in sorted(changes))
    prev = Position(state.position - 1)
    delta = Delta(epoch=state.epoch, prev=prev, cur=state.position, changes=ordered)
    return len(changes), len(msgspec.json.encode(delta))


def cheap(keys: int, octets: int) -> bool:
    return keys <= 4 and octets < 10_000


def everybody(state: NetmapState) -> str:
    return state.policy.sets.of(ANY_KEY)


def test_one_users_first_node_among_300_users_is_a_small_change() -> None:
    state, changes = last(CROWD)
    assert cheap(*cost(state, changes))
    assert set(changes) == {f"node/{USERS}", f"class/u{USERS}", f"set/{everybody(state)}"}


def test_one_users_last_node_among_300_users_is_a_small_change() -> None:
    assert cheap(*cost(*last([*CROWD, ("delete", 0, 0)])))


def test_lists_for_each_class_would_be_found_expensive() -> None:
    """As it was before there were sets: every class lists every class, here as a set of its own."""
    state, changes = last(CROWD)
    listed = {
        f"set/seen-by-{name}": ClassSetObject(id=f"seen-by-{name}", classes=tuple(sorted(state.members)))
        for name in state.members
    }
    changes |= {key: Change(key=key, at=state.position, value=value) for key, value in listed.items()}
    found, octets = cost(state, changes)
    assert not cheap(found, octets)
    assert found > USERS
    assert octets > MAX_DELTA


def test_the_change_is_sent_and_does_not_become_a_gap() -> None:
    state, changes = last(CROWD)
    step = Folded(state.epoch, state.position, tuple(changes.values()))
    (data,) = deltas(Position(state.position - 1), [step])
    assert msgspec.json.decode(data, type=Delta).changes


# Under a policy ------------------------------------------------------------------------------------------------


def test_a_join_in_a_known_class_touches_one_object() -> None:
    there = stage(MEMBERS)
    assert touched(there.tell(registered(5, 2))) == {"node": 1}
    assert touched(there.tell(registered(6, 1, "tag:a"))) == {"node": 1}


def test_a_class_is_put_into_the_sets_that_its_policy_says_and_no_others_change() -> None:
    there = stage(MEMBERS)
    members = there.state.policy.sets.of(key_of(Selector(kind=Kind.MEMBER)))
    changes = there.tell(NodeTagged(node=NodeId(2), tags=("tag:a",)))
    assert keys(changes, "class") == {"u2"}  # gone: its only node has a tag now, and such a class is there
    assert keys(changes, "set") == {members}
    assert there.state.classes_in((members, "unknown")) == {"u1"}
    assert touched(there.tell(registered(7, 2))) == {"node": 1, "class": 1, "set": 1}
    assert there.state.classes_in((members,)) == {"u1", "u2"}


def test_a_class_that_the_policy_does_not_speak_of_is_in_no_set() -> None:
    there = stage(MEMBERS)
    assert touched(there.tell(registered(5, 1, "tag:a", "tag:b"))) == {"node": 1, "class": 1}
    assert there.state.standings["t:tag:a+tag:b"].sets == ()


def test_the_last_class_of_a_set_takes_it_with_it() -> None:
    there = stage({"acls": [acl("tag:a", "bob@:22")]})
    tagged = there.state.policy.sets.of("tag tag:a")
    changes = there.tell(NodeDeleted(node=NodeId(3)))
    assert touched(changes) == {"node": 1, "class": 1, "set": 1}
    assert keys(changes, "set") == {tagged}
    assert tagged not in there.state.sets
    assert all(change.value is None for change in changes)


def test_a_class_says_whose_nodes_it_has_and_what_they_may() -> None:
    policy = MEMBERS | {"nodeAttrs": [{"target": ["ann@"], "attr": ["funnel"]}]}
    there = stage(policy)
    own, tagged = there.state.class_of("u1"), there.state.class_of("t:tag:a")
    assert own is not None
    assert tagged is not None
    assert (own.user, tagged.user) == (1, 0)
    assert {"funnel", "https://tailscale.com/cap/is-admin"} <= set(own.capabilities)
    assert tagged.capabilities == ("https://tailscale.com/cap/is-owner",)
    assert own.has_ipv4


def test_a_class_without_ipv4_says_so() -> None:
    there = stage(MEMBERS | {"nodeAttrs": [{"target": ["bob@"], "attr": ["disable-ipv4"]}]})
    own, other = there.state.class_of("u2"), there.state.class_of("u1")
    assert own is not None
    assert other is not None
    assert (own.has_ipv4, other.has_ipv4) == (False, True)


def test_another_role_touches_the_users_own_classes_and_the_sets_that_go_by_roles() -> None:
    there = stage({"acls": [acl("autogroup:admin", "tag:a:22")]}, registered(5, 2), *routed(5, "10.0.0.0/8"))
    admins = there.state.policy.sets.of("role admin")
    changes = there.tell(UserRoleSet(user=UserId(2), role="admin"))
    mine = {name for name, one in there.state.identities.items() if one.user == 2}
    assert len(mine) == 2
    assert keys(changes, "class") == mine
    assert keys(changes, "set") == {admins}
    assert touched(changes) == {"class": 2, "set": 1}
    assert there.state.classes_in((admins,)) == {"u1", *mine}


def test_a_role_of_which_the_policy_does_not_speak_touches_the_users_own_classes_alone() -> None:
    there = stage(MEMBERS)
    changes = there.tell(UserRoleSet(user=UserId(2), role="admin"))
    assert touched(changes) == {"class": 1}
    (change,) = changes
    assert isinstance(change.value, ClassObject)
    assert change.value.capabilities == ("https://tailscale.com/cap/is-admin",)


def back(number: int, **fields: object) -> Event:
    """That a client came back, and what it says of itself."""
    key = NodeKey(f"nodekey:{number:064x}")
    return NodeReregistered(node=NodeId(number), node_key=key, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("version", "seen"), [("1.80.1", True), ("1.60.0", False)])
def test_what_a_client_reports_makes_the_class_where_a_posture_asks_for_it(
    version: str, *, seen: bool
) -> None:
    policy = {
        "postures": {"posture:new": ["node:tsVersion >= '1.70'"]},
        "acls": [acl("bob@", "tag:a:22", srcPosture=["posture:new"])],
    }
    there = stage(policy)
    before = there.state.node(NodeId(2))
    there.tell(back(2, client_version=version))
    after = there.state.node(NodeId(2))
    assert before is not None
    assert after is not None
    assert (before.class_id != after.class_id) is seen
    own = there.state.class_of("t:tag:a")
    assert own is not None
    assert (after.class_id in there.state.classes_in(own.sees)) is seen


def test_what_no_posture_asks_for_makes_no_class() -> None:
    there = stage(MEMBERS)
    assert touched(there.tell(back(2, client_version="1.80.1", os="linux"))) == {"node": 1}
    node = there.state.node(NodeId(2))
    assert node is not None
    assert node.class_id == "u2"
