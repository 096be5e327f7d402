"""E14–E17, E31b: a site behind a WireGuard-only peer, called by nodes and, where the operator lets it, calling them.

    n1  the newest client     n2  1.82.0     both in TUN mode, both connected to the site 10.64.0.0/24, jailed at first

The tests are one story, told in order; the numbers are those of the reference's check list.
"""

from typing import Any, Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab, LabError
from tests.kit.lab.policy import SHUT_SECONDS, key_of, set_policy
from tests.kit.lab.relay import PATIENCE, Relay, fresh_key, join
from tests.kit.lab.talk import Talk, listen
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo, key_base64
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

SITE: Final = "10.64.0.0/24"
TYPED: Final = "10.64.0.1/24"
"""The site as somebody types it: with the host bits of its router."""
ROUTER: Final = "10.64.0.1"
OTHER: Final = "10.64.0.77"
"""A second host of the site."""
MASQUERADE: Final = {"n1": "10.64.0.2", "n2": "10.64.0.3"}
REKEY_SECONDS: Final = 120
"""A session that lives makes new keys after this time (WireGuard paper, 6.1)."""
OPEN: Final = 8000
SHUT: Final = 8001
BOTH: Final = pytest.mark.parametrize("who", ["n1", "n2"])


class Story:
    """Who plays: two clients with two web servers each, the site's router."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        self.site = Relay(tailnet, "site", WireGuardGo(lab.host("wg")))
        self.half = Relay(tailnet, "half")
        self.site.far.add_address(f"{OTHER}/32")
        WebEcho(lab, "wg", OPEN)
        listen(self.site.far.host)
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        self.n2 = TailscaleClient(VERSIONS[2], lab.host("n2"))
        self.clients = {"n1": self.n1, "n2": self.n2}
        join(tailnet, key_of(tailnet, "alice"), self.n1, self.n2)
        for name in self.clients:
            WebEcho(lab, name, OPEN)
            WebEcho(lab, name, SHUT)

    def call(self, name: str, port: int, source: str = ROUTER) -> int:
        """Call a node from the site; return the HTTP status, 0 for no answer."""
        target = f"http://{MASQUERADE[name]}:{port}/"
        return self.site.far.host.curl(target, "--interface", source, timeout=SHUT_SECONDS).status

    def calls_out(self, client: TailscaleClient) -> bool:
        """Whether the site's own server answers a node."""
        return (
            client.curl(f"http://{ROUTER}:{OPEN}/", timeout=SHUT_SECONDS).body == MASQUERADE[client.host.name]
        )

    def wait_out(self, client: TailscaleClient) -> None:
        what = f"{client.host.name} ({client.version}) reaches the site"
        wait_until(lambda: self.calls_out(client), what, timeout=PATIENCE)

    def wait_call(self, name: str, port: int, status: int, source: str = ROUTER) -> None:
        what = f"a call from {source} to {name}:{port} ends with {status}"
        wait_until(lambda: self.call(name, port, source) == status, what, timeout=PATIENCE)

    def let_in(self, *sources: str) -> None:
        """Set a policy that lets these call one port of everybody, and nodes everything."""
        rules: list[dict[str, Any]] = [{"action": "accept", "src": ["autogroup:member"], "dst": ["*:*"]}]
        if sources:
            rules.append({"action": "accept", "src": list(sources), "proto": "tcp", "dst": [f"*:{OPEN}"]})
        set_policy(self.tailnet, {"acls": rules})


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


def test_e15_host_bits_of_a_site_are_cut_and_reported(story: Story) -> None:
    assert "allowedips.host_bits" in story.site.register([TYPED])
    assert story.site.row()["allowedIps"] == [SITE]
    for name, client in story.clients.items():
        story.site.connect(client, MASQUERADE[name])
        client.wait_peer("site", lambda peer: SITE in peer["AllowedIPs"])
    story.site.feed()


@BOTH
def test_e15_a_site_is_reached_by_who_accepts_routes(story: Story, who: str) -> None:
    client = story.clients[who]
    assert not client.host.ping(ROUTER, timeout=1)
    assert not story.calls_out(client)
    client.set("--accept-routes")
    story.wait_out(client)
    assert client.host.ping(ROUTER)
    assert story.site.far.peers()[key_base64(client.node_key())] == [f"{MASQUERADE[who]}/32"]


@BOTH
def test_e16_a_jailed_site_gets_no_answer(story: Story, who: str) -> None:
    """There is a session (the test before), and a rule: nothing but the jail is in the way (the test after)."""
    story.let_in(SITE)
    node = story.clients[who]
    assert story.calls_out(node)
    sent = story.site.far.tcpdump(f"tcp and dst host {MASQUERADE[who]} and dst port {OPEN}")
    assert story.call(who, OPEN) == 0
    assert not story.site.far.host.ping(MASQUERADE[who], timeout=1)
    assert sent.stop() == {ROUTER}, "nothing was sent"
    assert story.calls_out(node)


@BOTH
def test_e17_an_unjailed_site_reaches_what_a_rule_names(story: Story, who: str) -> None:
    story.site.update(story.clients[who], "--unjailed")
    story.wait_call(who, OPEN, 200)
    assert story.call(who, OPEN, OTHER) == 200
    assert story.call(who, SHUT) == 0
    assert story.calls_out(story.clients[who])


@BOTH
def test_e17_another_source_than_the_rule_s_gets_nothing(story: Story, who: str) -> None:
    story.let_in(f"{ROUTER}/32")
    story.wait_call(who, OPEN, 0, OTHER)
    assert story.call(who, OPEN) == 200
    assert story.calls_out(story.clients[who])


@BOTH
def test_e17_without_a_rule_nothing_comes_in_and_all_goes_out(story: Story, who: str) -> None:
    story.let_in()
    story.wait_call(who, OPEN, 0)
    assert story.call(who, OPEN, OTHER) == 0
    assert story.calls_out(story.clients[who])
    set_policy(story.tailnet, {"acls": []})
    story.clients[who].wait_no_peer("n2" if who == "n1" else "n1")
    assert story.call(who, OPEN) == 0
    assert story.calls_out(story.clients[who]), "no policy rules over what goes out to a peer"


@BOTH
def test_e31b_a_jail_that_opens_and_shuts_breaks_no_conversation(story: Story, who: str) -> None:
    client = story.clients[who]
    story.let_in(SITE)
    story.wait_call(who, OPEN, 200)
    key = key_base64(client.node_key())
    begun = story.site.far.latest_handshakes()[key]
    talk = Talk(client.host, ROUTER)
    for flag, status in (("--jailed", 0), ("--unjailed", 200), ("--jailed", 0)):
        story.site.update(client, flag)
        story.wait_call(who, OPEN, status)
        talk.wait_more()
    again = story.site.far.latest_handshakes()[key]
    assert again == begun or again - begun >= REKEY_SECONDS, "the session was torn down"


@BOTH
def test_e14_a_half_exit_is_warned_of_and_refused_by_the_client(story: Story, who: str) -> None:
    client = story.clients[who]
    if who == "n1":
        warned = story.half.register(["0.0.0.0/0"], key=fresh_key(), endpoints=["203.0.113.60:51820"])
        assert "allowedips.one_default" in warned
    story.half.connect(client, MASQUERADE[who])
    client.wait_peer("half", lambda peer: "0.0.0.0/0" in peer["AllowedIPs"])
    with pytest.raises(LabError, match="not advertis"):
        client.set("--exit-node=half")
