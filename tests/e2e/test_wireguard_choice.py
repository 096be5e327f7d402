"""E29, E31, E32: which exit a client takes when it may choose, one that was idle, and one that nobody can dial.

    n1  the newest client     n2  1.92.5                    they let control choose: auto:any
    n3  the newest client     n4  1.82.0, userspace         they use a relay once, are idle, and use it again
    n5  1.82.0                                              knows no exit that dials

The idle time begins before the first test and is over in the last one: it costs only what the others do not take.
The tests are one story, told in order; the numbers are those of the reference's check list.
"""

from typing import Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, PORT, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy
from tests.kit.lab.relay import EXITS, PATIENCE, Relay, join, place, seen, wait_seen
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo, key_base64
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

FIRST: Final = "203.0.113.50"
SECOND: Final = "203.0.113.60"
QUIET: Final = {
    "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
    "nodeAttrs": [{"target": ["*"], "attr": ["disable-captive-portal-detection"]}],
}
"""Without a DERP relay clients look for a captive portal, through the exit: nobody would be idle."""
ROAMING: Final = "203.0.113.28"
NOWHERE: Final = "203.0.113.99:51820"
"""The placeholder of an exit that dials: nobody has the address."""
DIALED: Final = ("10.65.0.1/24", "fc00:cccc::1/64")
IDLE_SECONDS: Final = 200.0
"""Longer than any key lives, 180 s (WireGuard paper, 6.1)."""
KEEPALIVE_SECONDS: Final = 2
"""A client forgets an address that it was called from after 5 s (reference §2.2)."""


class Story:
    """Who plays: five clients, two relays, an exit that dials, the web."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        self.first = Relay(tailnet, "first", WireGuardGo(lab.host("wg")))
        self.second = Relay(tailnet, "second", WireGuardGo(lab.host("wg2")))
        self.roamer = Relay(tailnet, "roamer", WireGuardGo(lab.host("n8"), "wgr1", DIALED))
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        self.n2 = TailscaleClient(VERSIONS[1], lab.host("n2"))
        self.n3 = TailscaleClient(LATEST, lab.host("n3"))
        self.n4 = TailscaleClient(VERSIONS[2], lab.host("n4"), mode="userspace")
        self.n5 = TailscaleClient(VERSIONS[2], lab.host("n5"))
        self.choosing, self.idle = (self.n1, self.n2), (self.n3, self.n4)
        join(tailnet, key_of(tailnet, "alice"), *self.idle, *self.choosing, self.n5)
        set_policy(tailnet, QUIET)
        for relay, priority in ((self.first, 100), (self.second, 50)):
            relay.register(EXITS, extra={"suggestExitNode": True, "location": place(priority)})
        self.roamer.register(EXITS, endpoints=[NOWHERE])
        self.begin_idle()

    def begin_idle(self) -> None:
        """Let the idle use the first relay once."""
        for client in self.idle:
            self.first.connect(client, masquerade(client))
            self.first.feed()
            client.wait_peer("first", lambda peer: peer["ExitNodeOption"])
            client.set("--exit-node=first")
            wait_seen(client, FIRST, self.web.url4)

    def dial(self, client: TailscaleClient) -> None:
        """Connect a client to the exit that dials, let it dial, and make it the client's exit."""
        self.roamer.connect(client, masquerade(client, "10.65.0"))
        self.roamer.feed()
        client.wait_peer("roamer", lambda peer: peer["ExitNodeOption"])
        where, key = f"{client.host.ip4}:{PORT}", key_base64(client.node_key())
        self.roamer.far.dial(key, where, keepalive=KEEPALIVE_SECONDS)
        client.set("--exit-node=roamer")


def masquerade(client: TailscaleClient, network: str = "10.64.0") -> str:
    return f"{network}.{client.host.ip4.rpartition('.')[2]}"


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


def test_e29_of_two_relays_the_higher_priority_is_taken(story: Story) -> None:
    for client in story.choosing:
        for relay in (story.first, story.second):
            relay.connect(client, masquerade(client))
            relay.feed()
            client.wait_peer(relay.name, lambda peer: peer["ExitNodeOption"])
        wait_until(lambda c=client: " first." in c.exit_node_suggest(), "is suggested", timeout=PATIENCE)  # type: ignore[misc]
        client.set("--exit-node=auto:any")
        wait_seen(client, FIRST, story.web.url4)


def test_e29_who_may_choose_leaves_a_drained_relay(story: Story) -> None:
    story.tailnet.cli("wg", "drain", "first")
    for client in story.choosing:
        wait_seen(client, SECOND, story.web.url4)


def test_e29_a_relay_whose_drain_was_undone_is_taken_again(story: Story) -> None:
    story.tailnet.cli("wg", "undrain", "first")
    story.tailnet.cli("wg", "drain", "second")
    for client in story.choosing:
        wait_seen(client, FIRST, story.web.url4)
    story.tailnet.cli("wg", "undrain", "second")


def test_e32_newer_clients_answer_an_exit_that_dials(story: Story) -> None:
    for client in story.choosing:
        story.dial(client)
        wait_seen(client, ROAMING, story.web.url4)


def test_e32_an_older_client_never_does(story: Story) -> None:
    """Known, and no fault of ours: clients before 1.86 send to endpoints of the netmap only (reference §2.2)."""
    calls = story.roamer.far.tcpdump(f"udp and dst host {story.n5.host.ip4} and dst port {PORT}", "e0")
    story.dial(story.n5)
    assert [seen(story.n5, story.web.url4) for _ in range(3)] == ["", "", ""]
    assert calls.stop() == {ROAMING}, "it was not called"
    assert story.roamer.far.latest_handshakes()[key_base64(story.n5.node_key())] == 0
    for client in story.choosing:
        assert seen(client, story.web.url4) == ROAMING


def test_e31_after_a_long_idle_time_the_first_request_works(story: Story) -> None:
    keys = {client: key_base64(client.node_key()) for client in story.idle}

    def are_keys_old() -> bool:
        shaken = story.first.far.latest_handshakes()
        now = int(story.first.far.host.run(["date", "+%s"]).stdout)
        return now - max(shaken[key] for key in keys.values()) > IDLE_SECONDS

    wait_until(are_keys_old, "nobody has used the relay for long", timeout=2 * IDLE_SECONDS, every=1.0)
    before = story.first.far.latest_handshakes()
    for client, key in keys.items():
        assert client.curl(story.web.url4, timeout=10).body == FIRST, client.version
        assert story.first.far.latest_handshakes()[key] > before[key]
