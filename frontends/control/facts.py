"""From what a client says of itself to the soft fact about its node; pure.

Rule 1: a lite update tells; a streaming request only seeds what is unknown: it is often sent without endpoints and
        without NetInfo, and must never take away what a lite update said (control-protocol §5.3).
Rule 2: an absent Hostinfo or NetInfo, and a PreferredDERP of 0, mean "not known yet": the old one stays.
Rule 3: what peers are told of a host is written anew from the fields that we know. Its NetInfo stays here: it
        changes every few minutes, and peers have no use for it.
"""

import re
from typing import Final, NamedTuple

import msgspec

from engine.contracts.soft import SoftFact
from engine.domain.values import Millis, NodeId
from frontends.wire.keytext import is_zero
from frontends.wire.tailcfg.hostinfo import Hostinfo, for_peers
from frontends.wire.tailcfg.map import MapRequest
from frontends.wire.tailcfg.text import endpoints

EMPTY: Final = msgspec.Raw(b"{}")
_STABLE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ours are `n7` and `wg100000001`; what a client says is bounded all the same."""


class Mark(NamedTuple):
    """Who speaks: a frontend, in a generation of its own, for the n-th time."""

    origin: str
    generation: int
    sequence: int


def told(held: SoftFact | None, node: NodeId, request: MapRequest, mark: Mark) -> SoftFact:
    """Return the fact after a lite update.

    Raises:
        RemoteProtocolError: the Hostinfo is not one that may be relayed.
    """
    before = held or blank(node, mark)
    host = request.hostinfo
    return msgspec.structs.replace(
        _marked(before, mark),
        disco_key=_disco(request) or before.disco_key,
        endpoints=endpoints(request.endpoints or ()),
        home_derp=(host.home_derp if host else 0) or before.home_derp,
        capver=request.version,
        hostinfo=before.hostinfo if host is None else _relayed(host),
        exit_node=before.exit_node if host is None else _exit(host),
    )


def seeded(held: SoftFact | None, node: NodeId, request: MapRequest, mark: Mark) -> SoftFact:
    """Return the fact after a streaming request opened a session: online, and complete where it was not.

    Raises:
        RemoteProtocolError: the Hostinfo is not one that may be relayed.
    """
    before = held or blank(node, mark)
    host = request.hostinfo
    unknown = bytes(before.hostinfo) == bytes(EMPTY)
    return msgspec.structs.replace(
        _marked(before, mark),
        online=True,
        last_seen=Millis(0),
        disco_key=before.disco_key or _disco(request),
        endpoints=before.endpoints or endpoints(request.endpoints or ()),
        home_derp=before.home_derp or (host.home_derp if host else 0),
        capver=request.version,
        hostinfo=_relayed(host) if unknown and host is not None else before.hostinfo,
        exit_node=_exit(host) if unknown and host is not None else before.exit_node,
    )


def gone(held: SoftFact, mark: Mark, at: Millis) -> SoftFact:
    """Return the fact after a session ended for good; `at` is when the client was last there."""
    return msgspec.structs.replace(_marked(held, mark), online=False, last_seen=at)


def blank(node: NodeId, mark: Mark) -> SoftFact:
    """Return a fact that says nothing."""
    return SoftFact(node=node, origin=mark.origin, generation=mark.generation, sequence=mark.sequence)


def _marked(fact: SoftFact, mark: Mark) -> SoftFact:
    return msgspec.structs.replace(
        fact, origin=mark.origin, generation=mark.generation, sequence=mark.sequence
    )


def _disco(request: MapRequest) -> str:
    key = request.disco_key
    return "" if key is None or is_zero(key) else key


def _exit(host: Hostinfo) -> str:
    """Return which exit the client says that it uses; what can be no stable id is none."""
    text = host.exit_node_id or ""
    return text if _STABLE_ID.fullmatch(text) else ""


def _relayed(host: Hostinfo) -> msgspec.Raw:
    return for_peers(msgspec.structs.replace(host, net_info=None))
