"""Subnet routers and exit nodes on real clients: who is told of a way, who may go it, and who leads when somebody dies.

    n1  alice's, the newest           n3  a router, the newest: two prefixes, one of them approved by the policy
    n2  bob's, who sees n3 only       n4  a router, older, in userspace mode: one of the prefixes, and an exit

The hosts behind say who came to them: a router translates to its own address. The tests are one story, told in order.
"""

from typing import Any, Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.beyond import Beyond, let_forward
from tests.kit.lab.clients import LATEST, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy, wait_reach
from tests.kit.lab.web import WebEcho
from tests.kit.procs import DeadlineError, wait_until

pytestmark = pytest.mark.real

SHARED: Final = "192.168.77.0/24"
"""Both routers lead there, and the policy approves them."""
BY_HAND: Final = "192.168.78.0/24"
EXITS: Final = ["0.0.0.0/0", "::/0"]
N3_SEEN: Final = "203.0.113.23"
N4_SEEN: Final = ("203.0.113.24", "2001:db8:1::24")
FAILOVER_SECONDS: Final = 40.0
"""10 s for a client to come back, its peers' handshakes with another router, and a machine that does other things."""

TO_ROUTES: Final = {
    "action": "accept",
    "src": ["alice@example.com"],
    "proto": "tcp",
    "dst": [f"{SHARED}:80", f"{BY_HAND}:80"],
}
TO_FIRST: Final = {"action": "accept", "src": ["alice@example.com", "bob@example.com"], "dst": ["first:80"]}
TO_INTERNET: Final = {"action": "accept", "src": ["alice@example.com"], "dst": ["autogroup:internet:*"]}


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "tagOwners": {"tag:router": [], "tag:exit": []},
        "hosts": {"first": "100.64.0.3"},
        "autoApprovers": {"routes": {SHARED: ["tag:router"]}, "exitNode": ["tag:exit"]},
        "acls": [TO_FIRST, *rules],
    }


class Story:
    """Who plays."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        web = WebEcho(lab)
        self.shared = Beyond(web.host, "192.168.77.80/24")
        self.by_hand = Beyond(web.host, "192.168.78.80/24")
        self.internet = [Beyond(web.host, "198.51.100.80/24"), Beyond(web.host, "2001:db8:2::80/64")]
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        # not 1.92.5, which may find no path to who joins after it (docs/clients.md)
        self.n2 = TailscaleClient(VERSIONS[2], lab.host("n2"))
        self.n3 = TailscaleClient(LATEST, lab.host("n3"))
        self.n4 = TailscaleClient(VERSIONS[2], lab.host("n4"), mode="userspace")
        self.routers = (self.n3, self.n4)
        for network in (self.shared, self.by_hand):
            network.show(*(router.host for router in self.routers))
        for network in self.internet:
            network.show(self.n1.host, self.n2.host, *(router.host for router in self.routers))
        let_forward(self.n3.host)
        WebEcho(lab, "n3")

    def join(self) -> None:
        router = ("--tags", "tag:router")
        for client, user, tags, flags in (
            (self.n1, "alice", (), ["--accept-routes"]),
            (self.n2, "bob", (), ["--accept-routes"]),
            (self.n3, "alice", router, [f"--advertise-routes={SHARED},{BY_HAND}"]),
            (
                self.n4,
                "alice",
                (*router, "--tags", "tag:exit"),
                [f"--advertise-routes={SHARED}", "--advertise-exit-node"],
            ),
        ):
            client.start()
            client.up(self.tailnet.url, key_of(self.tailnet, user, *tags), *flags)
            client.wait_running()

    def wait_caller(self, network: Beyond, address: str, *, timeout: float = 30.0) -> None:
        """Wait until n1 is answered from the network, and has come there from this address."""
        seen = ""

        def is_so() -> bool:
            nonlocal seen
            seen = self.n1.curl(network.url, timeout=3).body
            return seen == address

        try:
            wait_until(is_so, f"n1 comes to {network.address} from {address}", timeout=timeout)
        except DeadlineError as error:
            raise DeadlineError(f"{error}; it came from {seen!r}") from None


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


def routes(client: TailscaleClient, label: str) -> set[str]:
    """What leads to a peer besides its own addresses, in a client's view; its primary routes are those but exits."""
    peer = client.peers()[label]
    found = set(peer["AllowedIPs"]) - {f"{a}/{128 if ':' in a else 32}" for a in peer["TailscaleIPs"]}
    assert set(peer.get("PrimaryRoutes") or ()) == found.difference(EXITS)
    return found


def wait_routes(client: TailscaleClient, label: str, expected: set[str], *, timeout: float = 15.0) -> None:
    client.wait_peer(label)
    what = f"{client.host.name} is told that {label} leads to {sorted(expected)}"
    wait_until(lambda: routes(client, label) == expected, what, timeout=timeout, every=0.2)


def test_without_a_router_nobody_is_answered_from_behind(story: Story) -> None:
    assert story.n3.host.curl(story.shared.url).body == N3_SEEN
    assert story.n1.host.curl(story.shared.url, timeout=1).status == 0


def test_a_route_that_the_policy_approves_is_told_to_whom_it_entitles(story: Story) -> None:
    set_policy(story.tailnet, policy(TO_ROUTES, TO_INTERNET))
    story.join()
    wait_routes(story.n1, "n3", {SHARED})
    wait_routes(story.n2, "n3", set())
    assert story.n3.status()["Self"]["PrimaryRoutes"] == [SHARED]
    assert "n4" not in story.n2.peers()


def test_traffic_passes_for_whom_it_entitles_and_for_nobody_else(story: Story) -> None:
    story.n1.wait_path(story.n3)
    story.n2.wait_path(story.n3)
    story.wait_caller(story.shared, N3_SEEN)
    router = f"http://{story.n3.ip4()}/"
    wait_reach(story.n1, {router: True, story.shared.url: True, story.by_hand.url: False})
    wait_reach(story.n2, {router: True, story.shared.url: False, story.by_hand.url: False})


def test_a_route_is_approved_by_hand_and_withdrawn(story: Story) -> None:
    story.tailnet.cli("node", "approve-routes", "n3", "--all")
    wait_routes(story.n1, "n3", {SHARED, BY_HAND})
    story.wait_caller(story.by_hand, N3_SEEN)
    assert routes(story.n2, "n3") == set()
    story.tailnet.cli("node", "approve-routes", "n3", "--routes", SHARED)
    wait_routes(story.n1, "n3", {SHARED})
    wait_reach(story.n1, {story.shared.url: True, story.by_hand.url: False})


def test_when_the_first_router_dies_the_second_leads(story: Story) -> None:
    story.n1.wait_path(story.n4)
    assert SHARED not in routes(story.n1, "n4")
    story.n3.kill()
    story.wait_caller(story.shared, N4_SEEN[0], timeout=FAILOVER_SECONDS)
    assert routes(story.n1, "n3") == set()
    assert routes(story.n1, "n4") == {SHARED, *EXITS}
    assert story.n4.status()["Self"]["PrimaryRoutes"] == [SHARED]


def test_the_first_to_join_leads_again_when_it_is_back(story: Story) -> None:
    story.n3.start()
    story.wait_caller(story.shared, N3_SEEN, timeout=FAILOVER_SECONDS)
    assert routes(story.n1, "n3") == {SHARED}
    assert routes(story.n1, "n4") == set(EXITS)


def test_an_exit_is_offered_to_whom_the_policy_entitles(story: Story) -> None:
    assert "n4" in story.n1.exit_node_list()
    assert story.n1.peers()["n4"]["ExitNodeOption"]
    assert "no exit nodes found" in story.n2.exit_node_list()
    with pytest.raises(AssertionError, match="n4"):
        story.n2.set("--exit-node=n4")


def test_traffic_to_the_internet_leaves_by_the_exit(story: Story) -> None:
    for network, direct, address in zip(
        story.internet, (story.n1.host.ip4, story.n1.host.ip6), N4_SEEN, strict=True
    ):
        assert story.n1.curl(network.url).body == direct
        story.n1.set("--exit-node=n4")
        story.wait_caller(network, address)
        story.n1.set("--exit-node=")
        story.wait_caller(network, direct)


def test_without_the_rule_the_exit_leads_nowhere(story: Story) -> None:
    story.n1.set("--exit-node=n4")
    story.wait_caller(story.internet[0], N4_SEEN[0])
    set_policy(story.tailnet, policy(TO_ROUTES))
    router = f"http://{story.n3.ip4()}/"
    wait_reach(story.n1, {router: True, story.internet[0].url: False})
    assert story.n1.peers()["n4"]["ExitNode"], "a router that one sees is shown as the exit that it is"
    set_policy(story.tailnet, policy(TO_ROUTES, TO_INTERNET))
    story.wait_caller(story.internet[0], N4_SEEN[0])
