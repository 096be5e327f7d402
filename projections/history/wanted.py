"""Which records a question about events is after.

Rule 1: every condition that is given must hold; what is not given holds for all.
Rule 2: words are looked for in what people are shown: an event's line, its reason, its stream.
"""

from engine.contracts.queries import Query
from engine.domain.events import CommandHandled, tag_of
from engine.domain.refs import number_of
from engine.ports import Recorded
from projections.history.lines import Names, line


class Wanted:
    """The conditions of one query; `names` are those of the lines."""

    def __init__(self, query: Query, names: Names) -> None:
        self._types = frozenset(query.types)
        self._refs = tuple(
            (field, number_of(ref))
            for field, ref in (("node", query.node), ("peer", query.peer), ("user", query.user))
            if ref is not None
        )
        self._command = query.id
        self._actor = query.actor
        self._cause = query.cause
        self._text = query.text.casefold() if query.text else None
        self._receipts = query.receipts
        self.names = names

    def __call__(self, record: Recorded) -> bool:
        """Return whether the record is one of them."""
        event, envelope = record.event, record.envelope
        if not self._receipts and isinstance(event, CommandHandled):
            return False
        if self._types:
            tag = tag_of(event)
            if tag not in self._types and tag.partition(".")[0] not in self._types:
                return False
        return (
            all(getattr(event, field, None) == number for field, number in self._refs)
            and (self._command is None or envelope.command_id == self._command)
            and (self._actor is None or _matches(self._actor, envelope.actor))
            and (self._cause is None or envelope.cause == self._cause)
            and (self._text is None or self._holds(record, self._text))
        )

    def _holds(self, record: Recorded, text: str) -> bool:
        shown = (line(record.event, self.names), record.envelope.reason, record.envelope.stream)
        return any(text in words.casefold() for words in shown)


def _matches(pattern: str, actor: str) -> bool:
    return actor.startswith(pattern[:-1]) if pattern.endswith("*") else actor == pattern
