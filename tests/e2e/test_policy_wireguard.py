"""Policies and WireGuard-only peers on real clients: what a peer's far side may not fake, and what a policy leaves of a peer.

Two clients in TUN mode, the newest and the oldest that we serve, use one relay as their exit. The policy lets everybody in
from everywhere, which is what a far side would make use of. The tests are one story, told in order.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.capture import Capture
from tests.kit.lab.clients import LATEST, OLDEST, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy
from tests.kit.lab.ready import require_lab
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

PEER: Final = "relay"
SITE: Final = "192.168.77.0/24"
HALF_OF_SITE: Final = "192.168.77.0/25"
EXITS: Final = ("0.0.0.0/0", "::/0")
RELAYED: Final = "203.0.113.50"
SPOOFED: Final = "100.64.77.77"
"""In the tailnet's range, and nobody's."""
PORT: Final = 8000
ANYBODY: Final = {"action": "accept", "src": ["*"], "dst": ["*:*"]}


def alice_to(*places: str) -> dict[str, Any]:
    return {"action": "accept", "src": ["alice@example.com"], "dst": list(places)}


class Story:
    """Who plays: alice's client, bob's, the far side, the web."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        require_lab((OLDEST,))
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        self.far = WireGuardGo(lab.host("wg"))
        self.far.add_address(f"{SPOOFED}/32")
        self.alice = TailscaleClient(LATEST, lab.host("n1"))
        self.bob = TailscaleClient(OLDEST, lab.host("n2"))
        self.masqueraded = {self.alice: "10.64.0.2", self.bob: "10.64.0.3"}
        for client, user in ((self.alice, "alice"), (self.bob, "bob")):
            client.start()
            client.up(tailnet.url, key_of(tailnet, user))
            client.wait_running()
            WebEcho(lab, client.host.name, PORT)
        self.alice.wait_path(self.bob)

    def connect(self) -> None:
        """Register the relay, and connect both nodes to it."""
        register = ("node", "register-wg-only", "--name", PEER, "--user", "alice")
        allowed = ",".join((*EXITS, SITE))
        far = ("--public-key", self.far.public_key, "--endpoints", self.far.endpoints[0])
        self.tailnet.cli(*register, *far, "--allowed-ips", allowed)
        for client, address in self.masqueraded.items():
            pair = ("--node-id", client.host.name, "--wg-peer-id", PEER)
            self.tailnet.cli("node", "add-wg-connection", *pair, "--ipv4-masq-addr", address)
        export = ("--peer", PEER, "--format", "wg-set", "--interface", self.far.interface)
        self.far.host.run(["sh", "-ec", self.tailnet.cli("wg", "export", *export)])

    def wait_relayed(self, client: TailscaleClient) -> None:
        """Wait until a client's traffic leaves by the far side."""
        what = f"{client.host.name} comes to the web by the relay"
        wait_until(lambda: client.curl(self.web.url4, timeout=3).body == RELAYED, what, timeout=30)


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


def lets_in(client: TailscaleClient, address: str) -> bool:
    """Whether an address as such is a source of a client's filter; names in it are only those of nodes."""
    sources: Iterable[str] = (text for rule in client.filter() for text in rule["Srcs"] or ())
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(text) for text in sources)


def wait_allowed(client: TailscaleClient, expected: Iterable[str]) -> None:
    """Wait until the relay leads a client there, besides to itself."""
    wanted = set(expected)

    def is_so(peer: dict[str, Any]) -> bool:
        own = {f"{a}/{128 if ':' in a else 32}" for a in peer.get("TailscaleIPs", ())}
        return bool(own) and set(peer["AllowedIPs"]) - own == wanted

    client.wait_peer(PEER, is_so)


def test_a_connection_takes_the_ranges_out_of_the_filter(story: Story) -> None:
    set_policy(story.tailnet, {"acls": [ANYBODY]})
    wait_until(lambda: lets_in(story.bob, SPOOFED), "the oldest has the tailnet's range")
    assert not lets_in(story.alice, SPOOFED), "newer clients have names, and never the range"
    story.connect()
    for client in story.masqueraded:
        client.wait_peer(PEER)
        assert not lets_in(client, SPOOFED)
    assert lets_in(story.bob, story.alice.ip4())
    assert story.alice.curl(f"http://{story.bob.ip4()}:{PORT}/").body == story.alice.ip4()
    assert story.bob.curl(f"http://{story.alice.ip4()}:{PORT}/").body == story.bob.ip4()


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_source_that_is_nobody_s_does_not_reach_a_node(story: Story, who: str) -> None:
    """Two things are in its way, the jail and the filter without ranges: each of them alone holds it."""
    client: TailscaleClient = getattr(story, who)
    client.set(f"--exit-node={PEER}")
    story.wait_relayed(client)
    inside = Capture(client.host, "tailscale0", f"tcp and src host {SPOOFED}")
    sent = story.far.tcpdump(f"tcp and src host {SPOOFED}")
    target = f"http://{story.masqueraded[client]}:{PORT}/"
    assert story.far.host.curl(target, "--interface", SPOOFED, timeout=4).status == 0
    assert sent.stop() == {SPOOFED}
    assert f"Drop: TCP{{{SPOOFED}:" in client.log(), "it came by the tunnel"
    assert inside.stop() == set()


def test_where_the_policy_rules_a_peer_that_it_does_not_name_is_gone(story: Story) -> None:
    story.tailnet.cli("settings", "set-wg-mode", "enforce")
    for client in story.masqueraded:
        client.wait_no_peer(PEER)
        assert client.curl(story.web.url4, timeout=2).status == 0


def test_a_peer_s_routes_are_cut_to_what_the_policy_permits(story: Story) -> None:
    set_policy(story.tailnet, {"acls": [ANYBODY, alice_to(f"{HALF_OF_SITE}:*")]})
    wait_allowed(story.alice, [HALF_OF_SITE])
    assert not story.alice.peers()[PEER]["ExitNodeOption"]
    assert story.alice.curl(story.web.url4, timeout=2).status == 0
    assert PEER not in story.bob.peers()


def test_the_internet_is_permitted_by_its_own_name(story: Story) -> None:
    set_policy(story.tailnet, {"acls": [ANYBODY, alice_to(f"{HALF_OF_SITE}:*", "autogroup:internet:*")]})
    wait_allowed(story.alice, [*EXITS, HALF_OF_SITE])
    story.wait_relayed(story.alice)
    assert PEER not in story.bob.peers()
    assert story.bob.curl(story.web.url4, timeout=2).status == 0


def test_where_connections_alone_decide_all_is_as_it_was(story: Story) -> None:
    story.tailnet.cli("settings", "set-wg-mode", "bypass")
    wait_allowed(story.alice, [*EXITS, SITE])
    wait_allowed(story.bob, [*EXITS, SITE])
    story.wait_relayed(story.bob)
