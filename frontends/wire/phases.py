"""The life of one control connection.

    UPGRADING ──upgrade──► HANDSHAKING ──initiation──► SERVING ──goaway──► DRAINING
        └──────── end of file, refusal or fault, from anywhere ────────► CLOSED ◄─┘

Rule 1: every change of phase is a row of NEXT; nowhere else assigns a phase.
Rule 2: this module knows no socket, no key and no clock.
Rule 3: CLOSED has no rows; whoever acts on a closed connection is wrong.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from frontends.wire.errors import RemoteProtocolError


class Phase(Enum):
    """Where a control connection is in its life."""

    UPGRADING = "upgrading"
    """HTTP/1.1 is spoken; the request that carries the first Noise message is awaited."""
    HANDSHAKING = "handshaking"
    """The request has come; its Noise initiation is being answered."""
    SERVING = "serving"
    """HTTP/2 inside Noise records."""
    DRAINING = "draining"
    """No new streams; those that are open may end."""
    CLOSED = "closed"


class Saw(Enum):
    """What happened to the connection."""

    REQUEST = "request"
    """An ordinary request, such as `GET /key`; the connection goes on as it was."""
    UPGRADE = "upgrade"
    INITIATION = "initiation"
    """The Noise initiation was genuine and is answered."""
    RECORD = "record"
    GOAWAY = "goaway"
    """Either side has said that it takes no new streams."""
    REFUSED = "refused"
    """The other side broke the protocol or a limit."""
    EOF = "eof"


NEXT: Final[Mapping[tuple[Phase, Saw], Phase]] = {
    (Phase.UPGRADING, Saw.REQUEST): Phase.UPGRADING,
    (Phase.UPGRADING, Saw.UPGRADE): Phase.HANDSHAKING,
    (Phase.UPGRADING, Saw.REFUSED): Phase.CLOSED,
    (Phase.UPGRADING, Saw.EOF): Phase.CLOSED,
    (Phase.HANDSHAKING, Saw.INITIATION): Phase.SERVING,
    (Phase.HANDSHAKING, Saw.REFUSED): Phase.CLOSED,
    (Phase.HANDSHAKING, Saw.EOF): Phase.CLOSED,
    (Phase.SERVING, Saw.RECORD): Phase.SERVING,
    (Phase.SERVING, Saw.GOAWAY): Phase.DRAINING,
    (Phase.SERVING, Saw.REFUSED): Phase.CLOSED,
    (Phase.SERVING, Saw.EOF): Phase.CLOSED,
    (Phase.DRAINING, Saw.RECORD): Phase.DRAINING,
    (Phase.DRAINING, Saw.GOAWAY): Phase.DRAINING,
    (Phase.DRAINING, Saw.REFUSED): Phase.CLOSED,
    (Phase.DRAINING, Saw.EOF): Phase.CLOSED,
}


def step(phase: Phase, saw: Saw) -> Phase:
    """Return the next phase.

    Raises:
        RemoteProtocolError: the client has no right to this now.
    """
    try:
        return NEXT[phase, saw]
    except KeyError:
        raise RemoteProtocolError(f"{saw.value} while {phase.value}") from None
