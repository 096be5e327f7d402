"""Headscale's endpoints for nodes, users, WireGuard-only peers and connections: shapes, refusals, traps."""

import json
from typing import Any

import msgspec
import pytest

from frontends.admin import bodies, shapes
from frontends.admin.errors import Refused
from frontends.admin.visit import MAX_BODY
from tests.unit.admin.stage import RELAY, Api, api

REGISTER = "/api/v1/wireguard-only-peer/register"
CONNECTION = "/api/v1/wireguard/connection"
PLACE = {
    "Country": "Sweden",
    "CountryCode": "SE",
    "City": "Gothenburg (se-got-wg-001)",
    "CityCode": "got",
    "Latitude": 57.70887,
    "Longitude": 11.97456,
}
LISTS = [
    "tags",
    "forcedTags",
    "validTags",
    "invalidTags",
    "approvedRoutes",
    "availableRoutes",
    "subnetRoutes",
    "ipAddresses",
]


def connecting(node: int = 1, **more: object) -> dict[str, object]:
    return {
        "nodeId": str(node),
        "wgPeerId": "100000001",
        "ipv4MasqAddr": "10.64.0.2",
        "ipv6MasqAddr": "",
        **more,
    }


async def refused(at: Api, method: str, path: str, body: object = None) -> dict[str, Any]:
    reply = await at.call(method, path, body)
    found = reply.json
    assert reply.status == found["status"] >= 400
    assert found["message"] == found["detail"]
    return found


async def test_a_node_has_what_tools_read_in_the_types_that_they_read() -> None:
    async with api() as at:
        await at.joins("laptop")
        (node,) = (await at.call("GET", "/api/v1/node")).json["nodes"]
        assert (node["id"], node["name"], node["givenName"]) == ("1", "laptop", "laptop")
        assert (node["user"]["id"], node["user"]["name"]) == ("1", "alice")
        assert node["nodeKey"].startswith("nodekey:")
        assert node["registerMethod"] == "REGISTER_METHOD_AUTH_KEY"
        assert (node["expiry"], node["online"], node["preAuthKey"]) == (None, False, None)
        assert node["createdAt"].endswith("Z")
        assert all(isinstance(node[name], list) for name in LISTS)
        assert (await at.call("GET", "/api/v1/node/1")).json == {"node": node}


async def test_a_tagged_node_belongs_to_a_user_of_its_own() -> None:
    async with api() as at:
        await at.does("policy.set", {"text": '{"tagOwners": {"tag:a": ["alice@"]}}'})
        await at.joins("server", tags=["tag:a"])
        (node,) = (await at.call("GET", "/api/v1/node")).json["nodes"]
        assert (node["user"]["id"], node["user"]["name"]) == ("2147455555", "tagged-devices")
        assert node["tags"] == node["forcedTags"] == ["tag:a"]


async def test_nodes_and_users_are_filtered() -> None:
    async with api() as at:
        await at.does("user.create", {"name": "bob", "email": "bob@example.com"})
        await at.joins("laptop")
        assert (await at.call("GET", "/api/v1/node?user=bob")).json["nodes"] == []
        assert len((await at.call("GET", "/api/v1/node?user=alice")).json["nodes"]) == 1
        for query in ("id=2", "name=bob", "email=bob%40example.com"):
            (bob,) = (await at.call("GET", f"/api/v1/user?{query}")).json["users"]
            assert (bob["id"], bob["name"], bob["displayName"]) == ("2", "bob", "")
        assert (await at.call("GET", "/api/v1/user?name=carol")).json == {"users": []}
        assert (await refused(at, "GET", "/api/v1/node?user=carol"))["code"] == 5


async def test_a_relay_is_registered_as_the_companion_tool_does_it() -> None:
    async with api() as at:
        extra = {"suggestExitNode": True, "exitNodeDNSResolvers": ["10.64.0.1"], "location": PLACE}
        made = (await at.call("POST", REGISTER, RELAY | {"extraConfig": json.dumps(extra)})).json
        peer = made["wireguardOnlyPeer"]
        assert (peer["id"], peer["userId"], peer["user"]["name"]) == ("100000001", "1", "alice")
        assert peer["publicKey"] == RELAY["publicKey"]
        said = json.loads(peer["extraConfig"])
        assert said["location"] == PLACE | {"CityCode": "GOT", "Priority": 0}
        assert peer["location"]["countryCode"] == "SE"
        assert "location.case" in [warning.partition(":")[0] for warning in made["warnings"]]
        assert (await at.call("GET", "/api/v1/wireguard-only-peer/100000001")).json[
            "wireguardOnlyPeer"
        ] == peer
        assert (await at.call("GET", "/api/v1/node")).json["wireguardOnlyPeers"] == [peer]
        assert (await at.call("GET", "/api/v1/wireguard-only-peer")).json == {"wireguardOnlyPeers": [peer]}
        assert (await at.lab.records())[-1].envelope.actor == f"api-{at.key[10:22]}"
        assert (await at.lab.records())[-1].envelope.reason == f"HTTP API: POST {REGISTER}"


async def test_what_is_not_known_is_left_out_of_the_extra_config() -> None:
    async with api() as at:
        made = await at.call("POST", REGISTER, RELAY | {"extraConfig": ""})
        assert json.loads(made.json["wireguardOnlyPeer"]["extraConfig"]) == {}


async def test_a_body_is_read_by_its_content() -> None:
    async with api() as at:
        body = {
            "name": "exit",
            "user_id": "1",
            "public_key": RELAY["publicKey"],
            "allowed_ips": ["10.0.0.0/8"],
            "endpoints": ["192.0.2.1:1"],
            "extra_config": {},
            "nobody": "knows",
        }
        reply = await at.call("POST", REGISTER, body, content_type="text/plain;charset=UTF-8")
        assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "body.missing_field", "name"),
        (b"[]", "body.not_json", ""),
        (b"{", "body.not_json", ""),
        (b"\xff", "body.not_json", ""),
        (b"[" * 100_000, "body.not_json", ""),
        (RELAY | {"userId": None}, "body.missing_field", "userId"),
        (RELAY | {"userId": True}, "body.wrong_type", "userId"),
        (RELAY | {"allowedIps": "0.0.0.0/0"}, "body.wrong_type", "allowedIps"),
        (RELAY | {"allowedIps": [1]}, "body.wrong_type", "allowedIps"),
        (RELAY | {"extraConfig": "{"}, "body.wrong_type", "extraConfig"),
        (RELAY | {"extraConfig": "[]"}, "body.wrong_type", "extraConfig"),
        (RELAY | {"extraConfig": 7}, "body.wrong_type", "extraConfig"),
        (RELAY | {"endpoints": ["1.2.3.4"]}, "", "endpoints"),
        (RELAY | {"allowedIps": []}, "", ""),
        (RELAY | {"publicKey": "privkey:" + "ab" * 32}, "key.private", ""),
    ],
)
async def test_a_body_that_cannot_be_is_400(body: object, code: str, field: str) -> None:
    async with api() as at:
        found = await refused(at, "POST", REGISTER, body)
        assert (found["status"], found["code"]) == (400, 3)
        assert found["type"].startswith(f"urn:netmap:error:{code}")
        assert field in found["errors"][0]["location"]
        assert "ab" * 32 not in json.dumps(found)
        assert not at.lab.engine.tailnet.peers


async def test_a_large_body_is_413() -> None:
    async with api() as at:
        found = await refused(at, "POST", REGISTER, b" " * (MAX_BODY + 1))
        assert (found["status"], found["type"]) == (413, "urn:netmap:error:body.too_large")


async def test_what_is_there_already_is_409_and_what_is_not_there_is_404() -> None:
    async with api() as at:
        await at.joins("laptop")
        await at.call("POST", REGISTER, RELAY)
        again = await refused(at, "POST", REGISTER, RELAY | {"publicKey": "nodekey:" + "cd" * 32})
        assert (again["status"], again["code"]) == (409, 6)
        for method, path in (
            ("GET", "/api/v1/node/7"),
            ("DELETE", "/api/v1/node/7"),
            ("DELETE", "/api/v1/node/100000007"),
            ("GET", "/api/v1/wireguard-only-peer/100000007"),
            ("GET", "/api/v1/wireguard-only-peer/1"),
            ("DELETE", CONNECTION + "/1/100000001"),
            ("GET", "/api/v1/nothing"),
            ("GET", "/%3Cscript%3E"),
        ):
            found = await refused(at, method, path)
            assert (found["status"], found["code"]) == (404, 5), path
            assert "script" not in found["message"]
        assert (await refused(at, "DELETE", "/api/v1/node/laptop"))["type"] == "urn:netmap:error:http.id"
        assert (await refused(at, "PATCH", "/api/v1/node"))["status"] == 405


async def test_a_connection_is_made_listed_and_ended() -> None:
    async with api() as at:
        await at.joins("laptop")
        await at.joins("phone")
        await at.call("POST", REGISTER, RELAY)
        made = (await at.call("POST", CONNECTION, connecting())).json
        assert made["connection"]["nodeId"] == "1"
        assert made["connection"]["wgPeerId"] == "100000001"
        assert (made["connection"]["ipv4MasqAddr"], made["connection"]["ipv6MasqAddr"]) == ("10.64.0.2", "")
        assert len(made["nodePublicKey"]) == 44
        await at.call("POST", CONNECTION, connecting(2, ipv4MasqAddr="10.64.0.3"))
        both = (await at.call("GET", CONNECTION)).json["wireguardConnections"]
        assert both[0] == made["connection"]
        assert (await at.call("GET", "/api/v1/node")).json["wireguardConnections"] == both
        assert (await at.call("GET", CONNECTION + "?nodeId=2")).json["wireguardConnections"] == both[1:]
        assert (
            len((await at.call("GET", CONNECTION + "?wgPeerId=100000001")).json["wireguardConnections"]) == 2
        )
        assert (await refused(at, "DELETE", "/api/v1/node/100000001"))["status"] == 409
        assert (await at.call("DELETE", CONNECTION + "/1/100000001")).json == {}
        assert (await at.call("GET", CONNECTION)).json["wireguardConnections"] == both[1:]
        await at.call("DELETE", CONNECTION + "/2/100000001")
        assert (await at.call("DELETE", "/api/v1/node/100000001")).json == {}
        assert (await at.call("DELETE", "/api/v1/node/1")).json == {}
        assert [node["id"] for node in (await at.call("GET", "/api/v1/node")).json["nodes"]] == ["2"]


async def test_an_address_of_the_wrong_family_or_none_is_400() -> None:
    async with api() as at:
        await at.joins("laptop")
        await at.call("POST", REGISTER, RELAY)
        for addresses in ({"ipv4MasqAddr": ""}, {"ipv6MasqAddr": "10.64.0.2"}, {"ipv4MasqAddr": "fd00::1"}):
            assert (await refused(at, "POST", CONNECTION, connecting(1, **addresses)))["status"] == 400
        assert (await at.call("POST", CONNECTION, connecting(ipv6MasqAddr="ff02:b::11"))).json["warnings"]


async def test_a_request_that_is_sent_again_with_its_id_is_done_once() -> None:
    async with api() as at:
        first = await at.call("POST", REGISTER, RELAY, idempotency_key="once", netmap_reason="a relay")
        again = await at.call("POST", REGISTER, RELAY, idempotency_key="once")
        assert first.json == again.json
        assert len(at.lab.engine.tailnet.peers) == 1
        assert (await at.lab.records())[-1].envelope.reason == "a relay"
        bad = await at.call("POST", REGISTER, RELAY, idempotency_key="a b")
        assert bad.json["type"] == "urn:netmap:error:command.id_malformed"


async def test_when_nobody_answers_one_is_told_to_come_again() -> None:
    async with api() as at:
        assert (await at.call("GET", "/api/v1/user")).status == 200
        at.bus.hub.services.clear()
        found = await at.call("GET", "/api/v1/user")
        assert (found.status, found.headers["retry-after"]) == (503, "1")
        assert found.json["type"] == "urn:netmap:error:http.unreachable"


def test_an_older_extra_config_has_the_wires_names() -> None:
    text = shapes.extra_text({"location": {"country": "Å", "countryCode": "SE"}, "tags": None})
    assert text == '{"location":{"Country":"Å","CountryCode":"SE"}}'
    assert shapes.time_of(0) is None
    assert shapes.time_of(1_767_225_600_123) == "2026-01-01T00:00:00.123Z"


def test_a_location_keeps_the_priority_that_it_has() -> None:
    for name in ("priority", "Priority"):
        given = RELAY | {"extraConfig": msgspec.json.encode({"location": {name: 7}}).decode()}
        assert bodies.registration(given).extra_config == {"location": {name: 7}}
    none = bodies.registration(RELAY | {"extraConfig": '{"Location": {"Country": "x"}}'})
    assert none.extra_config == {"Location": {"Country": "x", "priority": 0}}


def test_a_very_long_reference_is_not_taken() -> None:
    with pytest.raises(Refused):
        bodies.connection({"nodeId": "x" * 254, "wgPeerId": 1})
    assert bodies.number_in("1" * 19) is None
    assert bodies.number_in("+1") is bodies.number_in("\u0661") is None
