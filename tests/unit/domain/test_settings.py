"""What holds for the whole tailnet."""

import copy

import msgspec
import pytest

from engine.domain.commands import (
    CreateUser,
    SetAutoUpdates,
    SetBaseDomain,
    SetDerpMap,
    SetDomains,
    SetPolicy,
    SetPools,
    SetWireGuardMode,
)
from engine.domain.whom import domains_of
from tests.kit.scenario import Scene

POOLS = {
    "nodes_v4": "100.64.0.0/11",
    "nodes_v6": "fd7a:115c:a1e0:1::/64",
    "peers_v4": "100.96.0.0/14",
    "peers_v6": "fd7a:115c:a1e0:2::/64",
}
DERP = {
    "Regions": {
        "900": {
            "RegionID": 900,
            "RegionCode": "lab",
            "Nodes": [{"Name": "900a", "RegionID": 900, "HostName": "derp.example.com", "IPv4": "192.0.2.1"}],
        }
    },
    "omitDefaultRegions": True,
}


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user()
    return scene


def pools(**change: str) -> SetPools:
    return SetPools(**(POOLS | change))


def test_the_base_domain_is_set_once(scene: Scene) -> None:
    assert scene.happens(SetBaseDomain(domain="tail.example.com")) == ["BaseDomainSet"]
    assert scene.happens(SetBaseDomain(domain="tail.example.com")) == []
    assert scene.tailnet.settings.base_domain == "tail.example.com"
    assert scene.when(SetBaseDomain(domain="tail.local")).warnings[0].startswith("domain.special")


@pytest.mark.parametrize(
    "domain",
    ["Example.com", "example.com.", ".com", "a..b", "-a.b", "a_b.c", "a.1", "x" * 64, "a." * 95 + "com"],
)
def test_what_cannot_be_a_base_domain_is_refused(scene: Scene, domain: str) -> None:
    assert scene.refused(SetBaseDomain(domain=domain)).code == "domain.syntax"


def test_pools_are_set_and_the_next_addresses_come_from_them(scene: Scene) -> None:
    scene.node("laptop")
    assert scene.happens(pools()) == []
    assert scene.happens(pools(nodes_v4="100.64.0.0/24")) == ["PoolsSet"]
    assert scene.tailnet.nodes[scene.node("phone")].ipv4 == "100.64.0.2"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nodes_v4": "100.64.0.0"}, "pool.range"),
        ({"nodes_v4": "100.64.0.1/16"}, "pool.syntax"),
        ({"nodes_v4": "home"}, "pool.syntax"),
        ({"nodes_v4": "10.0.0.0/8"}, "pool.range"),
        ({"nodes_v4": "100.0.0.0/8"}, "pool.range"),
        ({"nodes_v4": "fd7a:115c:a1e0:1::/64"}, "pool.range"),
        ({"nodes_v4": "100.100.100.0/24"}, "pool.range"),
        ({"nodes_v4": "100.64.0.0/31"}, "pool.range"),
        ({"peers_v6": "fd00::/64"}, "pool.range"),
        ({"peers_v6": "fd7a:115c::/32"}, "pool.range"),
        ({"peers_v4": "100.64.0.0/16"}, "pool.overlap"),
        ({"peers_v6": "fd7a:115c:a1e0:1::/80"}, "pool.overlap"),
    ],
)
def test_pools_that_cannot_be_are_refused(scene: Scene, change: dict[str, str], code: str) -> None:
    refusal = scene.refused(pools(**change))
    assert (refusal.code, refusal.status) == (code, 422)


def test_pools_that_leave_an_address_out_are_refused(scene: Scene) -> None:
    scene.node("laptop")
    scene.peer("exit")
    for change, name in (
        ({"nodes_v4": "100.72.0.0/16"}, "laptop"),
        ({"nodes_v6": "fd7a:115c:a1e0:7::/64"}, "laptop"),
        ({"peers_v4": "100.97.0.0/16"}, "exit"),
        ({"peers_v6": "fd7a:115c:a1e0:7::/64"}, "exit"),
    ):
        refusal = scene.refused(pools(**change))
        assert (refusal.code, refusal.status) == ("pool.in_use", 409)
        assert name in refusal.message


def test_pools_that_take_in_a_masquerade_address_are_refused(scene: Scene) -> None:
    scene.node("laptop")
    scene.peer("exit")
    scene.connect(1, "exit", ipv6="fd7a:115c:a1e0::100")
    refusal = scene.refused(pools(nodes_v6="fd7a:115c:a1e0::/63"))
    assert refusal.code == "pool.masquerade"


def test_a_derp_map_is_kept_as_canonical_json(scene: Scene) -> None:
    assert scene.happens(SetDerpMap(derp_map=DERP)) == ["DerpMapSet"]
    shuffled = dict(reversed(DERP.items()))
    assert scene.happens(SetDerpMap(derp_map=shuffled)) == []
    assert msgspec.json.decode(scene.tailnet.settings.derp_map) == DERP


def test_a_region_that_goes_is_a_warning(scene: Scene) -> None:
    two = copy.deepcopy(DERP)
    two["Regions"]["901"] = {  # type: ignore[index]
        "RegionID": 901,
        "Nodes": [{"Name": "901a", "RegionID": 901, "HostName": "x.example.com"}],
    }
    scene.when(SetDerpMap(derp_map=two))
    assert scene.when(SetDerpMap(derp_map=DERP)).warnings[0].startswith("derp.gone: region 901")


NODE = {"Name": "n", "RegionID": 1, "HostName": "h"}


@pytest.mark.parametrize(
    ("regions", "code"),
    [
        (None, "derp.regions"),
        ([], "derp.regions"),
        ({}, "derp.regions"),
        ({"1": None}, "derp.region"),
        ({"1": {"RegionID": 1, "Nodes": []}}, "derp.region"),
        ({"1": {"RegionID": 1, "Nodes": None}}, "derp.region"),
        ({"1": {"RegionID": 2, "Nodes": [NODE]}}, "derp.region"),
        ({"1": {"RegionID": "1", "Nodes": [NODE]}}, "derp.region"),
        ({"1": {"Nodes": [NODE]}}, "derp.region"),
        ({"01": {"RegionID": 1, "Nodes": [NODE]}}, "derp.region"),
        ({"x": {"RegionID": 1, "Nodes": [NODE]}}, "derp.region"),
        ({"70000": {"RegionID": 70000, "Nodes": [NODE | {"RegionID": 70000}]}}, "derp.region"),
        ({"1": {"RegionID": 1, "Nodes": [None]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"RegionID": 2}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"HostName": ""}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"Name": 7}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"DERPPort": 65536}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"STUNPort": -2}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE, NODE]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"IPv4": 5}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "Nodes": [NODE | {"stunonly": "yes"}]}}, "derp.node"),
        ({"1": {"RegionID": 1, "RegionCode": 5, "Nodes": [NODE]}}, "derp.region"),
        ({"1": {"RegionID": 1, "Avoid": 1, "Nodes": [NODE]}}, "derp.region"),
        ({"1": {"RegionID": 1, "Latitude": "north", "Nodes": [NODE]}}, "derp.region"),
    ],
)
def test_a_derp_map_that_would_crash_a_client_is_refused(scene: Scene, regions: object, code: str) -> None:
    refusal = scene.refused(SetDerpMap(derp_map={"Regions": regions}))
    assert (refusal.code, refusal.status) == (code, 422)
    assert refusal.field.startswith("derpMap.Regions")


def test_a_new_tailnet_has_a_derp_map_that_could_have_been_given_and_is_replaced_without_a_warning(
    scene: Scene,
) -> None:
    given = msgspec.json.decode(scene.tailnet.settings.derp_map)
    assert scene.happens(SetDerpMap(derp_map=given)) == []
    replaced = scene.when(
        SetDerpMap(derp_map={"Regions": {"7": {"RegionID": 7, "Nodes": [NODE | {"RegionID": 7}]}}})
    )
    assert replaced.events
    assert replaced.warnings == ()


def test_the_tailnets_domains_are_those_of_its_users_until_some_are_set(scene: Scene) -> None:
    assert domains_of(scene.tailnet) == ()
    scene.when(CreateUser(name="bert", email="Bert@Example.ORG"))
    scene.when(CreateUser(name="carl", email="carl@example.com"))
    assert domains_of(scene.tailnet) == ("example.com", "example.org")
    decision = scene.when(SetDomains(domains=("b.example", "A.example", "b.example")))
    assert decision.result == {"domains": ["a.example", "b.example"]}
    assert domains_of(scene.tailnet) == ("a.example", "b.example")
    assert scene.happens(SetDomains(domains=("b.example", "a.example"))) == []
    assert scene.happens(SetDomains(domains=())) == ["DomainsSet"]
    assert domains_of(scene.tailnet) == ("example.com", "example.org")


@pytest.mark.parametrize("domain", ["", "com", "a..b", "a@b.c", "*.b.c", "192.0.2.1"])
def test_what_is_no_e_mail_domain_is_refused(scene: Scene, domain: str) -> None:
    assert scene.refused(SetDomains(domains=(domain,))).code == "domain.syntax"


def test_at_most_so_many_domains_are_set(scene: Scene) -> None:
    domains = tuple(f"d{number}.example" for number in range(101))
    assert scene.refused(SetDomains(domains=domains)).code == "domain.many"
    assert scene.happens(SetDomains(domains=domains[:100])) == ["DomainsSet"]


def test_a_domain_that_the_policy_speaks_of_stays(scene: Scene) -> None:
    scene.when(CreateUser(name="bert", email="bert@example.com"))
    text = '{"grants": [{"src": ["user:*@example.com"], "dst": ["*"], "ip": ["*"]}]}'
    scene.when(SetPolicy(text=text))
    refusal = scene.refused(SetDomains(domains=("example.org",)))
    assert (refusal.code, refusal.status) == ("domain.in_policy", 409)
    assert "line 1" in refusal.message
    assert scene.happens(SetDomains(domains=("example.com", "example.org"))) == ["DomainsSet"]


def test_the_policy_rules_over_wireguard_only_peers_when_it_shall(scene: Scene) -> None:
    assert scene.happens(SetAutoUpdates(on=False)) == []
    assert scene.happens(SetAutoUpdates(on=True)) == ["AutoUpdatesSet"]
    assert scene.tailnet.settings.auto_updates
    assert scene.tailnet.settings.wireguard_mode == "bypass"
    assert scene.happens(SetWireGuardMode(mode="bypass")) == []
    assert scene.happens(SetWireGuardMode(mode="enforce")) == ["WireGuardModeSet"]
    assert scene.tailnet.settings.wireguard_mode == "enforce"
    refusal = scene.refused(SetWireGuardMode(mode="Enforce"))
    assert (refusal.code, refusal.field) == ("wgmode.unknown", "mode")
