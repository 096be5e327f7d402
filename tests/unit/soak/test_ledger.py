"""A lost, doubled, changed or invented command is found, and a node that joined twice or not at all."""

from collections.abc import Sequence

import msgspec
import pytest

from engine.domain.events import CommandHandled, Event, NodeRegistered, NodeRenamed
from engine.domain.values import CommandId, NodeId, Position
from engine.ports import Recorded
from tests.kit.histories import history, records
from tests.soak.ledger import commands, judge_commands, judge_joins
from tests.soak.records import Answered, Done, Joined, Looked, Sent

RENAMED = NodeRenamed(node=NodeId(1), name="other")
RECEIPT = CommandHandled(name="node.rename", digest="d", result=msgspec.Raw(b"{}"))
SENT = Sent("soak-1", 1, "node.rename")
YES = Answered("soak-1", 2, "octets", position=2)
NO = Answered("soak-1", 2, "octets", refused="node.not_found")


def log(*events: Event) -> list[Recorded]:
    """These events, all of one command."""
    return [
        msgspec.structs.replace(
            record,
            position=Position(number),
            envelope=msgspec.structs.replace(record.envelope, command_id=CommandId("soak-1")),
        )
        for number, record in enumerate(records(events), 1)
    ]


def judged(done: Sequence[Done], records: Sequence[Recorded]) -> list[str]:
    return [finding.rule for finding in judge_commands(commands(done, records))]


GOOD = log(RENAMED, RECEIPT)


@pytest.mark.parametrize(
    ("done", "records", "rules"),
    [
        ([SENT, YES], GOOD, []),
        ([SENT, YES, YES], GOOD, []),
        ([SENT, NO], [], []),
        ([SENT, Looked("soak-1", 2)], GOOD, []),  # no answer, but it is known what became of it
        ([SENT, Looked("soak-1")], [], []),
        ([SENT, YES], [], ["command.lost"]),
        ([SENT, YES], log(RECEIPT), ["command.lost"]),  # a receipt without its effect
        ([SENT, YES], log(RENAMED, RENAMED, RECEIPT), ["command.late", "command.doubled"]),
        ([SENT, YES], log(RENAMED, RECEIPT, RECEIPT), ["command.doubled"]),
        ([SENT, YES, Answered("soak-1", 3, "others", position=2)], GOOD, ["command.changed"]),
        ([SENT, NO], GOOD, ["command.refused"]),
        ([SENT, NO], log(RENAMED), ["command.refused"]),
        ([], GOOD, ["command.phantom"]),
        ([SENT], GOOD, ["command.unresolved"]),
        ([SENT], [], ["command.unresolved"]),
        ([SENT, Looked("soak-1")], GOOD, ["command.misread"]),
        ([SENT, Looked("soak-1", 1)], GOOD, ["command.misread"]),
        ([SENT, YES, Looked("soak-1", 2)], [], ["command.lost", "command.misread"]),
    ],
)
def test_each_kind_of_bad_command_is_found(
    done: list[Done], records: list[Recorded], rules: list[str]
) -> None:
    assert judged(done, records) == rules


def test_other_peoples_commands_are_none_of_ours() -> None:
    assert judged([], history([("user", 0, 0), ("node", 0, 0)])) == []


def test_what_happens_at_most_once_may_not_happen_at_all() -> None:
    sent = Sent("soak-1", 1, "node.tag")
    assert judged([sent, YES], log(RENAMED, RECEIPT)) == []


JOINS = history([("user", 0, 0), ("node", 0, 0)])
[KEY] = [r.event.node_key for r in JOINS if isinstance(r.event, NodeRegistered)]
ASKED, IN = Joined(KEY, 1), Joined(KEY, 2, is_in=True)


@pytest.mark.parametrize(
    ("done", "records", "rules"),
    [
        ([ASKED, IN], JOINS, []),
        ([ASKED], JOINS, []),  # not told yet
        ([ASKED], [], []),
        ([ASKED, IN], [], ["join.lost"]),
        ([ASKED, IN], [*JOINS, JOINS[-1]], ["join.doubled"]),
        ([], JOINS, ["join.phantom"]),
    ],
)
def test_each_kind_of_bad_join_is_found(done: list[Done], records: list[Recorded], rules: list[str]) -> None:
    assert [finding.rule for finding in judge_joins(done, records)] == rules
