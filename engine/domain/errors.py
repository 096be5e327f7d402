"""The domain's no.

    Refusal                      the answer is no; nobody's fault; changes nothing
    ├── Invalid       422        the value itself cannot be
    ├── NotFound      404        the thing named does not exist
    ├── Conflict      409        true of another thing already
    └── NotAllowed    403        not for this actor, key or machine

Rule 1: `code` is for programs and never changes; `message` is for people: it names the value and the rule.
Rule 2: `hint` is the next step, as a sentence or a command line.
Rule 3: no text of an unauthenticated client is repeated.
"""

from typing import ClassVar, Final


class Refusal(Exception):  # noqa: N818 (a refusal is an answer, not an error)
    """The domain's no: a stable `code`, a `message` for people, the offending `field`, a `hint`."""

    status: ClassVar[int] = 409

    def __init__(self, code: str, message: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.field: Final = field
        self.hint: Final = hint


class Invalid(Refusal):
    """The value itself cannot be, whatever the state."""

    status = 422


class NotFound(Refusal):
    """The thing that the command names does not exist."""

    status = 404


class Conflict(Refusal):
    """The value is true of another thing already, or something still depends on the thing."""

    status = 409


class NotAllowed(Refusal):
    """Not for this actor, key or machine."""

    status = 403
