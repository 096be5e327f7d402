"""What a class that comes, goes or moves between sets changes for those who see it, and what it leaves alone."""

import msgspec

from engine.contracts.netmap import (
    Change,
    ClassObject,
    ClassSetObject,
    ConnectionExtra,
    Delta,
    ExtrasObject,
    FilterRule,
    NetmapObject,
    Snapshot,
    UserObject,
    key_of,
)
from engine.domain.values import NodeId, PeerId, Position, UserId
from frontends.control.journal import Step
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica
from frontends.control.session import End, Session
from frontends.control.view import View
from frontends.wire.mapframe import Encoder
from tests.unit.control.test_session import EPOCH, external, node, tailnet

TIME = "2026-01-01T00:00:00Z"
RULE = FilterRule(source_sets=("all",))
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
NEW, OLD = 142, 104


class Tailnet:
    """Two nodes of class u1, one of class u2, and one WireGuard-only peer that the first is connected to."""

    def __init__(self) -> None:
        values: list[NetmapObject] = [
            tailnet(),
            external(100_000_001),
            *(UserObject(id=UserId(number), name=f"user{number}") for number in (1, 2, 3)),
            ClassSetObject(id="all", classes=("u1", "u2")),
            *(ClassObject(id=name, sees=("all",), rules=(RULE,)) for name in ("u1", "u2")),
            node(1, "u1"),
            node(2, "u1"),
            node(3, "u2"),
            ExtrasObject(node=ONE, connections=(ConnectionExtra(peer=PeerId(100_000_001)),)),
        ]
        self.replica = Replica()
        self.view = View(self.replica)
        changes = tuple(Change(key=key_of(value), at=Position(1), value=value) for value in values)
        self.view.update(self.replica.load(Snapshot(epoch=EPOCH, position=Position(1), objects=changes)))

    def put(self, *values: NetmapObject, gone: tuple[str, ...] = ()) -> list[Step]:
        position = Position(self.replica.position + 1)
        changes = [Change(key=key_of(value), at=position, value=value) for value in values]
        changes += [Change(key=key, at=position, value=None) for key in gone]
        delta = Delta(epoch=EPOCH, prev=self.replica.position, cur=position, changes=tuple(changes))
        return self.view.update(self.replica.receive(delta)[1])

    def class_comes(self) -> list[Step]:
        return self.put(
            node(4, "u3"),
            ClassObject(id="u3", sees=("all",), rules=(RULE,)),
            ClassSetObject(id="all", classes=("u1", "u2", "u3")),
        )

    def filters(self, number: NodeId, capver: int) -> bytes:
        standing = self.view.standing(number, capver)
        assert standing is not None
        return standing.filters

    def session(self, number: NodeId, capver: int = NEW) -> Session:
        """A session that has had its first frame."""
        made = Session(number, capver)
        assert not isinstance(made.first(self.view, PeerLists(self.view, Encoder().compress), TIME), End)
        return made


def capabilities(step: Step) -> tuple[set[str], set[str]]:
    """What a node carries before and after."""
    sides = (None if shown is None else shown.fragment.node.cap_map for shown in (step.before, step.after))
    before, after = (set(carried or ()) for carried in sides)
    return before, after


def test_a_class_that_comes_changes_nobodys_filter_and_no_other_node() -> None:
    there = Tailnet()
    before = {number: there.filters(number, NEW) for number in (ONE, TWO, THREE)}
    steps = there.class_comes()
    assert [step.node for step in steps] == [4]
    assert capabilities(steps[0]) == (set(), {"netmap.internal/set/all"})
    for number, filters in before.items():
        assert there.filters(number, NEW) is filters


def test_sessions_are_told_one_peer_and_its_profile_when_a_class_comes() -> None:
    there = Tailnet()
    session = there.session(THREE)
    there.class_comes()
    text = session.next(there.view, TIME)
    assert isinstance(text, bytes)
    frame = msgspec.json.decode(text)
    assert set(frame) == {"ControlTime", "PeersChanged", "UserProfiles"}
    assert [peer["ID"] for peer in frame["PeersChanged"]] == [4]


def test_older_clients_get_the_new_classs_addresses() -> None:
    there = Tailnet()
    assert b"100.64.0.4/32" not in there.filters(ONE, OLD)
    there.class_comes()
    assert b"100.64.0.4/32" in there.filters(ONE, OLD)


def test_the_nodes_of_a_class_that_leaves_a_set_lose_its_capability_and_no_others_do() -> None:
    there = Tailnet()
    there.put(ClassSetObject(id="s1", classes=("u1", "u2")))
    steps = there.put(ClassSetObject(id="s1", classes=("u2",)))
    assert {step.node for step in steps} == {ONE, TWO}
    both = {"netmap.internal/set/all", "netmap.internal/set/s1"}
    assert all(capabilities(step) == (both, {"netmap.internal/set/all"}) for step in steps)


def test_an_expired_node_carries_no_set_whatever_becomes_of_the_sets() -> None:
    there = Tailnet()
    (step,) = there.put(node(3, "u2", expired=True))
    assert capabilities(step) == ({"netmap.internal/set/all"}, set())
    assert there.put(ClassSetObject(id="s1", classes=("u2",))) == []


def test_a_wireguard_only_peer_carries_no_set() -> None:
    there = Tailnet()
    there.put(ClassSetObject(id="s1", classes=("u1", "u2")))
    standing = there.view.standing(ONE, NEW)
    assert standing is not None
    (peer,) = standing.extras
    assert b"/set/" not in peer.data


def test_an_expired_node_is_told_nothing_of_anybody_else() -> None:
    there = Tailnet()
    there.put(node(1, "u1", expired=True))
    standing = there.view.standing(ONE, NEW)
    assert standing is not None
    assert (standing.scope.classes, standing.extras) == (frozenset(), ())
    assert standing.filters == b'{"netmap":[]}'


def test_a_node_whose_node_key_changed_ends_its_session_and_nobody_elses() -> None:
    there = Tailnet()
    own, other = there.session(ONE), there.session(TWO)
    there.put(node(1, "u1", node_key=f"nodekey:{1001:064x}"))
    assert own.next(there.view, TIME) is End.GONE
    assert isinstance(other.next(there.view, TIME), bytes)


def test_a_node_without_a_wire_form_is_shown_to_nobody_and_harms_nobody() -> None:
    """Invariant F7: one bad object breaks nothing that does not depend on it."""
    made = Tailnet()
    half_a_character = "\ud800"
    steps = made.put(node(2, "u1", name=half_a_character), node(4, "u2"))
    assert {step.node: step.after is not None for step in steps} == {2: False, 4: True}
    assert made.view.broken == {2}
    made.put(node(2, "u1"))
    assert made.view.broken == set()
    assert TWO in made.view.shown
