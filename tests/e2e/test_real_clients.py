"""Real Tailscale clients of three generations: log in, see each other, carry TCP, outlive our restarts, log out.

The tests of this file are one story on one tailnet, told in order.
"""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.web import WebEcho
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real
PORT = 8000


@pytest.fixture(scope="module")
def clients(lab: Lab) -> Iterator[dict[str, TailscaleClient]]:
    """The newest in TUN mode, the next in userspace, the oldest in TUN mode; each with a web server beside it."""
    modes = ("tun", "userspace", "tun")
    made: dict[str, TailscaleClient] = {}
    for number, (version, mode) in enumerate(zip(VERSIONS, modes, strict=True), 1):
        name = f"n{number}"
        made[name] = TailscaleClient(version, lab.host(name), mode=mode)  # type: ignore[arg-type]
        made[name].start()
        WebEcho(lab, name, PORT)
    yield made
    for client in made.values():
        client.stop()


def node(tailnet: Cluster, name: str) -> dict[str, Any]:
    nodes = tailnet.ask("node", "list")["nodes"]
    found: dict[str, Any] = next(node for node in nodes if node["name"] == name)
    return found


def see_each_other(clients: dict[str, TailscaleClient]) -> None:
    for one, other in permutations(clients, 2):
        clients[one].wait_peer(other, lambda peer: peer.get("Online"), timeout=20)


def carry_tcp(clients: dict[str, TailscaleClient]) -> None:
    for one, other in permutations(clients.values(), 2):
        one.wait_path(other)
        fetched = one.curl(f"http://{other.ip4()}:{PORT}/")
        assert fetched.status == 200, (one.host.name, other.host.name, fetched)


def test_clients_log_in_with_a_key(tailnet: Cluster, clients: dict[str, TailscaleClient]) -> None:
    key = tailnet.auth_key()
    for name in ("n1", "n2"):
        clients[name].up(tailnet.url, key)
        clients[name].wait_running()
    assert clients["n1"].ip4() == "100.64.0.1"


def test_a_client_logs_in_when_somebody_approves(
    tailnet: Cluster, clients: dict[str, TailscaleClient]
) -> None:
    page = clients["n3"].up_interactive(tailnet.url)
    assert page.startswith(f"{tailnet.url}/register/")
    waiting = tailnet.ask("auth", "list")
    assert [login["hostname"] for login in waiting] == ["n3"]
    tailnet.cli("auth", "approve", page.rpartition("/")[2], "--user", "alice")
    clients["n3"].wait_login(timeout=5)
    clients["n3"].wait_running()
    assert tailnet.ask("auth", "list") == []


def test_a_client_that_is_turned_away_hears_why(lab: Lab, tailnet: Cluster) -> None:
    client = TailscaleClient(VERSIONS[0], lab.host("n4"), mode="userspace")
    client.start()
    page = client.up_interactive(tailnet.url)
    tailnet.cli("auth", "reject", page.rpartition("/")[2])
    with pytest.raises(AssertionError, match=r"reject|turned away"):
        client.wait_login(timeout=10)
    assert client.backend_state() == "NeedsLogin"
    client.stop()


def test_they_see_each_other_and_carry_tcp_both_ways(clients: dict[str, TailscaleClient]) -> None:
    see_each_other(clients)
    carry_tcp(clients)


def test_they_outlive_a_restart_of_every_server_process(
    tailnet: Cluster, clients: dict[str, TailscaleClient]
) -> None:
    keys = {name: client.node_key() for name, client in clients.items()}
    tailnet.restart()
    tailnet.cli("node", "rename", "n2", "renamed")
    for name in ("n1", "n3"):
        clients[name].wait_peer("renamed", lambda peer: peer.get("Online"), timeout=40)
    tailnet.cli("node", "rename", "renamed", "n2")
    see_each_other(clients)
    carry_tcp(clients)
    assert {name: client.node_key() for name, client in clients.items()} == keys
    assert all(client.backend_state() == "Running" for client in clients.values())


def test_a_client_restarts_without_a_new_login(tailnet: Cluster, clients: dict[str, TailscaleClient]) -> None:
    before = node(tailnet, "n3")
    clients["n3"].restart()
    clients["n3"].wait_running()
    assert node(tailnet, "n3")["nodeKey"] == before["nodeKey"]
    see_each_other(clients)


def test_a_killed_client_is_shown_offline(tailnet: Cluster, clients: dict[str, TailscaleClient]) -> None:
    clients["n3"].kill()
    clients["n1"].wait_peer("n3", lambda peer: not peer.get("Online"), timeout=40)
    clients["n3"].start()
    clients["n1"].wait_peer("n3", lambda peer: peer.get("Online"), timeout=20)


def test_a_client_whose_key_is_expired_needs_a_login(
    tailnet: Cluster, clients: dict[str, TailscaleClient]
) -> None:
    before = node(tailnet, "n2")
    tailnet.cli("node", "expire", "n2")
    clients["n2"].wait_state("NeedsLogin")
    clients["n2"].up(tailnet.url, tailnet.auth_key())
    clients["n2"].wait_running()
    after = node(tailnet, "n2")
    assert (after["id"], after["ipv4"]) == (before["id"], before["ipv4"])
    assert after["nodeKey"] != before["nodeKey"]
    see_each_other(clients)


@pytest.mark.parametrize("name", ["n1", "n2", "n3"])
def test_a_client_logs_out_and_comes_back_as_the_same_node(
    tailnet: Cluster, clients: dict[str, TailscaleClient], name: str
) -> None:
    before = node(tailnet, name)
    watcher = clients["n1" if name != "n1" else "n2"]
    clients[name].logout()
    assert clients[name].backend_state() == "NeedsLogin"
    watcher.wait_peer(name, lambda peer: not peer.get("Online") or peer.get("Expired"), timeout=40)
    assert node(tailnet, name)["expired"]
    clients[name].up(tailnet.url, tailnet.auth_key())
    clients[name].wait_running()
    after = node(tailnet, name)
    assert (after["id"], after["ipv4"]) == (before["id"], before["ipv4"])
    watcher.wait_peer(name, lambda peer: peer.get("Online"), timeout=20)


def test_an_ephemeral_client_is_gone_when_it_logs_out(lab: Lab, tailnet: Cluster) -> None:
    client = TailscaleClient(VERSIONS[0], lab.host("n4"), mode="userspace", state="mem")
    client.start()
    client.up(tailnet.url, tailnet.auth_key("--ephemeral"))
    client.wait_running()
    assert node(tailnet, "n4")["ephemeral"]
    client.stop()
    assert "n4" not in {node["name"] for node in tailnet.ask("node", "list")["nodes"]}


def test_an_ephemeral_client_that_is_killed_is_gone_after_a_while(lab: Lab, tailnet: Cluster) -> None:
    client = TailscaleClient(VERSIONS[1], lab.host("n5"), mode="userspace")
    client.start()
    client.up(tailnet.url, tailnet.auth_key("--ephemeral"))
    client.wait_running()
    client.kill()
    wait_until(
        lambda: "n5" not in {node["name"] for node in tailnet.ask("node", "list")["nodes"]},
        "the node is gone",
        timeout=60,
        every=1,
    )
