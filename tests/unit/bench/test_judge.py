"""The judge of a fleet: it finds what is wrong in hand-made histories of frames, and nothing in good ones.

alice has the nodes 1 and 2, bob has 3; each sees the own nodes. At second 100 the first session begins.
"""

from collections.abc import Sequence

import pytest

from bench.judge import Court, Frame
from engine.domain.events import Event, NodeDeleted, NodeRenamed, UserCreated
from engine.domain.values import CommandId, Millis, NodeId, Position, UserId
from engine.ports import Envelope, Recorded
from frontends.control.session import End, Session
from frontends.wire.mapframe import KEEP_ALIVE, Encoder
from tests.kit.policy_stage import NEW, TIME, Stage, node_registered, policy_set

OWN = {"acls": [{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}]}
ALL = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}
BEFORE: tuple[Event, ...] = (
    UserCreated(user=UserId(1), name="alice", email="alice@example.com"),
    UserCreated(user=UserId(2), name="bob", email="bob@example.com"),
    policy_set(OWN),
    node_registered(1, 1, (), "100.64.0.1", "fd7a:115c:a1e0::1"),
    node_registered(2, 1, (), "100.64.0.2", "fd7a:115c:a1e0::2"),
    node_registered(3, 2, (), "100.64.0.3", "fd7a:115c:a1e0::3"),
)
RENAMED = NodeRenamed(node=NodeId(2), name="other")
CIRCLES = ((1,), (2,))
encode = Encoder().encode


def log(*later: tuple[int, Event]) -> list[Recorded]:
    """What was before in the first seconds, then events at their seconds."""
    told = [*enumerate(BEFORE), *later]
    return [
        Recorded(
            position=Position(number),
            envelope=Envelope(
                stream="s",
                version=number,
                at=Millis(second * 1_000),
                actor="t",
                command_id=CommandId(f"c{number}"),
            ),
            event=event,
            digest="",
        )
        for number, (second, event) in enumerate(told, start=1)
    ]


def frames(*later: Event, node: int = 1, stage: Stage | None = None) -> list[bytes]:
    """The first frame of a node's session, and one for each event, as a frontend makes them."""
    place, session = stage or Stage(*BEFORE), Session(NodeId(node), NEW)
    whole = session.first(place.view, place.lists, TIME)
    assert not isinstance(whole, End)
    found = [encode(whole.head + b"".join(whole.peers) + whole.tail)]
    for event in later:
        place.tell(event)
        text = session.next(place.view, TIME)
        assert isinstance(text, bytes)
        found.append(encode(text))
    return found


def said(
    records: Sequence[Recorded], *sessions: Sequence[tuple[int, bytes]], is_there: bool = True, node: int = 1
) -> list[str]:
    court = Court(records, CIRCLES, 0.0)
    given = [[Frame(float(at), octets) for at, octets in session] for session in sessions]
    return court.complaints(node, given, is_there=is_there)


def test_a_client_that_was_told_all_is_well() -> None:
    first, second = frames(RENAMED)
    assert said(log((110, RENAMED)), [(100, first), (110, KEEP_ALIVE), (120, second)]) == []


def test_a_lost_change_is_found() -> None:
    [first] = frames()
    [what] = said(log((110, RENAMED)), [(100, first)])
    assert "is not where the head is" in what
    assert said(log((110, RENAMED)), [(100, first)], is_there=False) == []


def test_who_came_back_has_the_change_in_the_new_session() -> None:
    [first], [again] = frames(), frames(stage=Stage(*BEFORE, RENAMED))
    assert said(log((110, RENAMED)), [(100, first)], [(120, again)]) == []
    backwards = said(log((115, RENAMED)), [(120, again)], [(130, first)])
    assert any("goes back" in what for what in backwards), backwards


def test_somebody_from_outside_of_the_circle_is_found() -> None:
    [first] = frames(stage=Stage(*BEFORE, policy_set(ALL)))
    assert any("[3], to which it is not entitled" in what for what in said(log(), [(100, first)]))


def test_what_is_told_before_it_happened_is_found() -> None:
    first, second = frames(RENAMED)
    assert any("frame 1" in what for what in said(log((200, RENAMED)), [(100, first), (120, second)]))


def test_who_is_gone_and_still_shown_is_found() -> None:
    [first] = frames()
    gone = NodeDeleted(node=NodeId(2))
    assert any("not entitled" in what for what in said(log((50, gone)), [(100, first)]))


def test_a_session_may_begin_where_the_head_was_when_it_was_asked_for() -> None:
    first, second = frames(RENAMED)
    assert said(log((98, RENAMED)), [(100, first), (101, second)]) == []
    assert said(log((80, RENAMED)), [(100, first), (101, second)]) != []


def test_a_frame_that_real_clients_reject_is_found() -> None:
    _, second = frames(RENAMED)
    assert any("a real client rejects" in what for what in said(log(), [(100, second)]))


@pytest.mark.parametrize("sessions", [(), ([(100, KEEP_ALIVE)],)])
def test_a_client_that_was_shown_nothing_is_found(sessions: Sequence[Sequence[tuple[int, bytes]]]) -> None:
    assert said(log(), *sessions) == ["node 1: was shown nothing"]
