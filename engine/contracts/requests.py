"""Commands on the bus, and their replies: accepted, or an error with a code.

Rule 1: a request's body is the command itself; id, reason and deadline are headers.
Rule 2: every reply is a JSON object; an error also carries the NATS service headers.
Rule 3: a client's time-out means unknown: resend the same id, or ask `q.command.get`.
"""

from typing import Final

import msgspec

from engine.domain.errors import Refusal

COMMAND_ID: Final = "Nats-Msg-Id"
REASON: Final = "Netmap-Reason"
CAUSE: Final = "Netmap-Cause"
"""Because of what: the id of another command, or a word, one token; kept in the log."""
STRICT: Final = "Netmap-Strict"
"""`1`: whatever would be done with a warning is refused."""
DEADLINE: Final = "Netmap-Deadline"
"""Unix milliseconds after which the sender no longer wants the command done."""
ERROR_TEXT: Final = "Nats-Service-Error"
ERROR_CODE: Final = "Nats-Service-Error-Code"
"""Both as NATS ADR-32 has them."""
RETRY_AFTER: Final = "Netmap-Retry-After"
"""Seconds, with decimals, before which it is no use to send the same command id again; in the body it is `retryAfter`."""
MAX_BODY: Final = 1_048_576 // 2
"""Octets of a request's body: half of the server's default max_payload, as for inline snapshots."""
MAX_COMMAND_ID: Final = 128
MAX_REASON: Final = 1_024
MAX_ERROR_TEXT: Final = 256
"""Characters of a message that go into a header; the body has it whole."""

BY_KEY: Final = (
    ("node", "remove"),
    ("peer", "register"),
    ("peer", "remove"),
    ("connection", "add"),
    ("connection", "remove"),
    ("connection", "exported"),
)
"""The commands that the holder of an API key may give over HTTP: what the role `admin` has endpoints for."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The command is in the log, durably; `position` is where a reader must be to have seen it."""

    ok: bool
    position: int
    command_id: str
    id: int | str | None = None
    result: dict[str, object] = {}
    warnings: tuple[str, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why not: `code` for programs, the rest for people."""

    code: str
    status: int
    message: str
    field: str = ""
    hint: str = ""
    command_id: str = ""
    retryable: bool = False
    retry_after: float = 0.0
    """Seconds before which it is no use to try again."""


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error."""

    error: Problem


def problem_of(refusal: Refusal, command_id: str = "") -> Problem:
    """Return the problem that a refusal is on the bus."""
    return Problem(
        code=refusal.code,
        status=refusal.status,
        message=refusal.message,
        field=refusal.field,
        hint=refusal.hint,
        command_id=command_id,
    )


def error_body(problem: Problem) -> bytes:
    """Return an error reply's body."""
    return msgspec.json.encode(ErrorReply(error=problem))


def error_headers(problem: Problem) -> dict[str, str]:
    """Return an error reply's headers: one line of printable ASCII, the status, and when to try again."""
    line = "".join(letter if " " <= letter <= "~" else "?" for letter in problem.message[:MAX_ERROR_TEXT])
    when = {RETRY_AFTER: f"{problem.retry_after:g}"} if problem.retry_after else {}
    return {ERROR_TEXT: line, ERROR_CODE: str(problem.status), **when}
