"""Two projections that say otherwise of one position are found, in whatever order they come there."""

import itertools

import msgspec

from engine.domain.values import Epoch, Position
from projections.agreement import REMEMBERED, WAYPOINT, Agreement, Heard, waypoints
from tests.kit.histories import Step, history

E, P = Epoch("e"), Position(7)
ONE, TWO = "f-01", "f-02"


def heard(digest: str = TWO, by: str = "p2", *, epoch: str = "e", cur: int = 7) -> Heard:
    return Heard(epoch=Epoch(epoch), cur=Position(cur), digest=digest, by=by)


def test_who_says_the_same_agrees() -> None:
    one = Agreement("p1")
    assert one.say(E, P, ONE) is None
    assert one.hear(heard(ONE)) is None
    assert one.compared == 1


def test_a_disagreement_is_found_by_whoever_comes_later() -> None:
    early, late = Agreement("p1"), Agreement("p1")
    early.say(E, P, ONE)
    found = early.hear(heard())
    assert found is not None
    assert (found.own, found.theirs, found.by, found.position) == (ONE, TWO, "p2", 7)
    assert late.hear(heard()) is None
    assert late.say(E, P, ONE) == found


def test_only_the_same_position_of_the_same_history_in_the_same_form_is_compared() -> None:
    one = Agreement("p1")
    one.say(E, P, ONE)
    for other in (heard(cur=8), heard(epoch="x"), heard("g-02"), heard(""), heard(by="p1"), heard(by="")):
        assert one.hear(other) is None
    assert one.hear(heard()) is not None


def test_what_was_said_long_ago_is_forgotten() -> None:
    one = Agreement("p1")
    for position in range(REMEMBERED + 1):
        one.say(E, Position(position), ONE)
    assert one.hear(heard(cur=0)) is None
    assert one.hear(heard(cur=1)) is not None
    one.forget()
    assert one.hear(heard(cur=2)) is None


def test_however_a_log_is_read_there_is_a_run_that_ends_before_each_waypoint() -> None:
    course: list[Step] = [("user", 0, 0), *[("node", n, n) for n in range(40)]]
    log = [
        msgspec.structs.replace(record, position=Position(index * 173))
        for index, record in enumerate(history(course), start=1)
    ]
    last = {
        r.position for r, s in itertools.pairwise(log) if r.position // WAYPOINT != s.position // WAYPOINT
    }
    assert len(last) > 4
    for size in (1, 3, 7, len(log)):
        runs = [run for at in range(0, len(log), size) for run in waypoints(log[at : at + size])]
        assert [record for run in runs for record in run] == log
        assert last <= {run[-1].position for run in runs}
