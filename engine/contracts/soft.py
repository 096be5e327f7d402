"""Soft state: what frontends know of their clients right now; last writer wins; never in the log.

Rule 1: a fact belongs to a node and has an origin (the frontend), a generation (the session's; newer than every
        generation that its frontend knew of) and a sequence inside the generation.
Rule 2: `newer` is a total order on (generation, origin, sequence); the greater wins everywhere, in any order of
        arrival, any number of times.
Rule 3: who publishes a state is who its subject says (the server's account rules see to that); a state of another
        origin is nobody's word. Its facts may be of any origin: frontends repeat what they have heard.
Rule 4: a frontend that is silent for `LEASE_MILLIS` has lost its sessions: what it said of `online` counts no more.
"""

from typing import Final

import msgspec

from engine.contracts import subjects
from engine.domain.values import Epoch, Millis, NodeId

LEASE_MILLIS: Final = 15_000
"""A frontend's silence after which its sessions count as ended (reference: reliability P6, offline within 15 s)."""
HEARTBEAT_MILLIS: Final = 5_000
"""How often a frontend says that it lives: three times within the lease."""


class SoftFact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one node; a later fact replaces the whole."""

    node: NodeId
    origin: str
    generation: int
    sequence: int
    online: bool = False
    last_seen: Millis = Millis(0)
    disco_key: str = ""
    endpoints: tuple[str, ...] = ()
    home_derp: int = 0
    capver: int = 0
    hostinfo: msgspec.Raw = msgspec.Raw(b"{}")
    """The client's Hostinfo, as it came, bounded by the frontend."""
    exit_node: str = ""
    """The stable id of the exit that the client uses now (Hostinfo.ExitNodeID, from capability version 122 on); peers are not told."""


class SoftState(msgspec.Struct, frozen=True, kw_only=True):
    """What a frontend publishes on `soft.<frontend>.state`: facts that changed, or all that it knows.

    Without facts it is a heartbeat. `full` marks an answer to somebody's `hello`.
    """

    origin: str
    at: Millis
    facts: tuple[SoftFact, ...] = ()
    full: bool = False


def is_own_word(state: SoftState, subject: str) -> bool:
    """Return whether the state came on its origin's subject (rule 3)."""
    return subjects.frontend_of(subject) == state.origin


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """A frontend that has just come asks the others for all that they know, on `soft.<frontend>.hello`."""

    origin: str
    epoch: Epoch | None = None


def newer(candidate: SoftFact, held: SoftFact | None) -> bool:
    """Return whether the candidate replaces what is held (rule 2)."""
    if held is None:
        return True
    return (candidate.generation, candidate.origin, candidate.sequence) > (
        held.generation,
        held.origin,
        held.sequence,
    )
