"""What a running projection says of itself, every second on `map.projection.<name>`, and when it is asked about its digest.

Rule 1: it is said whether or not the log can be read: a lag that grows is what an operator looks for.
Rule 2: a name is one token, unique among all that run: the host's and the process's id.
"""

from typing import Final

import msgspec

from engine.domain.values import Epoch, Position

STATUS_SECONDS: Final = 1.0
"""How often a projection says how it is."""
VERIFY, REBUILD = "verify", "rebuild"
GET: Final = "get"
NOTHING: Final = msgspec.Raw(b"null")
ASKED: Final = (GET, VERIFY, REBUILD)
"""What one projection is asked on `q.projection.<name>.<verb>`."""


class Difference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The first thing that is not what the log makes of it; of lists and moments the forms are left out where they could tell a secret."""

    what: str
    """`netmap`, `lists`, `history`, or `moment`."""
    key: str
    """An object's key, a list with the row's number, or a moment's name."""
    position: Position
    """Where the object was changed last as the log has it; else where the two were compared."""
    live: msgspec.Raw = NOTHING
    rebuilt: msgspec.Raw = NOTHING
    """Both in JSON; `null` is nothing."""


class Check(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A comparison with the log: under way, or what came of it."""

    verb: str
    running: bool
    position: Position
    """How far the log has been read, or where the two were compared."""
    end: Position
    records: int
    seconds: float
    moments: int = 0
    """Kept moments that were compared."""
    digest: str = ""
    rebuilt: str = ""
    """The state digest of what was made of the log."""
    difference: Difference | None = None
    swapped: bool = False
    """Whether the rebuilt state has taken the place of the live one."""
    why: str = ""
    """Why it ended without a result."""


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One projection; `lag` is in positions and in seconds since it was last seen to be at the log's end."""

    name: str
    epoch: Epoch
    position: Position
    head: Position
    """The newest position of the log that it has heard of."""
    lag: int
    lag_seconds: float
    digest: str
    nodes: int
    objects: int
    moments: int
    uptime: float
    """Seconds since it began to answer."""
    state: str
    """`ready`, `behind`, or `in doubt`."""
    compared: int = 0
    """How often its digest could be compared with another projection's."""
    disagreements: int = 0
    rebuilds: int = 0
    """How often it was found wrong, and made anew."""
    check: Check | None = None


class ProjectionRow(ProjectionStatus, frozen=True, kw_only=True, rename="camel"):
    """One row of `q.projection.list`: what the answering projection heard of one, itself included."""

    heard: float
    """Seconds ago."""
