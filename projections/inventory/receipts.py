"""Which command was recorded where: the latest of them by id.

Rule 1: at most `limit` are held, the latest; of receipts up to `since` nothing is known: a command that is not here may still be in
        the log up to there, and whoever asks must read it.
"""

from collections import OrderedDict
from typing import Final

from engine.domain.events import CommandHandled
from engine.domain.values import CommandId, Position
from engine.ports import Recorded

RECEIPTS: Final = 200_000
"""How many are held: about 40 MiB."""
NOWHERE: Final = Position(0)


class Receipts:
    """Positions of receipts by command id; records up to `since` were not taken in."""

    def __init__(self, limit: int = RECEIPTS, *, since: Position = NOWHERE) -> None:
        self.since = since
        self._limit = limit
        self._held: OrderedDict[CommandId, Position] = OrderedDict()

    def add(self, record: Recorded) -> None:
        """Take in a record; all but receipts are passed over."""
        if not isinstance(record.event, CommandHandled):
            return
        self._held[record.envelope.command_id] = record.position
        if len(self._held) > self._limit:
            _, self.since = self._held.popitem(last=False)

    def find(self, command: CommandId) -> Position | None:
        """Return where the command's receipt is, if it is among the held."""
        return self._held.get(command)
