"""The checker finds each kind of bad history, and has nothing to say of a good one."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from engine.ports import Recorded
from tests.kit.histories import Step, history
from tests.soak.check import Client, Finding, Floors, Line, courses, judge_frames
from tests.soak.records import Closed, Ended, Entry, Framed, Opened, Told, sender
from tests.soak.report import judge_answers, judge_ends, judge_order
from tests.soak.world import after

COURSE: list[Step] = [
    ("user", 0, 0),
    ("node", 0, 0),
    ("node", 0, 0),
    ("peer", 0, 0),
    ("peer", 0, 0),  # connected to nobody
    ("connect", 0, 0),
    ("rename", 1, 0),
    ("disconnect", 0, 0),
]
LOG = history(COURSE)
NODE = 1
Held = frozenset[Entry]
Moment = tuple[int, int, Held]
"""A position, its time, and what the node may hold from there on."""


def moments(log: Sequence[Recorded]) -> list[Moment]:
    found: list[Moment] = []
    for count, record in enumerate(log, 1):
        held = frozenset(after([r.event for r in log[:count]]).entries(NODE))
        if held and (not found or found[-1][2] != held):
            found.append((record.position, record.envelope.at, held))
    return found


ALONE, TWO, CONNECTED, RENAMED, PARTED = moments(LOG)
END = LOG[-1].envelope.at


def frames(*held: Held, at: int = END) -> list[Line]:
    """A session in which the client holds one after the other."""
    lines: list[Line] = [Opened(0, at)]
    before: Held = frozenset()
    for number, now in enumerate(held):
        gone = tuple({e.id for e in before} - {e.id for e in now})
        put = tuple(now - before)
        lines.append(Framed(0, at, is_first=not number, put=put, gone=gone))
        before = now
    return lines


def first(**bad: Any) -> Framed:
    """A first frame with something in it that is wrong whatever the log says."""
    return Framed(0, END, is_first=True, put=tuple(TWO[2]), **bad)


def client(*acknowledged: tuple[int, int]) -> Client:
    return Client(0, courses(LOG)[NODE], Floors(acknowledged))


def judged(lines: Sequence[Line], *acknowledged: tuple[int, int]) -> list[Finding]:
    return list(judge_frames(lines, {0: client(*acknowledged)}, LOG, {0: NODE}))


def changed(held: Held, number: int, place: int, value: str) -> Held:
    """The same with another text in one place of one entry."""
    [old] = [entry for entry in held if entry.id == number]
    fields = (*old.fields[:place], value, *old.fields[place + 1 :])
    return held - {old} | {Entry(number, fields)}


def without(held: Held, number: int) -> Held:
    return frozenset(entry for entry in held if abs(entry.id) != number)


[EXTRA] = [entry for entry in CONNECTED[2] if entry.fields[0] == "wireguard"]
CANARY = Entry(EXTRA.id + 1, EXTRA.fields)


@pytest.mark.parametrize(
    "lines",
    [
        frames(ALONE[2], TWO[2], CONNECTED[2], RENAMED[2], PARTED[2]),
        frames(TWO[2], PARTED[2]),
        frames(TWO[2], TWO[2]),
        frames(CONNECTED[2], at=CONNECTED[1]),
        [*frames(TWO[2]), Closed(0, END), *frames(RENAMED[2])],
    ],
)
def test_a_good_history_has_no_findings(lines: list[Line]) -> None:
    assert judged(lines) == []


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (frames(TWO[2] | {CANARY}), "frame.wrong"),  # a peer that it was never entitled to
        (frames(without(TWO[2], 2)), ""),  # a peer is missing, as before it joined: right
        (frames(TWO[2] - {sender(2)}), "frame.wrong"),  # a filter of another version than the peers (S2)
        (frames(ALONE[2] | {sender(2)}), "frame.wrong"),
        (frames(without(RENAMED[2], 2)), "frame.wrong"),  # a peer is missing that was there
        (frames(RENAMED[2], RENAMED[2] - {EXTRA}, PARTED[2]), ""),  # a removal
        (frames(RENAMED[2] | {CANARY}, PARTED[2] | {CANARY}), "frame.wrong"),
        (frames(changed(CONNECTED[2], EXTRA.id, 3, "10.0.0.9")), "frame.wrong"),  # another's masquerade
        (frames(changed(CONNECTED[2], EXTRA.id, 1, "nodekey:00")), "frame.wrong"),
        (frames(changed(CONNECTED[2], EXTRA.id, 2, "expired")), "frame.wrong"),
        (frames(changed(TWO[2], 2, 3, "tag:x")), "frame.wrong"),
        (frames(changed(TWO[2], NODE, 2, "another")), "frame.wrong"),  # its own name
        (
            frames(RENAMED[2] - {EXTRA} | {e for e in TWO[2] if abs(e.id) == 2}),
            "frame.wrong",
        ),  # never both at once
        (frames(CONNECTED[2], TWO[2]), "frame.past"),
        (frames(RENAMED[2], CONNECTED[2]), "frame.past"),
        (
            [*frames(RENAMED[2]), Closed(0, END), *frames(CONNECTED[2])],
            "frame.past",
        ),  # back over a new session
        (frames(CONNECTED[2], at=CONNECTED[1] - 1), "frame.early"),
        ([Opened(0, END), first(watchwords=("canary",))], "frame.canary"),
        ([Opened(0, END), first(astray=(CANARY.id,))], "frame.astray"),
        ([Opened(0, END), first(strangers=(7,))], "frame.stranger"),
        ([Opened(0, END), first(complaints=("x",))], "frame.unusable"),
        ([Opened(0, END), Closed(0, END, rejected="not JSON")], "frame.rejected"),
    ],
)
def test_each_kind_of_bad_frame_is_found(lines: list[Line], rule: str) -> None:
    assert {finding.rule for finding in judged(lines)} == ({rule} if rule else set())


def test_a_missing_removal_is_found_when_the_next_frame_comes() -> None:
    kept = [*frames(RENAMED[2]), Framed(0, END, put=tuple(PARTED[2] - RENAMED[2]))]
    assert judged(kept) == []  # nothing is said of the removal yet, and it may be late
    end = client()
    found = list(judge_frames(kept, {0: end}, LOG, {0: NODE}))
    found += judge_ends({0: end}, {0: Ended(0, END, is_connected=True)}, {NODE}, END)
    assert [finding.rule for finding in found] == ["end.differs"]
    late = [*frames(CONNECTED[2]), Framed(0, END, put=tuple(PARTED[2] - CONNECTED[2]))]
    assert judged(late) == []


def test_a_session_that_begins_below_what_was_acknowledged_is_found() -> None:
    at = PARTED[1]
    lines = frames(RENAMED[2], at=at)
    assert judged(lines, (at - 1, RENAMED[0])) == []
    assert judged(lines, (at, PARTED[0])) == []  # acknowledged in the same millisecond: perhaps later
    assert [f.rule for f in judged(lines, (at - 1, PARTED[0]))] == ["frame.below"]


def test_what_is_wrong_is_explained() -> None:
    [finding] = judged(frames(TWO[2] | {CANARY}))
    assert str(CANARY.id) in finding.what
    assert finding.where.startswith("client 0, frame 1")


def test_convergence_counts_from_the_session_that_is_there_at_the_end() -> None:
    one = client()
    list(judge_frames(frames(PARTED[2], at=END), {0: one}, LOG, {0: NODE}))
    assert one.settled_at == END
    list(one.take(Closed(0, END + 1)))
    assert one.settled_at is None
    later = [Opened(0, END + 2), Framed(0, END + 50, is_first=True, put=tuple(PARTED[2]))]
    list(judge_frames(later, {0: one}, LOG, {0: NODE}))
    assert one.settled_at == END + 50


@pytest.mark.parametrize(
    ("end", "rule"),
    [
        (Ended(0, END, is_connected=True), ""),
        (Ended(0, END, is_connected=True, offline=(99,)), ""),  # no client's node
        (Ended(0, END, is_connected=False), "end.away"),
        (None, "end.away"),
        (Ended(0, END, is_connected=True, offline=(2,)), "end.offline"),
    ],
)
def test_how_a_client_ends_is_looked_at(end: Ended | None, rule: str) -> None:
    one = client()
    list(judge_frames(frames(PARTED[2]), {0: one}, LOG, {0: NODE}))
    ends = {} if end is None else {0: end}
    assert [f.rule for f in judge_ends({0: one}, ends, {NODE, 2}, END)] == ([rule] if rule else [])


def test_a_late_convergence_is_found() -> None:
    one = client()
    list(judge_frames(frames(PARTED[2]), {0: one}, LOG, {0: NODE}))
    ends = {0: Ended(0, END, is_connected=True)}
    assert [f.rule for f in judge_ends({0: one}, ends, {NODE}, END - 1)] == ["end.late"]


def test_an_operator_who_is_told_otherwise_is_found() -> None:
    peers = tuple((e.id, e.fields[1], e.fields[2]) for e in PARTED[2] if e.fields[0] == "peer")
    good = Told(NODE, peers, ())
    assert list(judge_answers([good], LOG, {NODE})) == []
    for bad in (Told(NODE, (), ()), Told(NODE, peers, ((EXTRA.id, "", ""),))):
        assert [f.rule for f in judge_answers([bad], LOG, {NODE})] == ["answer.differs"]


def test_an_operator_who_is_not_answered_is_found() -> None:
    assert [f.rule for f in judge_answers([], LOG, {NODE})] == ["answer.missing"]


def test_a_log_that_goes_back_is_found() -> None:
    assert list(judge_order(LOG)) == []
    assert [f.rule for f in judge_order([LOG[1], LOG[0]])] == ["log.order"]
    before = LOG[-2].envelope.at
    back = msgspec.structs.replace(LOG[-1].envelope, at=before - 1)
    bent = [*LOG[:-1], msgspec.structs.replace(LOG[-1], envelope=back)]
    assert [f.rule for f in judge_order(bent)] == ["log.order"]
