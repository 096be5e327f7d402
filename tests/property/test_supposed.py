"""What is supposed is what would be: the same as giving the commands and comparing everybody's netmap.

The naive way decides each command on a tailnet folded from the log, folds what it decided, and compares all nodes.
"""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.commands import (
    AddConnection,
    Command,
    DeleteNode,
    DisablePeer,
    RemovePeer,
    RenameNode,
    RenamePeer,
    SetBaseDomain,
    SetPolicy,
    SetUserRole,
    SetWireGuardMode,
    TagNode,
)
from engine.domain.decide import decide
from engine.domain.decision import Given
from engine.domain.errors import Refusal
from engine.domain.values import CommandId, NodeId, PeerId, Position
from engine.ports import Envelope, Recorded
from projections.history.supposed import NodeRow, Start, Wish, suppose
from projections.netmap.diff import rows
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState
from projections.netmap.view import view
from tests.kit.histories import POLICIES, Step, history, steps

ALL = 10_000
Numbers = tuple[int, int, int]


def commands(state: NetmapState, numbers: list[Numbers]) -> list[Command]:
    """Return commands about what is there, and some about what is not."""
    nodes = [*sorted(state.tailnet.nodes), NodeId(99)]
    peers = [*sorted(state.tailnet.peers), PeerId(100_000_099)]
    users = [*sorted(state.tailnet.users), 99]
    found: list[Command] = []
    for which, one, other in numbers:
        node, peer, user = nodes[one % len(nodes)], peers[other % len(peers)], users[one % len(users)]
        made: list[Command] = [
            RenameNode(node=node, name=f"renamed{other}"),
            TagNode(node=node, tags=("tag:a",)),
            DeleteNode(node=node),
            AddConnection(node=node, peer=peer, ipv4_masq_addr=f"10.99.0.{other + 1}"),
            RemovePeer(peer=peer, cascade=bool(one % 2)),
            DisablePeer(peer=peer),
            RenamePeer(peer=peer, name=f"peer{one}"),
            SetPolicy(text=POLICIES[one % len(POLICIES)], force=True),
            SetBaseDomain(domain=f"net{one}.example"),
            SetUserRole(user=user, role="admin"),
            SetWireGuardMode(mode=("enforce", "bypass")[one % 2]),
        ]
        found.append(made[which % len(made)])
    return found


def folded(course: list[Step]) -> NetmapState:
    state = NetmapState()
    for record in history(course):
        fold(state, record)
    return state


def naive(course: list[Step], wanted: list[Command]) -> tuple[list[bool], list[NodeRow]]:
    """Give the commands, and compare everybody."""
    before, after = folded(course), folded(course)
    answers = []
    for command in wanted:
        try:
            decision = decide(after.tailnet, command, Given(now=before.at, secret="0" * 32))
        except Refusal:
            answers.append(False)
            continue
        answers.append(True)
        for event in decision.events:
            envelope = Envelope(stream="", version=1, at=before.at, actor="", command_id=CommandId(""))
            position = Position(after.position + 1)
            fold(after, Recorded(position=position, envelope=envelope, event=event, digest=""))
    numbers = sorted(before.tailnet.nodes.keys() | after.tailnet.nodes.keys())
    found = [
        NodeRow(node=number, node_name="", change=row)
        for number in numbers
        for row in rows(view(before, number), view(after, number))
    ]
    return answers, found


@given(steps(), st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=4))
def test_what_is_supposed_is_what_would_be(course: list[Step], numbers: list[Numbers]) -> None:
    state = folded([("user", 0, 0), ("node", 0, 0), *course])
    course = [("user", 0, 0), ("node", 0, 0), *course]
    wanted = commands(state, numbers)
    start = Start(tailnet=state.tailnet.draft(), epoch=state.epoch, position=state.position, now=state.at)
    found = suppose(start, [Wish(name="x", command=command) for command in wanted], most=ALL)
    answers, expected = naive(course, wanted)
    assert [outcome.ok for outcome in found.outcomes] == answers
    named = [msgspec.structs.replace(row, node_name="") for row in found.rows]
    assert named == expected
    assert found.unseen == 0
    assert state.tailnet == folded(course).tailnet, "the given tailnet was changed"


def test_a_command_that_changes_a_netmap_is_told() -> None:
    """The comparison above would find something: a rename is seen by the node that sees it."""
    course: list[Step] = [("user", 0, 0), ("node", 0, 0), ("node", 0, 0)]
    _, found = naive(course, [RenameNode(node=NodeId(1), name="other")])
    assert [row.node for row in found] == [1, 2]
