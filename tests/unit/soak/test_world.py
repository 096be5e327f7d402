"""The quick judge of long runs says what the slow oracle says, whatever happens to the tailnet."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.events import Event, PeerUpdated, PolicySet
from engine.domain.values import FIRST_PEER_ID, NodeKey, PeerId
from tests.kit.histories import Step, Teller
from tests.kit.oracle import entitlement
from tests.kit.sights import entitled
from tests.soak.load import policies
from tests.soak.records import MODULUS, digest
from tests.soak.world import World

NAMES = (
    "node",
    "node",
    "rename",
    "tag",
    "delete",
    "peer",
    "peer_end",
    "peer_switch",
    "connect",
    "disconnect",
)
GROUPS = 3
TEXTS = [
    "",
    *(re.sub(r"\bg(\d)@", lambda m: f"user{int(m[1]) + 1}@", text) for text in policies(GROUPS)),
]
"""A run's policies, for the users that histories have."""

small = st.integers(0, 20)
courses = st.lists(st.tuples(st.sampled_from((*NAMES, "rule")), small, small), max_size=25)


def told(course: list[Step]) -> list[list[Event]]:
    """The events that each step adds."""
    teller = Teller()
    for _ in range(GROUPS):
        teller.tell(("user", 0, 0))
    found = [list(teller.events)]
    for step in course:
        count = len(teller.events)
        if step[0] == "rule":
            text = TEXTS[step[1] % len(TEXTS)]
            teller.events.append(PolicySet(text=text, digest=hashlib.sha256(text.encode()).hexdigest()))
        else:
            teller.tell(step)
        found.append(teller.events[count:])
    return found


@given(courses)
def test_the_world_entitles_everybody_to_what_the_oracle_does(course: list[Step]) -> None:
    world = World()
    events: list[Event] = []
    before: dict[int, int] = {}
    for batch in told(course):
        touched: set[int] = set()
        for event in batch:
            touched |= world.apply(event)
        events += batch
        sums = world.sums(world.devices)
        assert {n for n in {*sums, *before} if sums.get(n) != before.get(n)} <= touched
        before = sums
        for node in world.devices:
            entries = world.entries(node)
            assert sums[node] == sum(map(digest, entries)) % MODULUS
            may = entitled(events, node)
            assert may is not None
            peers = {(e.id, e.fields[1], e.fields[2]) for e in entries if e.fields[0] == "peer"}
            assert peers == may.peers
            oracle = entitlement(events, node)
            assert oracle is not None
            assert {-e.id for e in entries if e.fields == ("sender",)} == oracle.senders
            extras = {(e.id, *e.fields[1:]) for e in entries if e.id >= FIRST_PEER_ID}
            assert extras == {
                (x.id, x.key, "expired" if x.is_expired else "", x.ipv4_masq, x.ipv6_masq)
                for x in may.wireguard
            }


def test_the_policies_of_a_run_show_some_nodes_to_some_others_only() -> None:
    seen = set()
    for text in TEXTS:
        world = World()
        for event in told([("node", n, 0) for n in range(6)])[0:]:
            for one in event:
                world.apply(one)
        world.apply(PolicySet(text=text, digest=""))
        seen.add(tuple(len(world.entries(node)) for node in world.devices))
    assert len(seen) > 4, seen


def test_an_event_that_it_does_not_know_is_an_error() -> None:
    change = PeerUpdated(
        peer=PeerId(FIRST_PEER_ID),
        public_key=NodeKey("nodekey:" + "a" * 64),
        allowed_ips=(),
        endpoints=(),
    )
    with pytest.raises(AssertionError, match="PeerUpdated"):
        World().apply(change)
