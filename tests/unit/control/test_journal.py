"""What the journal remembers."""

from engine.domain.values import NodeId
from frontends.control.fragment import Fragment
from frontends.control.journal import Journal, Shown, Step
from frontends.control.render import peer_node
from tests.unit.control.objects import node

ONE = NodeId(1)


def shown(name: str) -> Shown:
    return Shown("u1", Fragment(peer_node(node(1, "u1", name=name), None, "example.com", ())))


def test_what_was_only_in_between_does_not_exist() -> None:
    journal, first, between, last = Journal(), shown("a"), shown("b"), shown("c")
    journal.add([Step(ONE, None, first)])
    start = journal.version
    journal.add([Step(ONE, first, between)])
    journal.add([Step(ONE, between, last)])
    assert journal.since(start) == {ONE: (first, last)}
    assert journal.since(0) == {ONE: (None, last)}
    assert journal.since(journal.version) == {}


def test_what_is_forgotten_is_not_guessed() -> None:
    journal, value = Journal(limit=2), shown("a")
    for number in range(1, 5):
        journal.add([Step(NodeId(number), None, value)])
    assert journal.since(1) is None
    assert set(journal.since(2) or ()) == {3, 4}


def test_after_forget_only_the_present_is_known() -> None:
    journal = Journal()
    journal.add([])
    journal.forget()
    assert journal.since(1) is None
    assert journal.since(journal.version) == {}
