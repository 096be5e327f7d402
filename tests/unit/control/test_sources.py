"""The addresses of sets: found once, kept while they stay the same, and never kept longer."""

import pytest

from engine.contracts.netmap import Change, ClassSetObject, NodeObject, Snapshot, key_of
from engine.domain.values import NodeId, Position
from frontends.control import sources
from frontends.control.fragment import Fragment
from frontends.control.render import peer_node
from frontends.control.replica import Replica
from frontends.control.scope import Sets
from frontends.control.sources import Sources
from tests.unit.control.objects import EPOCH, a_set, node


class Held:
    """Sources over sets, and nodes of classes that come and go; what moved is told as the view tells it."""

    def __init__(self, *values: ClassSetObject) -> None:
        self.replica = Replica()
        self.sets = Sets(self.replica)
        self.members: dict[str, dict[NodeId, Fragment]] = {}
        self.sources = Sources(self.sets, self.members)
        self.position = 0
        self.gather(*values)

    def gather(self, *values: ClassSetObject) -> None:
        """Hold these sets and no others."""
        self.position += 1
        at = Position(self.position)
        changes = tuple(Change(key=key_of(value), at=at, value=value) for value in values)
        whole = Snapshot(epoch=EPOCH, position=at, objects=changes)
        self.sources.stir(self.sets.update(self.replica.load(whole)))

    def show(self, *nodes: NodeObject) -> None:
        for value in nodes:
            fragment = Fragment(peer_node(value, None, "example.com", ()), (value.ipv4, value.ipv6))
            self.members.setdefault(value.class_id, {})[value.id] = fragment
        self.sources.stir({value.class_id for value in nodes})

    def hide(self, class_id: str, number: int) -> None:
        del self.members[class_id][NodeId(number)]
        self.sources.stir([class_id])


def one_each() -> Held:
    """Sets `a` of u1, `b` of u2 and `ab` of both; nodes 1 of u1, 2 of u2."""
    held = Held(a_set("a", "u1"), a_set("b", "u2"), a_set("ab", "u1", "u2"))
    held.show(node(1, "u1"), node(2, "u2"))
    return held


def test_the_addresses_of_sets_are_their_nodes_sorted_as_texts_and_once() -> None:
    held = one_each()
    held.show(node(10, "u2"))
    assert held.sources.of(("a", "ab")) == (
        "100.64.0.1",
        "100.64.0.10",
        "100.64.0.2",
        "fd7a:115c:a1e0::1",
        "fd7a:115c:a1e0::2",
        "fd7a:115c:a1e0::a",
    )


def test_a_set_that_is_not_there_has_no_addresses_nor_has_a_class_without_nodes() -> None:
    held = one_each()
    held.gather(a_set("empty", "u3"))
    assert held.sources.of(("empty", "nowhere")) == ()


def test_an_expired_node_is_nobodys_source_until_it_is_back() -> None:
    held = one_each()
    held.show(node(1, "u1", expired=True))
    assert held.sources.of(("a",)) == ()
    assert list(held.sources.nodes("u1")) == []
    held.show(node(1, "u1"))
    assert held.sources.of(("a",)) == ("100.64.0.1", "fd7a:115c:a1e0::1")


def test_a_node_sends_also_from_an_address_that_it_does_not_show() -> None:
    held = one_each()
    value = node(3, "u1")
    shown = peer_node(value, None, "example.com", (), has_ipv4=False)
    held.members["u1"][value.id] = Fragment(shown, (value.ipv4, value.ipv6))
    held.sources.stir(["u1"])
    assert "100.64.0.3" in held.sources.of(("a",))


def test_a_change_in_one_of_its_classes_is_seen() -> None:
    held = one_each()
    before = held.sources.of(("ab",))
    held.show(node(3, "u2"))
    assert held.sources.of(("ab",)) == tuple(sorted({*before, "100.64.0.3", "fd7a:115c:a1e0::3"}))
    held.hide("u1", 1)
    assert "100.64.0.1" not in held.sources.of(("ab",))


def test_a_change_in_another_class_leaves_the_same_object() -> None:
    held = one_each()
    before = held.sources.of(("a",))
    held.show(node(3, "u2"))
    assert held.sources.of(("a",)) is before
    held.gather(a_set("a", "u1"), a_set("b", "u3"), a_set("ab", "u1", "u2"))
    assert held.sources.of(("a",)) is before


def test_a_class_that_enters_or_leaves_a_set_is_seen() -> None:
    held = one_each()
    assert held.sources.of(("a",)) == ("100.64.0.1", "fd7a:115c:a1e0::1")
    held.gather(a_set("a", "u1", "u2"))
    assert len(held.sources.of(("a",))) == 4
    held.gather(a_set("a", "u2"))
    assert held.sources.of(("a",)) == ("100.64.0.2", "fd7a:115c:a1e0::2")


def test_a_class_that_leaves_and_comes_back_with_other_nodes_is_seen() -> None:
    held = one_each()
    held.sources.of(("a",))
    held.gather(a_set("b", "u2"))
    held.hide("u1", 1)
    held.show(node(5, "u1"))
    held.gather(a_set("a", "u1"))
    assert held.sources.of(("a",)) == ("100.64.0.5", "fd7a:115c:a1e0::5")


def test_the_stamp_of_classes_grows_with_each_of_them_and_with_no_other() -> None:
    held = one_each()
    before = held.sources.stamp(["u1", "u2"]), held.sources.stamp(["u1"])
    held.sources.stir(["u2"])
    assert held.sources.stamp(["u1", "u2"]) > before[0]
    assert held.sources.stamp(["u1"]) == before[1]
    assert held.sources.stamp([]) == 0


def test_what_is_no_longer_kept_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KEPT", 2)
    held = one_each()
    first = held.sources.of(("a",))
    for sets in (("b",), ("ab",), ("a", "b")):
        held.sources.of(sets)
        assert len(held.sources._found) <= 2
    assert held.sources.of(("a",)) == first
