"""A policy's no: why a text is not a policy, and where.

Rule 1: `kind` is for programs and never changes; the text is for people: it names the value and the rule.
Rule 2: a fault has a place where there is one: a line and a column, both from 1, and 0 where there is none.
"""

from typing import Final


class PolicyFault(ValueError):  # noqa: N818 (a fault of the text, not of ours)
    """The text is refused: a stable `kind` (`unknown-tag`), a `message`, a place and a `hint`."""

    def __init__(self, kind: str, message: str, *, line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.kind: Final = kind
        self.message: Final = message
        self.line: Final = line
        self.column: Final = column
        self.hint: Final = hint
