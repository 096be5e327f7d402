"""`POST /machine/map`: the long poll, lite updates, one-shot fetches.

Rule 1: the node is the one whose current key the request names and whose machine key this Noise session proved (S4);
        any other request gets one constant answer.
Rule 2: a long poll starts at the log's head, or not at all (F4), and not at a frontend that is about to end.
Rule 3: a lite update never disturbs a long poll; its answer is an empty 200.
Rule 4: a machine that asks too often is told so before anything else is read (`rate.py`).
"""

from typing import Final, assert_never

from engine.contracts.netmap import NodeObject
from engine.domain.values import NodeKey
from frontends.control.exchange import Answer, Request, Stream, text, too_often, unavailable
from frontends.control.frontend import Frontend
from frontends.wire.capver import is_supported
from frontends.wire.codec import decode
from frontends.wire.tailcfg.map import Kind, MapRequest

_TOO_OLD: Final = "this client is too old: Tailscale 1.70 or newer is needed"
_UNKNOWN: Final = "no such node on this machine"
_PLAIN: Final = "map responses are compressed with zstd"


async def answer_map(frontend: Frontend, request: Request, stream: Stream) -> Answer | None:
    """Answer `POST /machine/map`."""
    refused = too_often(frontend, request)
    if refused is not None:
        return refused
    wanted = decode(request.body, MapRequest)
    if not is_supported(wanted.version):
        return text(400, _TOO_OLD)
    match wanted.kind:
        case Kind.LITE:
            return await _lite(frontend, request, wanted)
        case Kind.LONG_POLL:
            return await _long_poll(frontend, request, wanted, stream)
        case Kind.FETCH:
            return await _fetch(frontend, request, wanted, stream)
        case kind:
            assert_never(kind)


def _bound(frontend: Frontend, request: Request, wanted: MapRequest) -> NodeObject | None:
    return frontend.replica.bound(NodeKey(wanted.node_key), request.machine)


async def _lite(frontend: Frontend, request: Request, wanted: MapRequest) -> Answer:
    node = _bound(frontend, request, wanted)
    if node is None:  # perhaps it registered a moment ago
        if not await frontend.follower.current():
            return unavailable()
        node = _bound(frontend, request, wanted)
    if node is None:
        return text(404, _UNKNOWN)
    frontend.presence.told(node.id, wanted)
    return Answer(200)


async def _long_poll(
    frontend: Frontend, request: Request, wanted: MapRequest, stream: Stream
) -> Answer | None:
    if wanted.compress != "zstd":
        return text(400, _PLAIN)
    if not await frontend.follower.current() or frontend.draining:
        return unavailable()
    node = _bound(frontend, request, wanted)
    if node is None:
        return text(404, _UNKNOWN)
    generation = frontend.presence.opened(node.id, wanted)
    frontend.sessions.open(node.id, wanted.version, generation, stream)
    return None


async def _fetch(frontend: Frontend, request: Request, wanted: MapRequest, stream: Stream) -> Answer | None:
    if wanted.compress != "zstd":
        return text(400, _PLAIN)
    if not await frontend.follower.current():
        return unavailable()
    node = _bound(frontend, request, wanted)
    frame = None if node is None else frontend.sessions.fetch(node.id, wanted.version)
    if frame is None:
        return text(404, _UNKNOWN)
    frames = [frame]
    stream.start(lambda: frames.pop() if frames else None, lambda: None)
    stream.finish()
    return None
