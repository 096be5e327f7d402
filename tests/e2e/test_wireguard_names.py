"""E21–E23, E30: names and suggestions where WireGuard-only peers are exits.

    n1  the newest client     n2  1.82.0     both connected to three exits; of one of them the far side is real
    n3  the newest client, connected to nothing

The tests are one story, told in order; the numbers are those of the reference's check list.
"""

import itertools
import json
from typing import Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, VERSIONS, TailscaleClient
from tests.kit.lab.derp import derp_map
from tests.kit.lab.dns import NXDOMAIN, SERVICE, NameServer, ask
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of
from tests.kit.lab.relay import EXITS, PATIENCE, Relay, codes, fresh_key, join, place, wait_seen
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

RESOLVER: Final = "10.64.0.1"
"""In the tunnel: the relay's own address."""
MASQUERADE: Final = {"n1": "10.64.0.2", "n2": "10.64.0.3"}
RELAYED: Final = "203.0.113.50"
ANSWER: Final = "203.0.113.80"
STOCKHOLM: Final = (59.3293, 18.0686)
SWEDEN: Final = {"country": "Sweden", "countryCode": "SE", "city": "Stockholm", "cityCode": "STO"}
BOTH: Final = pytest.mark.parametrize("who", ["n1", "n2"])


class Story:
    """Who plays: three clients, an exit with a resolver, two that are only looked at, the web with a name server."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        self.berlin = Relay(tailnet, "berlin", WireGuardGo(lab.host("wg")))
        self.stockholm, self.second = Relay(tailnet, "stockholm"), Relay(tailnet, "berlin-2")
        self.outside = NameServer(self.web.host, self.web.host.ip4, ANSWER)
        self.tailnets = NameServer(lab.host("n8"), lab.host("n8").ip4, ANSWER)
        self.inside = NameServer(self.berlin.far.host, RESOLVER, ANSWER)
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        self.n2 = TailscaleClient(VERSIONS[2], lab.host("n2"))
        self.n3 = TailscaleClient(LATEST, lab.host("n3"))
        self.clients = {"n1": self.n1, "n2": self.n2}
        join(tailnet, key_of(tailnet, "alice"), self.n1, self.n2, self.n3)
        self.register()

    def register(self) -> None:
        """Register the exits; connect both clients to each."""
        suggested = {"suggestExitNode": True}
        resolving = suggested | {"location": place(10), "exitNodeDNSResolvers": [RESOLVER]}
        north = place(100, **SWEDEN, latitude=STOCKHOLM[0], longitude=STOCKHOLM[1])
        spare = [f"203.0.113.{number}:51820" for number in (98, 99)]
        self.berlin.register(EXITS, extra=resolving)
        self.stockholm.register(
            EXITS, key=fresh_key(), endpoints=spare[:1], extra=suggested | {"location": north}
        )
        self.second.register(
            EXITS, key=fresh_key(), endpoints=spare[1:], extra=suggested | {"location": place(5)}
        )
        for name, client in self.clients.items():
            for exit_ in (self.berlin, self.stockholm, self.second):
                exit_.connect(client, MASQUERADE[name])
                client.wait_peer(exit_.name)
        self.berlin.feed()

    def fqdn(self, name: str) -> str:
        """The whole name of a node or peer in MagicDNS, without the last dot."""
        return f"{name}.{self.n1.status()['MagicDNSSuffix']}"

    def put_derp(self, where: tuple[float, float]) -> None:
        """Say where the only DERP region is."""
        path = self.tailnet.folder / "derp.json"
        path.write_text(json.dumps(derp_map(place=where)))
        self.tailnet.cli("derp", "set", str(path))

    def wait_resolver(self, client: TailscaleClient, server: NameServer) -> str:
        """Ask for name after name until one is asked of this server; return it."""
        numbers = itertools.count()

        def asked() -> str:
            name = f"{client.host.name}-{id(server)}-{next(numbers)}.example"
            assert ask(client.host, SERVICE, name).addresses == [ANSWER]
            return name if name in [known for _, known in server.asked()] else ""

        what = f"{client.host.name} ({client.version}) asks {server.address}"
        return wait_until(asked, what, timeout=PATIENCE, every=0.3)

    def wait_suggested(self, client: TailscaleClient, name: str) -> None:
        what = f"{name} is suggested to {client.host.name} ({client.version})"
        wait_until(lambda: f" {name}." in client.exit_node_suggest(), what, timeout=PATIENCE, every=0.5)


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


@BOTH
def test_e30_the_exit_nearest_to_the_relay_region_is_suggested(story: Story, who: str) -> None:
    """Although another has ten times its priority; and of two at one place the one with the higher priority."""
    story.wait_suggested(story.clients[who], "berlin")


def test_e30_where_the_relay_region_is_elsewhere_so_is_the_suggestion(story: Story) -> None:
    story.put_derp(STOCKHOLM)
    for client in story.clients.values():
        story.wait_suggested(client, "stockholm")


def test_e30_of_exits_at_one_place_the_higher_priority_is_suggested(story: Story) -> None:
    story.put_derp((52.52, 13.405))
    extra = json.dumps({"location": place(50)})
    story.tailnet.cli("wg", "update", "berlin-2", "--extra-config", extra)
    for client in story.clients.values():
        story.wait_suggested(client, "berlin-2")
        listed = client.exit_node_list()
        assert "berlin-2." in listed, "the list shows the highest priority of a city"
        assert "stockholm." in listed


@BOTH
def test_e23_a_connected_node_resolves_the_peer_s_name(story: Story, who: str) -> None:
    found = ask(story.clients[who].host, SERVICE, story.fqdn("berlin"))
    assert found.addresses == [story.berlin.row()["ipv4"]]


def test_e23_for_a_node_without_connection_there_is_no_such_name(story: Story) -> None:
    assert ask(story.n3.host, SERVICE, story.fqdn("n1")).addresses == [story.n1.ip4()]
    assert ask(story.n3.host, SERVICE, story.fqdn("berlin")).status == NXDOMAIN


@BOTH
def test_e21_without_an_exit_names_are_asked_of_the_node_s_own_server(story: Story, who: str) -> None:
    client = story.clients[who]
    assert ask(client.host, SERVICE, f"before-{who}.example").addresses == [ANSWER]
    story.outside.wait_asked(client.host.ip4, f"before-{who}.example")


@BOTH
def test_e21_through_an_exit_names_are_asked_in_the_tunnel(story: Story, who: str) -> None:
    client, name = story.clients[who], f"through-{who}.example"
    client.set("--exit-node=berlin")
    wait_seen(client, RELAYED, story.web.url4)
    assert ask(client.host, SERVICE, name).addresses == [ANSWER]
    story.inside.wait_asked(MASQUERADE[who], name)
    assert name not in [asked for _, asked in story.outside.asked()]


def test_e22_resolvers_of_the_tailnet_win_over_the_exit_s(story: Story) -> None:
    assert "dns.override" in codes(story.tailnet.ask("dns", "set", story.tailnets.address))
    for client in story.clients.values():
        name = story.wait_resolver(client, story.tailnets)
        assert name not in [asked for _, asked in story.inside.asked()]


@BOTH
def test_e22_demoted_they_give_way_to_the_exit_s(story: Story, who: str) -> None:
    story.tailnet.cli("settings", "set-wg-dns", "demote")
    name = story.wait_resolver(story.clients[who], story.inside)
    assert (MASQUERADE[who], name) in story.inside.asked()
    assert name not in [asked for _, asked in story.tailnets.asked()]


def test_e22_who_has_no_exit_asks_the_tailnet_s_resolvers_all_the_while(story: Story) -> None:
    story.wait_resolver(story.n3, story.tailnets)
