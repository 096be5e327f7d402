"""Resolvers of the tailnet, and whether they go before those of a WireGuard-only exit."""

import pytest

from engine.domain.commands import AddConnection, SetResolvers, SetWireGuardDns, UpdatePeer
from engine.domain.events import ResolversSet, WireGuardDnsSet
from tests.kit.scenario import Scene

EXTRA: dict[str, object] = {"exitNodeDNSResolvers": ["10.64.0.1"]}


@pytest.fixture
def scene() -> Scene:
    """Node 1 (laptop), an exit with a resolver, and one without."""
    scene = Scene()
    scene.user()
    scene.node("laptop")
    scene.peer("exit", extra_config=EXTRA)
    scene.peer("plain")
    return scene


def codes(warnings: tuple[str, ...]) -> list[str]:
    return [said.partition(":")[0] for said in warnings]


def test_resolvers_are_kept_canonical_once_and_in_order(scene: Scene) -> None:
    given = (" 9.9.9.9", "[2620:FE::FE]:53", "9.9.9.9", "https://dns.example/q")
    decision = scene.when(SetResolvers(resolvers=given))
    kept = ("9.9.9.9", "[2620:fe::fe]:53", "https://dns.example/q")
    assert decision.events == (ResolversSet(resolvers=kept),)
    assert scene.tailnet.settings.resolvers == kept
    assert scene.happens(SetResolvers(resolvers=kept)) == []
    assert scene.happens(SetResolvers(resolvers=())) == ["ResolversSet"]


@pytest.mark.parametrize(
    ("resolvers", "code"),
    [
        (("dns.example",), "dns.resolver"),
        (("9.9.9.9:0",), "dns.resolver"),
        (tuple(f"10.0.0.{n}" for n in range(17)), "dns.many"),
    ],
)
def test_what_is_no_resolver_is_refused(scene: Scene, resolvers: tuple[str, ...], code: str) -> None:
    refusal = scene.refused(SetResolvers(resolvers=resolvers))
    assert (refusal.code, refusal.field) == (code, "resolvers")


def test_the_mode_is_one_of_two(scene: Scene) -> None:
    assert scene.refused(SetWireGuardDns(mode="drop")).code == "wgdns.unknown"
    assert scene.when(SetWireGuardDns(mode="demote")).events == (WireGuardDnsSet(mode="demote"),)
    assert scene.happens(SetWireGuardDns(mode="demote")) == []
    assert scene.tailnet.settings.is_demoting


def test_whoever_makes_clients_ignore_an_exits_resolvers_is_warned(scene: Scene) -> None:
    said = scene.when(SetResolvers(resolvers=("9.9.9.9",))).warnings
    assert codes(said) == ["dns.override"]
    assert "100000001(exit)" in said[0]
    assert "plain" not in said[0]
    connect = AddConnection(node=1, peer="exit", ipv4_masq_addr="10.0.0.2", ipv6_masq_addr="fd00::2")
    assert "dns.override" in codes(scene.when(connect).warnings)
    assert "dns.override" in codes(scene.when(UpdatePeer(peer="plain", extra_config=EXTRA)).warnings)
    assert codes(scene.when(SetWireGuardDns(mode="keep")).warnings) == ["dns.override"]


def test_nobody_is_warned_where_the_tailnets_are_demoted_or_none(scene: Scene) -> None:
    connect = AddConnection(node=1, peer="exit", ipv4_masq_addr="10.0.0.2", ipv6_masq_addr="fd00::2")
    assert "dns.override" not in codes(scene.when(connect).warnings)
    assert scene.when(SetWireGuardDns(mode="demote")).warnings == ()
    assert scene.when(SetResolvers(resolvers=("9.9.9.9",))).warnings == ()
    assert "dns.override" not in codes(scene.when(UpdatePeer(peer="plain", extra_config=EXTRA)).warnings)
    assert "dns.override" not in codes(
        scene.when(UpdatePeer(peer="exit", extra_config={"tags": []})).warnings
    )
