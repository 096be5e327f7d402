"""What may be asked of projections, on `q.<resource>.<verb>`; any replica answers.

Rule 1: every answer says at which `position` it is true.
Rule 2: `minPosition` waits until the replica is there (read your writes), or fails with `query.behind`.
        So it fails if the log's end has not been seen for 3 s, or as `projection.doubtful` if what is held may be wrong.
Rule 3: `at` is a position, an RFC 3339 time, `-2h`, or absent for now.
"""

from typing import Annotated, Any, Final

import msgspec

QUERIES: Final[tuple[tuple[str, str], ...]] = (
    ("head", "get"),
    ("snapshot", "get"),
    ("netmap", "get"),
    ("netmap", "diff"),
    ("netmap", "suppose"),
    ("tailnet", "diff"),
    ("node", "list"),
    ("node", "get"),
    ("user", "list"),
    ("authkey", "list"),
    ("apikey", "list"),
    ("apikey", "check"),
    ("peer", "list"),
    ("connection", "list"),
    ("provider", "list"),
    ("device", "list"),
    ("event", "list"),
    ("event", "undo"),
    ("command", "get"),
    ("settings", "get"),
    ("policy", "get"),
    ("policy", "log"),
    ("policy", "diff"),
    ("policy", "check"),
    ("policy", "test"),
    ("policy", "preview"),
    ("wg", "why"),
    ("wg", "doctor"),
    ("projection", "list"),
)
ADMIN_QUERIES: Final = (
    ("apikey", "check"),
    ("node", "list"),
    ("node", "get"),
    ("user", "list"),
    ("peer", "list"),
    ("connection", "list"),
)
"""What the role `admin` asks; nobody else asks whether an API key is good."""
BEHIND_SECONDS: Final = 2.0
"""How long a replica waits for `minPosition` before it says that it is behind."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that is asked about and not given: its name, as `peer.register`, and its body."""

    command: Annotated[str, msgspec.Meta(max_length=64)]
    body: dict[str, Any] = {}


MAX_WANTED: Final = 1_000
"""Commands of one question."""


class Query(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Any question; each resource reads the fields that concern it."""

    node: int | str | None = None
    peer: int | str | None = None
    user: int | str | None = None
    provider: int | str | None = None
    id: str | None = None
    digest: str | None = None
    """SHA-256 in hex of the API key that is asked about; `id` is its prefix."""
    at: int | str | None = None
    min_position: int = 0
    after: int = 0
    limit: int = 1_000
    types: tuple[str, ...] = ()
    chunk: int = 0
    """Which chunk of a snapshot; the reply to chunk 0 says how many there are."""
    snapshot: str = ""
    """The snapshot's id, for chunks after the first."""
    policy: Annotated[str, msgspec.Meta(max_length=512 * 1024)] | None = None
    """A policy's text that is asked about; absent: the policy in force."""
    commands: Annotated[tuple[Wanted, ...], msgspec.Meta(max_length=MAX_WANTED)] = ()
    """Commands whose effect is asked for."""
    from_: int | str | None = msgspec.field(default=None, name="from")
    """The older of two versions, by its position or its digest."""
    to: int | str | None = None
    """The newer of two versions."""
    since: int | str | None = None
    """Only events after this moment, in the forms of `at`."""
    until: int | str | None = None
    """Only events up to this moment, in the forms of `at`."""
    actor: str | None = None
    """Only what this actor did; `*` at the end stands for anything."""
    cause: str | None = None
    """Only what happened because of this: a command's id, or a word as `deadline`."""
    text: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    """Only events whose words, reason or stream hold this, in any case of letters."""
    receipts: bool = True
    """Whether answers to commands are told too."""
    last: bool = False
    """The newest `limit` events instead of the oldest, still in order; `before` goes on from there."""
    before: int | None = None
    """Only events before this position; for `last`."""


class StreamReply(msgspec.Struct, frozen=True, kw_only=True):
    """How far the stream for other systems is: up to `told` of what the log has up to `position`."""

    stream: str
    epoch: str
    told: int
    position: int


class HeadReply(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log is, as far as the answering process has read it."""

    epoch: str
    position: int
