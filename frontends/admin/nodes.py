"""Nodes and users: `/api/v1/node…`, `/api/v1/user`."""

from typing import Any

from starlette.responses import Response

from engine.domain.commands import DeleteNode, RemovePeer
from engine.domain.values import FIRST_PEER_ID
from frontends.admin import bodies, shapes
from frontends.admin.asking import Asking
from frontends.admin.errors import no
from frontends.admin.visit import Visit, answer


async def users_by_id(asking: Asking) -> dict[int, dict[str, Any]]:
    """Return the rows of all users by id."""
    return {row["id"]: row for row in await asking.ask_all("user", "users")}


async def listed(visit: Visit) -> Response:
    """`GET /api/v1/node`: nodes, and WireGuard-only peers with their connections beside them."""
    asking = visit.asking
    users = await users_by_id(asking)
    nodes = await asking.ask_all("node", "nodes", user=visit.query("user"))
    peers = await asking.ask_all("peer", "peers")
    connections = await asking.ask_all("connection", "connections")
    return answer(
        {
            "nodes": [shapes.node_of(row, users) for row in nodes],
            "wireguardOnlyPeers": [shapes.peer_of(row, users) for row in peers],
            "wireguardConnections": [shapes.connection_of(row) for row in connections],
        }
    )


async def one(visit: Visit) -> Response:
    """`GET /api/v1/node/{id}`."""
    number = id_in(visit, "id")
    row = (await visit.asking.ask("node", "get", node=number))["node"]
    return answer({"node": shapes.node_of(row, await users_by_id(visit.asking))})


async def deleted(visit: Visit) -> Response:
    """`DELETE /api/v1/node/{id}`: a node, or a WireGuard-only peer to which nobody is connected."""
    number = id_in(visit, "id")
    await visit.send(RemovePeer(peer=number) if number >= FIRST_PEER_ID else DeleteNode(node=number))
    return answer({})


async def users(visit: Visit) -> Response:
    """`GET /api/v1/user`, of all or of one by `id`, `name` or `email`."""
    rows = await visit.asking.ask_all("user", "users")
    for name in ("id", "name", "email"):
        wanted = visit.query(name)
        rows = [row for row in rows if wanted is None or str(row[name]) == wanted]
    return answer({"users": [shapes.user_of(row) for row in rows]})


def id_in(visit: Visit, name: str) -> int:
    """Return an id of the path.

    Raises:
        Refused: `http.id`.
    """
    number = bodies.number_in(visit.path(name))
    if number is None:
        raise no(400, "http.id", f"'{name}' in the path must be an id: digits", field=name)
    return number
