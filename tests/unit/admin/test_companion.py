"""A recorded contract, written by hand from what an unmodified companion tool for Mullvad sends and reads.

It lists, registers fifty relays at a time, connects a node to each, lists again, disconnects and deletes; its texts and
order are those of the tool, whose code is not here.
"""

import asyncio
import json
from typing import Any

from tests.unit.admin.stage import Api, Reply, api

RELAYS = 50


class Companion:
    """The tool's client: JSON in and out, an answer of 4xx or 5xx is an exception, a DELETE's body is not read."""

    def __init__(self, at: Api) -> None:
        self.at = at

    async def req(self, path: str, method: str = "GET", body: Any = None) -> Any:
        reply: Reply = await self.at.call(method, path, body, content_type="application/json", accept="*/*")
        assert reply.status < 400, reply.text
        return None if method == "DELETE" else reply.json

    async def state(self) -> Any:
        return await self.req("/api/v1/node")

    async def list_relays(self) -> list[Any]:
        return [r for r in (await self.state()).get("wireguardOnlyPeers", []) if r["name"].startswith("mv-")]


def relay(number: int, user: object) -> dict[str, object]:
    location = {
        "Country": "Sweden",
        "CountryCode": "se",
        "City": f"Gothenburg (se-got-wg-{number:03d})",
        "CityCode": "got",
        "Latitude": 57.70887,
        "Longitude": 11.97456,
    }
    extra = {"suggestExitNode": True, "exitNodeDNSResolvers": ["10.64.0.1"], "location": location}
    return {
        "name": f"mv-se-got-wg-{number:03d}",
        "userId": user,
        "publicKey": f"nodekey:{number + 0xB000:064x}",
        "allowedIps": ["0.0.0.0/0", "::/0"],
        "endpoints": [f"198.51.100.{number + 1}:51820", f"[2001:db8::{number + 1:x}]:51820"],
        "extraConfig": json.dumps(extra),
    }


async def test_the_companions_day() -> None:
    async with api() as at:
        await at.joins("laptop")
        tool = Companion(at)
        assert await tool.list_relays() == []

        # relay add --name alice: fifty at a time
        user = next(u for u in (await tool.req("/api/v1/user"))["users"] if u.get("name") == "alice")
        path = "/api/v1/wireguard-only-peer/register"
        await asyncio.gather(*(tool.req(path, "POST", relay(n, user["id"])) for n in range(RELAYS)))
        relays = await tool.list_relays()
        assert len({str(r["id"]) for r in relays}) == RELAYS

        # relay list, and the filter of relay delete
        for one in relays:
            location = json.loads(one.get("extraConfig", "{}")).get("location", {})
            assert location.get("Country") == "Sweden"
            assert location.get("City").startswith("Gothenburg (se-got-wg-")
            assert location.get("CountryCode", "").lower() == "se"

        # node add --name laptop
        state = await tool.state()
        node = next(n for n in state["nodes"] if n.get("givenName") == "laptop" or n.get("name") == "laptop")
        assert len(bytes.fromhex(node.get("nodeKey").strip().removeprefix("nodekey:"))) == 32
        wanted = [
            {
                "nodeId": str(node["id"]),
                "wgPeerId": str(one["id"]),
                "ipv4MasqAddr": "10.66.1.2",
                "ipv6MasqAddr": "fc00:bbbb:bbbb:bb01::1:2",
            }
            for one in relays
        ]
        await asyncio.gather(*(tool.req("/api/v1/wireguard/connection", "POST", one) for one in wanted))

        # node list
        state = await tool.state()
        held = {
            str(c["wgPeerId"]) for c in state["wireguardConnections"] if str(c["nodeId"]) == str(node["id"])
        }
        assert {str(r["id"]) for r in state["wireguardOnlyPeers"]} <= held
        assert state["nodes"][0]["user"]["name"] == "alice"

        # node delete, relay delete
        ends = [
            f"/api/v1/wireguard/connection/{c['nodeId']}/{c['wgPeerId']}"
            for c in state["wireguardConnections"]
        ]
        await asyncio.gather(*(tool.req(end, "DELETE") for end in ends))
        assert (await tool.state())["wireguardConnections"] == []
        await asyncio.gather(*(tool.req(f"/api/v1/node/{one['id']}", "DELETE") for one in relays))
        assert await tool.list_relays() == []
        actors = {record.envelope.actor for record in (await at.lab.records())[-RELAYS:]}
        assert actors == {f"api-{at.key[10:22]}"}
