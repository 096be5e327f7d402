"""Where commands were recorded."""

from engine.domain.values import CommandId
from projections.inventory.receipts import Receipts
from tests.kit.histories import history

LOG = history([("user", 0, 0), *[("receipt", 0, 0)] * 5])


def test_receipts_are_found_by_their_command_and_nothing_else_is() -> None:
    receipts = Receipts()
    for record in LOG:
        receipts.add(record)
    assert receipts.find(CommandId("command-2")) == LOG[2].position
    assert receipts.find(CommandId("command-1")) is None
    assert receipts.since == 0


def test_the_oldest_are_let_go_and_that_is_said() -> None:
    receipts = Receipts(limit=2)
    for record in LOG:
        receipts.add(record)
    assert receipts.find(CommandId("command-2")) is None
    assert receipts.find(CommandId("command-6")) == LOG[6].position
    assert receipts.since == LOG[4].position
