"""E18–E20: what the far side of a WireGuard-only peer may try against a node, on four generations of clients.

The relay is everybody's exit, so that its far side may use any source that no visible node has. Each check is made of our
frontends, and then of frontends with the very hole that it looks for (`tests.kit.unsafe`), where it must find it.
The tests are one story, told in order.
"""

from typing import Any, Final

import pytest

from frontends.control.profiles import WIREGUARD
from tests.kit import unsafe
from tests.kit.cluster import CliError, Cluster
from tests.kit.lab.clients import LATEST, OLDEST, VERSIONS, TailscaleClient
from tests.kit.lab.dns import NameServer
from tests.kit.lab.intruder import ALL, peerapi_holes, peerapi_port, spoof_holes
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy
from tests.kit.lab.ready import require_lab
from tests.kit.lab.relay import EXITS, Relay, join, wait_seen
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

RELAYED: Final = "203.0.113.50"
SPOOFED: Final = "100.64.77.77"
"""In the tailnet's range, and nobody's."""
PORT: Final = 8000
BACK_SECONDS: Final = 120.0
"""For a client to find the frontends again; 1.82.0 has needed more than 60."""
GENERATIONS: Final = (LATEST, *VERSIONS[1:], OLDEST)
EACH: Final = pytest.mark.parametrize("number", range(len(GENERATIONS)), ids=GENERATIONS)
SEND_FILES: Final = "https://tailscale.com/cap/file-send"
WIDEST: Final[dict[str, Any]] = {
    "grants": [
        {"src": ["*"], "dst": ["*"], "ip": ["*"]},
        {"src": ["*"], "dst": ["*"], "app": {"example.com/cap/any": [{}]}},
    ]
}


class Story:
    """Who plays: four clients with a web server each, the relay, the web."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        require_lab(GENERATIONS)
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        NameServer(
            self.web.host, self.web.host.ip4, "203.0.113.80"
        )  # or no name could be resolved for anybody
        self.relay = Relay(tailnet, "relay", WireGuardGo(lab.host("wg")))
        hosts = [lab.host(f"n{i + 1}") for i in range(len(GENERATIONS))]
        self.clients = [TailscaleClient(v, host) for v, host in zip(GENERATIONS, hosts, strict=True)]
        join(tailnet, key_of(tailnet, "alice"), *self.clients)
        for client in self.clients:
            WebEcho(lab, client.host.name, PORT)
        self.relay.register(EXITS)
        self.own: str = self.relay.row()["ipv4"]
        self.relay.far.add_address(f"{self.own}/32")
        self.relay.far.add_address(f"{SPOOFED}/32")
        for number, client in enumerate(self.clients):
            self.relay.connect(client, masquerade(number))
            client.wait_peer("relay", lambda peer: peer["ExitNodeOption"])
            client.set("--exit-node=relay")
        self.relay.feed()

    def peerapi(self, number: int) -> set[str]:
        """Try a node's own server from the peer's tailnet address, over a session that works."""
        self.send_first(number)
        port = peerapi_port(self.clients[number])
        return peerapi_holes(self.relay.far.host, self.own, masquerade(number), port)

    def spoof(self, number: int) -> set[str]:
        """Call a node's web server under a source that nobody has, over a session that works."""
        self.send_first(number)
        return spoof_holes(self.relay.far.host, SPOOFED, f"http://{masquerade(number)}:{PORT}/")

    def send_first(self, number: int) -> None:
        """Let a node send: a session of before would hide what is open."""
        wait_seen(self.clients[number], RELAYED, self.web.url4)

    def build(self, hole: str = "") -> None:
        """Restart the frontends, with a hole or without one, and wait until every client shows the peer accordingly."""
        wanted = (unsafe.ALICE if hole == "owner" else WIREGUARD.id, hole != "wide")
        self.tailnet.restart_frontends(*([unsafe.program(hole)] if hole else []))
        for client in self.clients:
            what = f"{client.host.name} ({client.version}) has the peer as {wanted}"
            wait_until(lambda c=client: identity(c) == wanted, what, timeout=BACK_SECONDS)  # type: ignore[misc]


def identity(client: TailscaleClient) -> tuple[int, bool]:
    """Whose the relay is in a client's netmap, and whether it is jailed."""
    peers = client.netmap()["Peers"] or []
    return next((peer["User"], peer.get("IsJailed", False)) for peer in peers if peer.get("IsWireGuardOnly"))


def masquerade(number: int) -> str:
    return f"10.64.0.{number + 2}"


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


@EACH
def test_e18_the_far_side_is_nobody_s_owner(story: Story, number: int) -> None:
    assert story.peerapi(number) == set()


def test_e19_everybody_may_do_everything_but_no_policy_gives_what_sends_files(story: Story) -> None:
    by_name = WIDEST["grants"][1] | {"app": {SEND_FILES: [{}]}}
    with pytest.raises(CliError, match="cap-name-form"):
        set_policy(story.tailnet, {"grants": [by_name]})
    set_policy(story.tailnet, WIDEST)
    for client in story.clients:
        wait_until(lambda c=client: c.filter()[-1]["Caps"], f"{client.host.name} has the policy")  # type: ignore[misc]


@EACH
def test_e19_the_far_side_is_not_everybody(story: Story, number: int) -> None:
    assert story.peerapi(number) == set()


@EACH
def test_e20_a_source_that_is_nobody_s_is_dropped(story: Story, number: int) -> None:
    sent = story.relay.far.tcpdump(f"tcp and src host {SPOOFED}")
    assert story.spoof(number) == set()
    assert sent.stop() == {SPOOFED}, "nothing was sent"


def test_e18_with_the_owner_on_the_wire_the_check_finds_the_hole(story: Story) -> None:
    story.build("owner")
    found = {client.version: story.peerapi(number) for number, client in enumerate(story.clients)}
    assert found == {version: set(ALL) for version in GENERATIONS}


def test_e19_with_a_wide_grant_the_check_finds_the_hole(story: Story) -> None:
    story.build("wide")
    found = {client.version: story.peerapi(number) for number, client in enumerate(story.clients)}
    assert all("upload" in holes for holes in found.values()), found


def test_e20_with_a_wide_filter_the_check_finds_the_hole(story: Story) -> None:
    found = {client.version: story.spoof(number) for number, client in enumerate(story.clients)}
    assert found == {version: {"spoofed"} for version in GENERATIONS}


def test_e18_to_e20_with_our_own_frontends_all_is_shut_again(story: Story) -> None:
    story.build()
    for number, client in enumerate(story.clients):
        assert (story.peerapi(number), story.spoof(number)) == (set(), set()), client.version
