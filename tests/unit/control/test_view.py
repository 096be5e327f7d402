"""What a class that comes, goes or moves between sets changes for those who see it, and what it leaves alone."""

from typing import Any

import msgspec
import pytest

from engine.contracts.netmap import ConnectionExtra, ExtrasObject, NetmapObject, RouteObject, UserObject
from engine.domain.values import NodeId, PeerId, UserId
from engine.policy.policy import SshUse
from frontends.control.journal import Step
from frontends.control.peerlist import PeerLists
from frontends.control.session import End, Session
from frontends.wire.mapframe import Encoder
from tests.unit.control.objects import (
    TIME,
    Held,
    a_class,
    a_set,
    delta,
    entry,
    external,
    node,
    program,
    reach,
    shell,
    tailnet,
)

RULE = reach("e")
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)
NEW, OLD = 142, 104


class Tailnet:
    """Two nodes of class u1, one of class u2, and one WireGuard-only peer that the first is connected to."""

    def __init__(self) -> None:
        values: list[NetmapObject] = [
            tailnet(),
            external(100_000_001),
            *(UserObject(id=UserId(number), name=f"user{number}") for number in (1, 2, 3)),
            a_set("all", "u1", "u2"),
            entry("e", "all"),
            program("e"),
            *(a_class(name, sees=("all",), rules=(RULE,)) for name in ("u1", "u2")),
            node(1, "u1"),
            node(2, "u1"),
            node(3, "u2"),
            ExtrasObject(node=ONE, connections=(ConnectionExtra(peer=PeerId(100_000_001)),)),
        ]
        held = Held(*values)
        self.replica, self.view = held.replica, held.view

    def put(self, *values: NetmapObject, gone: tuple[str, ...] = ()) -> list[Step]:
        return self.view.update(self.replica.receive(delta(self.replica, values, gone))[1])

    def class_comes(self) -> list[Step]:
        return self.put(
            node(4, "u3"),
            a_class("u3", sees=("all",), rules=(RULE,)),
            a_set("all", "u1", "u2", "u3"),
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


def shown_addresses(step: Step) -> list[str]:
    """The addresses that a node shows after."""
    assert step.after is not None
    return list(step.after.fragment.node.addresses)


def told(session: Session, there: Tailnet) -> dict[str, Any]:
    """The next frame."""
    text = session.next(there.view, TIME)
    assert isinstance(text, bytes)
    frame: dict[str, Any] = msgspec.json.decode(text)
    return frame


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
    frame = told(session, there)
    assert set(frame) == {"ControlTime", "PeersChanged", "UserProfiles"}
    assert [peer["ID"] for peer in frame["PeersChanged"]] == [4]


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_a_filter_that_reads_the_same_stays_the_same_object(capver: int) -> None:
    there = Tailnet()
    before = there.filters(TWO, capver)
    there.put(node(3, "u2", name="other"), UserObject(id=UserId(9), name="nobody's"), a_set("s9", "u2"))
    assert there.filters(TWO, capver) is before


def test_a_filter_follows_its_class() -> None:
    there = Tailnet()
    for capver in (OLD, NEW):
        assert there.filters(ONE, capver) != b'{"netmap":[]}'
    there.put(a_class("u1", sees=("all",)))
    for capver in (OLD, NEW):
        assert there.filters(ONE, capver) == b'{"netmap":[]}'
    assert there.filters(THREE, NEW) != b'{"netmap":[]}'


@pytest.mark.parametrize("capver", [OLD, NEW])
def test_who_has_no_ssh_rules_is_told_so_in_the_first_frame(capver: int) -> None:
    there = Tailnet()
    whole = Session(TWO, capver).first(there.view, PeerLists(there.view, bytes), TIME)
    assert not isinstance(whole, End)
    assert msgspec.json.decode(whole.head + b"".join(whole.peers) + whole.tail)["SSHPolicy"] == {"rules": []}


def test_another_ssh_policy_is_sent_to_its_class_and_to_nobody_else() -> None:
    there = Tailnet()
    mine, other = there.session(THREE), there.session(TWO)
    there.put(shell("r", "all"), a_class("u2", sees=("all",), rules=(RULE,), ssh=(SshUse("r"),)))
    assert set(told(mine, there)) == {"ControlTime", "SSHPolicy"}
    assert other.next(there.view, TIME) is None


def test_a_route_that_comes_is_told_to_whom_it_is_for_on_its_router_alone() -> None:
    there = Tailnet()
    mine, router, other = there.session(THREE), there.session(TWO), there.session(ONE)
    there.put(a_set("s1", "u2"), RouteObject(prefix="10.0.0.0/8", routers=(TWO,), sets=("s1",)))
    frame = told(mine, there)
    assert set(frame) == {"ControlTime", "PeersChanged"}
    assert [peer["ID"] for peer in frame["PeersChanged"]] == [TWO]
    assert frame["PeersChanged"][0]["PrimaryRoutes"] == ["10.0.0.0/8"]
    assert told(router, there)["Node"]["PrimaryRoutes"] == ["10.0.0.0/8"]
    assert all("PrimaryRoutes" not in peer for peer in told(other, there).get("PeersChanged", []))


def test_older_clients_get_the_new_classs_addresses() -> None:
    there = Tailnet()
    assert b"100.64.0.4" not in there.filters(ONE, OLD)
    there.class_comes()
    assert b"100.64.0.4" in there.filters(ONE, OLD)


def test_the_nodes_of_a_class_that_leaves_a_set_lose_its_capability_and_no_others_do() -> None:
    there = Tailnet()
    there.put(a_set("s1", "u1", "u2"))
    steps = there.put(a_set("s1", "u2"))
    assert {step.node for step in steps} == {ONE, TWO}
    both = {"netmap.internal/set/all", "netmap.internal/set/s1"}
    assert all(capabilities(step) == (both, {"netmap.internal/set/all"}) for step in steps)


def test_a_set_that_no_filter_names_is_carried_by_nobody_until_one_does() -> None:
    there = Tailnet()
    assert there.put(a_set("s1", "u2", is_source=False)) == []
    (step,) = there.put(a_set("s1", "u2"))
    both = {"netmap.internal/set/all", "netmap.internal/set/s1"}
    assert capabilities(step) == ({"netmap.internal/set/all"}, both)


def test_a_class_that_shows_no_ipv4_any_more_shows_it_to_nobody_and_sends_from_it_still() -> None:
    there = Tailnet()
    old = there.filters(ONE, OLD)
    steps = there.put(a_class("u2", sees=("all",), rules=(RULE,), capabilities=("disable-ipv4",)))
    assert [step.node for step in steps] == [THREE]
    assert shown_addresses(steps[0]) == ["fd7a:115c:a1e0::3/128"]
    own = there.view.standing(THREE, NEW)
    assert own is not None
    assert msgspec.json.decode(own.me)["Addresses"] == ["fd7a:115c:a1e0::3/128"]
    assert there.filters(TWO, OLD).count(b'"100.64.0.3"') == 1
    assert b"100.64.0.3" in old
    (again,) = there.put(a_class("u2", sees=("all",), rules=(RULE,)))
    assert shown_addresses(again) == ["100.64.0.3/32", "fd7a:115c:a1e0::3/128"]


def test_a_node_that_moves_between_such_classes_shows_what_its_class_shows() -> None:
    there = Tailnet()
    there.put(a_class("u2", sees=("all",), capabilities=("disable-ipv4",)))
    (step,) = there.put(node(1, "u2"))
    assert shown_addresses(step) == ["fd7a:115c:a1e0::1/128"]


def test_an_expired_node_carries_no_set_whatever_becomes_of_the_sets() -> None:
    there = Tailnet()
    (step,) = there.put(node(3, "u2", expired=True))
    assert capabilities(step) == ({"netmap.internal/set/all"}, set())
    assert there.put(a_set("s1", "u2")) == []


def test_a_wireguard_only_peer_carries_no_set() -> None:
    there = Tailnet()
    there.put(a_set("s1", "u1", "u2"))
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


# Resolvers -----------------------------------------------------------------------------------------------------


def dns_of(there: Tailnet, number: NodeId) -> dict[str, object]:
    standing = there.view.standing(number, NEW)
    assert standing is not None
    found: dict[str, object] = msgspec.json.decode(standing.common.dns)
    return found


def test_the_tailnets_resolvers_go_before_those_of_an_exit_unless_they_are_demoted() -> None:
    """Scenario E22; the client's part is measured (reference: WireGuard-only peers, §2.6)."""
    there = Tailnet()
    there.put(tailnet(resolvers=("9.9.9.9",)))
    assert [dns_of(there, number).get("Resolvers") for number in (ONE, TWO)] == [[{"Addr": "9.9.9.9"}]] * 2
    connection = ConnectionExtra(peer=PeerId(100_000_001))
    there.put(ExtrasObject(node=ONE, connections=(connection,), demotes=True))
    one, two = dns_of(there, ONE), dns_of(there, TWO)
    assert (one.get("Resolvers"), one["FallbackResolvers"]) == (None, [{"Addr": "9.9.9.9"}])
    assert (two["Resolvers"], two.get("FallbackResolvers")) == ([{"Addr": "9.9.9.9"}], None)
    assert one["Routes"] == two["Routes"]


def test_without_resolvers_nothing_is_demoted() -> None:
    there = Tailnet()
    before = there.view.standing(ONE, NEW)
    there.put(ExtrasObject(node=ONE, connections=(ConnectionExtra(peer=PeerId(100_000_001)),), demotes=True))
    now = there.view.standing(ONE, NEW)
    assert before is not None
    assert now is not None
    assert now.common is before.common


def test_of_many_relays_the_one_that_changes_is_rendered_anew() -> None:
    tailnet = Tailnet()
    numbers = [PeerId(100_000_001 + number) for number in range(5)]
    relays = [external(number) for number in numbers]
    held = [ConnectionExtra(peer=number, ipv4_masq="10.64.0.2") for number in numbers]
    tailnet.put(*relays, ExtrasObject(node=ONE, connections=tuple(held)))

    def extras() -> dict[int, Any]:
        standing = tailnet.view.standing(ONE, NEW)
        assert standing is not None
        return {int(extra.node.id): extra for extra in standing.extras}

    before = extras()
    held[2] = ConnectionExtra(peer=numbers[2], ipv4_masq="10.64.0.9")
    tailnet.put(ExtrasObject(node=ONE, connections=tuple(held)))
    after_connection = extras()
    assert {n for n in numbers if after_connection[n] is not before[n]} == {numbers[2]}
    tailnet.put(external(int(numbers[4]), endpoints=("192.0.2.77:1",)))
    after_relay = extras()
    assert {n for n in numbers if after_relay[n] is not after_connection[n]} == {numbers[4]}
    assert after_relay[numbers[4]].node.endpoints == ("192.0.2.77:1",)
