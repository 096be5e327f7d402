"""Sets of classes: what came into one, what left one, and what a viewer of several sees."""

from engine.contracts.netmap import Change, ClassObject, ClassSetObject, NetmapObject, Snapshot, key_of
from engine.domain.values import NodeId, Position
from frontends.control.fragment import Fragment
from frontends.control.render import peer_node
from frontends.control.replica import Replica
from frontends.control.scope import Sets
from tests.unit.control.objects import EPOCH, a_set, node

ONE = NodeId(1)
PREFIXES = ("10.0.0.0/8",)
Texts = tuple[str, ...]


class Held:
    """Sets that follow a replica."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.sets = Sets(self.replica)
        self.position = 0

    def hold(self, *values: NetmapObject) -> set[str]:
        """Hold these objects and no others; return the classes that moved."""
        self.position += 1
        at = Position(self.position)
        changes = tuple(Change(key=key_of(value), at=at, value=value) for value in values)
        return self.sets.update(self.replica.load(Snapshot(epoch=EPOCH, position=at, objects=changes)))


def group(name: str, *classes: str) -> ClassSetObject:
    return ClassSetObject(id=name, classes=classes)


def test_only_classes_that_came_or_left_have_moved() -> None:
    held = Held()
    assert held.hold(group("all", "u1", "u2"), group("s", "u1")) == {"u1", "u2"}
    assert held.hold(group("all", "u1", "u3"), group("s", "u1")) == {"u2", "u3"}
    assert held.hold(group("all", "u1", "u3"), group("s", "u1"), ClassObject(id="u1", sees=())) == set()
    assert held.hold(group("all", "u1", "u3")) == {"u1"}


def test_a_class_knows_its_sets_sorted() -> None:
    held = Held()
    held.hold(group("s", "u1"), group("all", "u1", "u2"))
    assert (held.sets.of("u1"), held.sets.of("u2"), held.sets.of("u3")) == (("all", "s"), ("all",), ())
    held.hold(group("s", "u1"))
    assert (held.sets.of("u1"), held.sets.of("u2")) == (("s",), ())


def test_a_class_knows_which_of_its_sets_filters_name() -> None:
    held = Held()
    held.hold(group("a", "u1"), a_set("b", "u1", "u2"), a_set("c", "u2"))
    assert (held.sets.of("u1"), held.sets.named_of("u1")) == (("a", "b"), ("b",))
    assert held.sets.named_of("u2") == ("b", "c")
    assert held.sets.named_of("u3") == ()


def test_all_classes_of_a_set_have_moved_when_filters_name_it_or_do_so_no_more() -> None:
    held = Held()
    held.hold(group("a", "u1", "u2"), group("b", "u3"))
    assert held.hold(a_set("a", "u1", "u2"), group("b", "u3")) == {"u1", "u2"}
    assert held.hold(a_set("a", "u1", "u2"), group("b", "u3")) == set()
    assert held.hold(group("a", "u1"), group("b", "u3")) == {"u1", "u2"}
    assert held.sets.named_of("u1") == ()


def test_a_viewer_of_several_sets_sees_their_union_and_nothing_in_a_set_that_is_not_there() -> None:
    held = Held()
    held.hold(group("a", "u1"), group("b", "u2", "u1"))
    assert held.sets.scope(("a", "b", "none"), {}).classes == {"u1", "u2"}
    assert held.sets.scope(("none",), {}).classes == set()


def test_equal_scopes_are_one_object_and_another_after_a_set_has_changed() -> None:
    held = Held()
    held.hold(group("a", "u1"), group("b", "u1"))
    before = held.sets.scope(("a",), {})
    assert held.sets.scope(("b",), {}) is before
    held.hold(group("a", "u1", "u2"), group("b", "u1"))
    assert held.sets.scope(("a",), {}) is not before
    assert held.sets.scope(("b",), {}) is before


def test_scopes_with_equal_routes_are_one_object_and_with_others_another() -> None:
    held = Held()
    held.hold(group("a", "u1"))
    here, equal, elsewhere, none = (
        {ONE: PREFIXES},
        {ONE: PREFIXES},
        {NodeId(2): PREFIXES},
        dict[NodeId, Texts](),
    )
    scope = held.sets.scope(("a",), here)
    assert held.sets.scope(("a",), equal) is scope
    assert held.sets.scope(("a",), elsewhere) is not scope
    assert held.sets.scope(("a",), none) is not scope
    held.sets.outdate()
    assert held.sets.scope(("a",), equal) is scope


def test_a_router_wears_the_routes_of_the_scope_and_others_stay_as_they_are() -> None:
    routers = {n: Fragment(peer_node(node(n, "u1"), None, "example.com", ())) for n in (1, 2)}
    held = Held()
    held.hold(group("a", "u1"))
    scope = held.sets.scope(("a",), {ONE: ("10.0.0.0/8", "fd00::/64")})
    shown = scope.fragment(ONE, routers[1])
    assert shown.node.allowed_ips == (*routers[1].node.addresses, "10.0.0.0/8", "fd00::/64")
    assert shown.node.primary_routes == ("10.0.0.0/8", "fd00::/64")
    assert scope.fragment(ONE, routers[1]) is shown
    assert scope.fragment(NodeId(2), routers[2]) is routers[2]
