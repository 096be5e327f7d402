"""Access rules on real clients: what is open, what is shut, and that both change under a client that stays connected.

Three clients on one tailnet: `n1` (the newest) and `n3` (the oldest that we serve) are servers, with listeners on two ports;
`n2` comes to them. The tests are one story, told in order. All is asked over TCP: `tailscale ping` ignores filters,
and a plain ping passes to whom one may reach on any port.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, OLDEST, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy, wait_reach
from tests.kit.lab.ready import require_lab
from tests.kit.lab.web import WebEcho

pytestmark = pytest.mark.real

MEMBERS_PORT: Final = 80
CI_PORT: Final = 8443
PORTS: Final = (MEMBERS_PORT, CI_PORT)
OWNERS: Final = {"tag:server": ["alice@example.com"], "tag:ci": [], "tag:other": []}


def rule(source: str, port: int) -> dict[str, Any]:
    return {"action": "accept", "src": [source], "proto": "tcp", "dst": [f"tag:server:{port}"]}


def policy(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"tagOwners": OWNERS, "acls": list(rules)}


class Story:
    """Who plays."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        self.n2 = TailscaleClient(VERSIONS[2], lab.host("n2"))
        self.n3 = TailscaleClient(OLDEST, lab.host("n3"))
        self.clients = (self.n1, self.n2, self.n3)
        self.servers = (self.n1, self.n3)
        member, server = key_of(tailnet, "alice"), key_of(tailnet, "alice", "--tags", "tag:server")
        for client in self.clients:
            client.start()
            client.up(tailnet.url, server if client in self.servers else member)
            client.wait_running()
        for client in self.servers:
            for port in PORTS:
                WebEcho(lab, client.host.name, port)
        WebEcho(lab, self.n2.host.name, MEMBERS_PORT)
        self.wait_paths()

    def wait_paths(self) -> None:
        for client in self.servers:
            self.n2.wait_path(client)

    def wait_open(self, *ports: int) -> None:
        """Wait until n2 reaches these ports, and no other, on both servers."""
        wait_reach(
            self.n2,
            {f"http://{server.ip4()}:{port}/": port in ports for server in self.servers for port in PORTS},
        )

    def wait_back(self, *, is_open: bool) -> None:
        """Wait until the servers reach n2, or not."""
        for server in self.servers:
            wait_reach(server, {f"http://{self.n2.ip4()}:{MEMBERS_PORT}/": is_open})

    def map_sessions(self) -> list[int]:
        return [client.map_sessions() for client in self.clients]


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Iterator[Story]:
    require_lab((OLDEST,))
    told = Story(lab, tailnet)
    yield told
    for client in told.clients:
        client.stop()


@pytest.fixture(autouse=True)
def _one_map_session(request: pytest.FixtureRequest, story: Story) -> Iterator[None]:
    """Hold every test of this file against rule one: nobody's map session is begun anew, whatever is decided."""
    before = story.map_sessions()
    yield
    assert before == story.map_sessions() == [1, 1, 1], request.node.name


def test_before_a_policy_every_port_answers(story: Story) -> None:
    story.wait_open(*PORTS)
    story.wait_back(is_open=True)


def test_an_acl_opens_one_port_and_nothing_else(story: Story) -> None:
    set_policy(story.tailnet, policy(rule("autogroup:member", MEMBERS_PORT), rule("tag:ci", CI_PORT)))
    story.wait_open(MEMBERS_PORT)
    story.wait_back(is_open=False)
    assert set(story.n2.peers()) == {"n1", "n3"}
    assert set(story.n1.peers()) == set(story.n3.peers()) == {"n2"}


def test_new_clients_get_names_and_old_ones_addresses(story: Story) -> None:
    newest, oldest = story.n1.filter(), story.n3.filter()
    assert [ports_of(rule) for rule in newest] == [{MEMBERS_PORT}, {CI_PORT}]
    assert [rule["Srcs"] for rule in newest] == [[], []]
    assert all(name.startswith("netmap.internal/set/") for rule in newest for name in rule["SrcCaps"])
    assert all(len(rule["SrcCaps"]) == 1 for rule in newest)
    assert [ports_of(rule) for rule in oldest] == [{MEMBERS_PORT}], "a rule without sources is left out"
    assert set(oldest[0]["Srcs"]) == {f"{story.n2.ip4()}/32", f"{story.n2.ip6()}/128"}
    assert not oldest[0]["SrcCaps"]


def test_a_new_tag_closes_one_port_and_opens_another(story: Story) -> None:
    named = story.n1.filter()
    story.tailnet.cli("node", "tag", "n2", "tag:ci")
    story.wait_open(CI_PORT)
    assert story.n1.filter() == named, "who has a name is no matter of the filter"
    assert [ports_of(rule) for rule in story.n3.filter()] == [{CI_PORT}]
    assert story.n1.peers()["n2"]["Tags"] == ["tag:ci"]


def test_an_edit_closes_one_port_and_opens_another(story: Story) -> None:
    set_policy(story.tailnet, policy(rule("tag:ci", MEMBERS_PORT)))
    story.wait_open(MEMBERS_PORT)
    set_policy(story.tailnet, policy(rule("tag:ci", MEMBERS_PORT), rule("tag:ci", CI_PORT)))
    story.wait_open(*PORTS)


def test_a_policy_that_allows_nothing_leaves_nobody_a_peer(story: Story) -> None:
    set_policy(story.tailnet, policy())
    for client in story.clients:
        client.wait_no_peers()
        assert not client.status().get("Peer")
        assert not client.filter()
    story.wait_open()


def test_a_policy_that_is_ended_brings_everybody_back(story: Story) -> None:
    set_policy(story.tailnet, {})
    story.wait_paths()
    story.wait_open(*PORTS)


def test_a_tag_is_refused_to_whom_it_does_not_belong(lab: Lab, tailnet: Cluster, story: Story) -> None:
    set_policy(story.tailnet, policy(rule("autogroup:member", MEMBERS_PORT)))
    client = TailscaleClient(VERSIONS[1], lab.host("n4"), mode="userspace")
    client.start()
    asking = (tailnet.url, key_of(tailnet, "bob"), "--advertise-tags=tag:server")
    with pytest.raises(AssertionError, match="tags are not defined, or not yours to give"):
        client.up(*asking)
    assert client.backend_state() == "NeedsLogin"
    assert "n4" not in names(tailnet)
    client.up(tailnet.url, key_of(tailnet, "alice"), "--advertise-tags=tag:server")
    client.wait_running()
    assert names(tailnet)["n4"]["tags"] == ["tag:server"]
    assert client.status()["Self"]["Tags"] == ["tag:server"]
    client.stop()


def names(tailnet: Cluster) -> Mapping[str, Any]:
    return {node["name"]: node for node in tailnet.ask("node", "list")["nodes"]}


def ports_of(compiled: Mapping[str, Any]) -> set[int]:
    """The ports of a rule that opens single ones."""
    spans = [where["Ports"] for where in compiled["Dsts"]]
    assert all(span["First"] == span["Last"] for span in spans)
    return {span["First"] for span in spans}
