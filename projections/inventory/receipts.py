"""Which command was recorded where: the latest of them by id.

Rule 1: at most `limit` are held, the latest; `complete` says whether any has been let go: then a command that is not
        here may still be in the log, and whoever asks must read it.
"""

from collections import OrderedDict
from typing import Final

from engine.domain.events import CommandHandled
from engine.domain.values import CommandId, Position
from engine.ports import Recorded

RECEIPTS: Final = 200_000
"""How many are held: about 40 MiB."""


class Receipts:
    """Positions of receipts by command id; not `complete` from the start: earlier records were not taken in."""

    def __init__(self, limit: int = RECEIPTS, *, complete: bool = True) -> None:
        self.complete = complete
        self._limit = limit
        self._held: OrderedDict[CommandId, Position] = OrderedDict()

    def add(self, record: Recorded) -> None:
        """Take in a record; all but receipts are passed over."""
        if not isinstance(record.event, CommandHandled):
            return
        self._held[record.envelope.command_id] = record.position
        if len(self._held) > self._limit:
            self._held.popitem(last=False)
            self.complete = False

    def find(self, command: CommandId) -> Position | None:
        """Return where the command's receipt is, if it is among the held."""
        return self._held.get(command)
