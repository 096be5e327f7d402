"""Sets of classes: what came into one, what left one, and what a viewer of several sees."""

from engine.contracts.netmap import Change, ClassObject, ClassSetObject, NetmapObject, Snapshot, key_of
from engine.domain.values import Position
from frontends.control.replica import Replica
from frontends.control.scope import Sets
from tests.unit.control.test_session import EPOCH


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


def test_a_viewer_of_several_sets_sees_their_union_and_nothing_in_a_set_that_is_not_there() -> None:
    held = Held()
    held.hold(group("a", "u1"), group("b", "u2", "u1"))
    assert held.sets.scope(("a", "b", "none")).classes == {"u1", "u2"}
    assert held.sets.scope(("none",)).classes == set()


def test_equal_scopes_are_one_object_and_another_after_a_set_has_changed() -> None:
    held = Held()
    held.hold(group("a", "u1"), group("b", "u1"))
    before = held.sets.scope(("a",))
    assert held.sets.scope(("b",)) is before
    held.hold(group("a", "u1", "u2"), group("b", "u1"))
    assert held.sets.scope(("a",)) is not before
    assert held.sets.scope(("b",)) is before
