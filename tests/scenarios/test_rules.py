"""Scenarios of §8.2 about what is refused, and about the policy."""

import json

import pytest

from tests.scenarios.stage import EXIT, running

PLACE = {
    "country": "Sweden",
    "countryCode": "se",
    "city": "Malmo",
    "cityCode": "mma",
    "latitude": 55.6,
    "longitude": 13.0,
    "priority": 1,
}


@pytest.mark.parametrize("routes", [EXIT, EXIT[:1], EXIT[1:], ("10.0.0.0/8", "::/0")])
async def test_n18_who_has_a_default_route_stays_in_jail(routes: tuple[str, ...]) -> None:
    async with running() as site:
        node, relay = await site.node("one"), await site.relay("exit", allowedIps=routes)
        free = {"node": node, "peer": relay, "ipv4MasqAddr": "10.64.0.2", "jailed": False}
        assert (await site.refused("connection.add", **free)).code == "connection.unjail"
        await site.connect(node, relay, "10.64.0.2")
        assert (await site.refused("connection.update", **free)).code == "connection.unjail"
        assert site.client(node).relays[relay]["IsJailed"] is True


async def test_n18_who_routes_a_site_only_may_leave_the_jail() -> None:
    async with running() as site:
        node, relay = await site.node("one"), await site.relay("site", allowedIps=["10.9.0.0/24"])
        await site.connect(node, relay, "10.64.0.2", jailed=False)
        client = site.client(node)
        assert "IsJailed" not in client.relays[relay]
        problem = await site.refused("peer.update", peer=relay, allowedIps=["10.9.0.0/24", "0.0.0.0/0"])
        assert problem.code == "connection.unjail"


async def test_n19_where_the_policy_rules_it_delivers_cuts_and_warns_of_ports() -> None:
    async with running() as site:
        node = await site.node("one")
        relay = await site.relay("site", allowedIps=["10.9.0.0/24", "10.8.0.0/24"])
        await site.connect(node, relay, "10.64.0.2")
        client = site.client(node)
        await site.command("policy.set", text='{"acls":[]}')
        assert set(client.relays) == {relay}, "connections alone decide, unless told otherwise"
        await site.command("settings.set-wg-mode", mode="enforce")
        assert client.relays == {}
        for ports, codes in (("*", ["connection.cut"]), ("443", ["connection.cut", "connection.ports"])):
            rule = {"action": "accept", "src": ["ann@"], "dst": [f"10.9.0.0/24:{ports}"]}
            await site.command("policy.set", text=json.dumps({"acls": [rule]}))
            peer = client.relays[relay]
            assert peer["AllowedIPs"] == [*peer["Addresses"], "10.9.0.0/24"]
            await site.disconnect(node, relay)
            answer = await site.connect(node, relay, "10.64.0.2")
            found = [warning.partition(":")[0] for warning in answer.warnings]
            assert [code for code in found if code in {"connection.cut", "connection.ports"}] == codes
        await site.command("settings.set-wg-mode", mode="bypass")
        peer = client.relays[relay]
        assert peer["AllowedIPs"] == [*peer["Addresses"], "10.9.0.0/24", "10.8.0.0/24"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"city": None}, "extraConfig.location"),
        ({"countryCode": "SWE"}, "extraConfig.location.countryCode"),
        ({"countryCode": "1a"}, "extraConfig.location.countryCode"),
        ({"latitude": 91}, "extraConfig.location.latitude"),
        ({"priority": -1}, "extraConfig.location.priority"),
        ({"cityCode": ""}, "extraConfig.location"),
    ],
)
async def test_n34_a_place_that_clients_cannot_show_is_refused(change: dict[str, object], field: str) -> None:
    async with running() as site:
        place = {name: value for name, value in (PLACE | change).items() if value is not None}
        problem = await site.refused(
            "peer.register",
            name="exit",
            user="ann",
            publicKey="23" * 32,
            allowedIps=EXIT,
            endpoints=["192.0.2.1:1"],
            extraConfig={"location": place},
        )
        assert (problem.status, (problem.field or "").startswith(field)) == (422, True), problem


async def test_n34_codes_are_written_in_capitals_and_one_city_in_two_countries_is_a_warning() -> None:
    async with running() as site:
        node, relay = await site.node("one"), await site.relay("exit", extraConfig={"location": PLACE})
        await site.connect(node, relay, "10.64.0.2")
        said = site.client(node).relays[relay]["Hostinfo"]["Location"]
        assert (said["CountryCode"], said["CityCode"]) == ("SE", "MMA")
        clash = PLACE | {"country": "Norway", "countryCode": "NO"}
        answer = await site.command(
            "peer.register",
            name="other",
            user="ann",
            publicKey="25" * 32,
            allowedIps=EXIT,
            endpoints=["192.0.2.1:1"],
            extraConfig={"location": clash},
        )
        assert "location.city" in [warning.partition(":")[0] for warning in answer.warnings]
