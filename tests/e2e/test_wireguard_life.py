"""E12, E13, E27, E28, E33, E34: the life of peers and connections while real clients use them.

    n1  the newest client     n2  1.92.5     n3  the oldest that we serve     n4  1.82.0, bob's, who only joins

The tests are one story, told in order; the numbers are those of the reference's check list.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.cluster import CliError, Cluster
from tests.kit.lab.clients import LATEST, OLDEST, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy
from tests.kit.lab.ready import require_lab
from tests.kit.lab.relay import EXITS, PATIENCE, Relay, fresh_key, join, seen, wait_seen
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo, key_base64
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

RELAYED: Final = ("203.0.113.50", "2001:db8:1::50")
N1: Final = ("10.64.0.2", "fc00:bbbb::2")
N2: Final = ("10.64.0.3", "fc00:bbbb::3")
N3: Final = ("10.64.0.4", "fc00:bbbb::4")
REKEY_SECONDS: Final = 115
"""A session that lives makes new keys 120 s after the last (WireGuard paper, 6.1); one that was torn down, at once."""
FEW_PEERS: Final = "100.96.0.0/29"
"""Six addresses for peers."""
MANY_PEERS: Final = "100.96.0.0/14"
"""The pool as it is by default."""
LAST_PORT: Final = "65535"
"""In a filter that opens all ports."""
REFUSED: Final = 5
"""Exit status of a refusal by the state of the tailnet."""


class Story:
    """Who plays: four clients, the relay, the web."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        require_lab((OLDEST,))
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        self.relay = Relay(tailnet, "relay", WireGuardGo(lab.host("wg")))
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        self.n2 = TailscaleClient(VERSIONS[1], lab.host("n2"))
        self.n3 = TailscaleClient(OLDEST, lab.host("n3"))
        self.n4 = TailscaleClient(VERSIONS[2], lab.host("n4"), mode="userspace")
        join(tailnet, key_of(tailnet, "alice"), self.n1, self.n2, self.n3)
        self.relay.register(EXITS)

    def use(self, client: TailscaleClient) -> None:
        """Make the relay a connected node's exit, and wait for traffic."""
        self.relay.feed()
        client.wait_peer("relay", lambda peer: peer["ExitNodeOption"])
        client.set("--exit-node=relay")
        wait_seen(client, RELAYED[0], self.web.url4)

    def peer_of(self, client: TailscaleClient) -> dict[str, Any]:
        """The relay in a client's netmap, as it came."""
        return next(peer for peer in client.netmap()["Peers"] if peer.get("IsWireGuardOnly"))

    def number_peers_from(self, pool: str) -> None:
        """Set the pool of the IPv4 addresses of peers; all others stay."""
        nodes = ("--nodes-v4", "100.64.0.0/11", "--nodes-v6", "fd7a:115c:a1e0:1::/64")
        peers = ("--peers-v4", pool, "--peers-v6", "fd7a:115c:a1e0:2::/64")
        self.tailnet.cli("settings", "set-pools", *nodes, *peers)

    def spare(self, name: str, number: int) -> str:
        """Register a peer that nobody uses; return its IPv4 address."""
        spare = Relay(self.tailnet, name)
        spare.register(["192.0.2.0/24"], key=fresh_key(), endpoints=[f"203.0.113.99:{number}"])
        address: str = spare.row()["ipv4"]
        return address

    def stale(self) -> list[str]:
        """The nodes of which the far side was told something that no longer holds."""
        return [row["nodeName"] for row in self.relay.row().get("stale", ())]

    def connected(self, peer: str) -> list[str]:
        """The nodes that are connected to a peer, by name."""
        return [row["nodeName"] for row in self.tailnet.ask("connection", "list", "--peer", peer)]

    def export_file(self) -> Path:
        """What the far side was given, in a file."""
        path = self.tailnet.folder / "far.conf"
        path.write_text(self.relay.exported())
        return path


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


# E13, E33 -------------------------------------------------------------------------------------------------------


def test_e13_a_family_without_masquerade_address_is_a_black_hole(story: Story) -> None:
    assert seen(story.n1, story.web.url6) == story.n1.host.ip6
    assert "masq.missing" in story.relay.connect(story.n1, N1[0])
    story.use(story.n1)
    assert story.n1.curl(story.web.url6, timeout=3).status == 0


def test_e13_what_is_lost_comes_to_the_far_side_from_the_tailnet_address(story: Story) -> None:
    key, own = key_base64(story.n1.node_key()), story.n1.ip6()
    story.relay.far.set_peer(key, [f"{N1[0]}/32", f"{own}/128"])
    capture = story.relay.far.tcpdump(f"dst host {story.web.host.ip6}")
    assert story.n1.curl(story.web.url6, timeout=3).status == 0
    capture.wait_source(own)
    assert capture.stop() == {own}
    story.relay.feed()
    assert story.relay.far.peers()[key] == [f"{N1[0]}/32"]


def test_e33_an_old_client_gets_ipv4_and_is_not_offered_ipv6(story: Story) -> None:
    assert "masq.capver" in story.relay.connect(story.n3, *N3)
    story.use(story.n3)
    told = story.peer_of(story.n3)
    assert told["SelfNodeV4MasqAddrForThisPeer"] == N3[0]
    assert told.get("SelfNodeV6MasqAddrForThisPeer") is None
    assert story.n3.curl(story.web.url6, timeout=3).status == 0
    assert seen(story.n3, story.web.url4) == RELAYED[0]


def test_e33_a_newer_client_is_offered_both(story: Story) -> None:
    story.relay.connect(story.n2, *N2)
    story.use(story.n2)
    assert story.peer_of(story.n2)["SelfNodeV6MasqAddrForThisPeer"] == N2[1]
    wait_seen(story.n2, RELAYED[1], story.web.url6)


# E27 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a policy reload", "an unrelated node", "a restart of every process"])
def test_e27_a_session_outlives(story: Story, what: str) -> None:
    users = (story.n1, story.n2)
    for client in users:
        wait_seen(client, RELAYED[0], story.web.url4)
    keys = {client: key_base64(client.node_key()) for client in users}
    before = story.relay.far.latest_handshakes()
    logs = {client: len(client.log()) for client in users}
    happen(story, what)
    for client in users:
        wait_seen(client, RELAYED[0], story.web.url4)
    now = story.relay.far.latest_handshakes()
    for client, key in keys.items():
        since = now[key] - before[key]
        assert since == 0 or since >= REKEY_SECONDS, f"{client.version}: a new handshake after {since} s"
        assert removals(client, logs[client], story.relay.far.public_key) == []


def happen(story: Story, what: str) -> None:
    """Let it happen, and wait until the clients that use the relay have heard of something after it."""
    users = (story.n1, story.n2)
    if what == "a policy reload":
        for ports in ("*:22", "*:*"):
            set_policy(
                story.tailnet, {"acls": [{"action": "accept", "src": ["alice@example.com"], "dst": [ports]}]}
            )
        for client in users:
            wait_until(lambda c=client: LAST_PORT in json.dumps(c.filter()), "has the last policy")  # type: ignore[misc]
    elif what == "an unrelated node":
        join(story.tailnet, key_of(story.tailnet, "bob"), story.n4)
    else:
        sessions = {client: client.map_sessions() for client in users}
        story.tailnet.restart()
        for client in users:
            back = f"{client.host.name} ({client.version}) is back"
            wait_until(lambda c=client: c.map_sessions() > sessions[c], back, timeout=90)  # type: ignore[misc]
    story.tailnet.cli("node", "rename", "n3", "seen")
    for client in users:
        client.wait_peer("seen", timeout=PATIENCE)
    story.tailnet.cli("node", "rename", "seen", "n3")
    for client in users:
        client.wait_peer("n3", timeout=PATIENCE)


def removals(client: TailscaleClient, since: int, key: str) -> list[str]:
    """The lines of a client's log since then that take a key away and bring it not back.

    1.102.3 writes none for what changes inside a session: there the handshakes tell.
    """
    short = f"[{key[:5]}]"
    lines = client.log()[since:].splitlines()
    gone = [line for line in lines if line.startswith(f"- {short}")]
    back = [line for line in lines if line.startswith(f"+ {short}")]
    return gone[len(back) :]


# E28 ------------------------------------------------------------------------------------------------------------


def test_e28_a_new_node_key_makes_the_far_side_s_file_wrong(story: Story) -> None:
    given = story.export_file()
    story.tailnet.cli("wg", "export", "--peer", "relay", "--check", str(given), "--record")
    assert story.stale() == []
    before = story.n1.node_key()
    story.n1.up(story.tailnet.url, key_of(story.tailnet, "alice"), "--force-reauth", "--exit-node=relay")
    wait_until(lambda: story.n1.node_key() != before, "n1 has another key")
    said = story.tailnet.cli("wg", "export", "--peer", "relay", "--check", str(given), status=1)
    assert "~ key" in said
    assert key_base64(story.n1.node_key()) in said
    assert story.stale() == ["n1"]
    assert story.n1.curl(story.web.url4, timeout=3).status == 0


def test_e28_with_the_new_export_traffic_flows(story: Story) -> None:
    story.relay.feed()
    wait_seen(story.n1, RELAYED[0], story.web.url4)
    story.tailnet.cli("wg", "export", "--peer", "relay", "--check", str(story.export_file()), "--record")
    assert story.stale() == []


# E12 ------------------------------------------------------------------------------------------------------------


def test_e12_a_connected_peer_is_not_removed(story: Story) -> None:
    with pytest.raises(CliError, match=r"n1.*\n?.*n2|remove-wg-connection") as refused:
        story.tailnet.cli("wg", "remove", "relay", "--force")
    assert f"status {REFUSED}" in str(refused.value)
    wait_seen(story.n1, RELAYED[0], story.web.url4)


def test_e12_the_address_of_a_removed_peer_rests_over_a_restart(story: Story) -> None:
    """Six addresses, one is the relay's: all others are handed out before the one that was given back."""
    story.number_peers_from(FEW_PEERS)
    gone = story.spare("spare-1", 1)
    story.tailnet.cli("wg", "remove", "spare-1", "--force")
    story.tailnet.kill("engine")
    story.tailnet.start("engine")
    story.tailnet.wait_answers()
    held = story.relay.row()["ipv4"]
    handed = [story.spare(f"spare-{number}", number) for number in range(2, 6)]
    assert gone not in handed, "it did not rest"
    assert held not in handed, "the relay's own was handed out after a restart"
    assert story.spare("spare-6", 6) == gone, "it is free again in the end"
    story.number_peers_from(MANY_PEERS)


# E34 ------------------------------------------------------------------------------------------------------------


def test_e34_a_deleted_node_leaves_no_connection(story: Story) -> None:
    spare = Relay(story.tailnet, "n3-alone")
    spare.register(["198.51.100.0/24"], key=fresh_key(), endpoints=["203.0.113.98:51820"])
    spare.connect(story.n3, N3[0])
    key, since = key_base64(story.n3.node_key()), len(story.n2.log())
    story.tailnet.cli("node", "delete", "n3", "--force")
    assert story.connected("relay") == ["n1", "n2"]
    assert key not in story.relay.exported()
    for client in (story.n1, story.n2):
        client.wait_no_peer("n3")
    assert removals(story.n2, since, key), "E27 would not have seen a removal"
    story.tailnet.cli("wg", "remove", "n3-alone", "--force")


def test_e34_a_user_to_whom_something_belongs_is_not_deleted(story: Story) -> None:
    story.relay.connect(story.n4, "10.64.0.5")
    story.tailnet.cli("wg", "move", "relay", "bob")
    with pytest.raises(CliError, match=r"node \d+\(n4\), WireGuard-only peer \d+\(relay\)"):
        story.tailnet.cli("user", "delete", "bob", "--force")
    assert story.connected("relay") == ["n1", "n2", "n4"]


def test_e34_what_belongs_to_a_deleted_user_is_gone_everywhere(story: Story) -> None:
    story.tailnet.cli("user", "delete", "bob", "--cascade", "--force")
    assert story.tailnet.ask("connection", "list") == []
    for client in (story.n1, story.n2):
        client.wait_no_peer("relay")
        client.wait_no_peer("n4")
        assert client.curl(story.web.url4, timeout=2).status == 0
    assert "n4" not in [row["name"] for row in story.tailnet.ask("node", "list")["nodes"]]
