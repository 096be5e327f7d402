"""WireGuard-only peers and their connections: `/api/v1/wireguard-only-peer…`, `/api/v1/wireguard/connection…`."""

from starlette.responses import Response

from engine.domain.commands import RemoveConnection
from frontends.admin import bodies, shapes
from frontends.admin.errors import no
from frontends.admin.nodes import id_in, users_by_id
from frontends.admin.visit import Visit, answer


async def peers(visit: Visit) -> Response:
    """`GET /api/v1/wireguard-only-peer`."""
    rows = await visit.asking.ask_all("peer", "peers")
    users = await users_by_id(visit.asking)
    return answer({"wireguardOnlyPeers": [shapes.peer_of(row, users) for row in rows]})


async def peer(visit: Visit) -> Response:
    """`GET /api/v1/wireguard-only-peer/{id}`."""
    return answer({"wireguardOnlyPeer": await _peer(visit, id_in(visit, "id"))})


async def registered(visit: Visit) -> Response:
    """`POST /api/v1/wireguard-only-peer/register`; warnings are told beside the peer."""
    accepted = await visit.send(bodies.registration(bodies.object_in(await visit.body())))
    made = await _peer(visit, int(str(accepted.id)))
    return answer({"wireguardOnlyPeer": made, "warnings": list(accepted.warnings)})


async def connections(visit: Visit) -> Response:
    """`GET /api/v1/wireguard/connection`, of all, or of `nodeId` or `wgPeerId`."""
    wanted = {"node": _number(visit, "nodeId"), "peer": _number(visit, "wgPeerId")}
    rows = await visit.asking.ask_all("connection", "connections", **wanted)
    return answer({"wireguardConnections": [shapes.connection_of(row) for row in rows]})


async def connected(visit: Visit) -> Response:
    """`POST /api/v1/wireguard/connection`; `nodePublicKey` is what the far side must be told."""
    accepted = await visit.send(bodies.connection(bodies.object_in(await visit.body())))
    made = accepted.result
    rows = await visit.asking.ask_all("connection", "connections", node=made["node"], peer=made["peer"])
    return answer(
        {
            "connection": shapes.connection_of(rows[0]),
            "nodePublicKey": made["nodePublicKey"],
            "warnings": list(accepted.warnings),
        }
    )


async def disconnected(visit: Visit) -> Response:
    """`DELETE /api/v1/wireguard/connection/{node}/{peer}`."""
    await visit.send(RemoveConnection(node=id_in(visit, "node"), peer=id_in(visit, "peer")))
    return answer({})


async def _peer(visit: Visit, number: int) -> shapes.Shape:
    rows = (await visit.asking.ask("peer", "list", peer=number))["peers"]
    return shapes.peer_of(rows[0], await users_by_id(visit.asking))


def _number(visit: Visit, name: str) -> int | None:
    text = visit.query(name)
    if text is None:
        return None
    number = bodies.number_in(text)
    if number is None:
        raise no(400, "http.id", f"'{name}' must be an id: digits", field=name)
    return number
