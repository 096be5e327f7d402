"""A day of a real client: what it held at each moment, by its LocalAPI, is what `netmap netmap show --at` says it was told then.

    n1  the newest client, whose day it is     n2  an older one that comes, changes and goes

After each step of the day it is waited until the client holds what is told now, and that is written down, by itself: its own netmap,
with the position of the log. In the evening the log is asked about every moment of the day.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy
from tests.kit.lab.ready import require_lab
from tests.kit.lab.relay import fresh_key
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real
RELAY: Final = "100000001"
PAIR: Final = ("--node-id", "n1", "--wg-peer-id", RELAY)
Held = dict[int, dict[str, object]]


class Moment(NamedTuple):
    """What the client held when the log was at the position, and after which step."""

    step: str
    position: int
    held: Held


def held_by(client: TailscaleClient) -> Held:
    """The client's own netmap, in the words of the command line."""
    return {peer["ID"]: _of_client(peer) for peer in client.netmap()["Peers"] or ()}


def _of_client(peer: dict[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {
        "fqdn": peer["Name"].rstrip("."),
        "key": peer["Key"],
        "addresses": {address.partition("/")[0] for address in peer["Addresses"]},
        "routes": set(peer["AllowedIPs"]) - set(peer["Addresses"]),
    }
    if peer.get("IsWireGuardOnly"):
        found["endpoints"] = set(peer["Endpoints"])
        found["as"] = [peer.get(f"SelfNodeV{n}MasqAddrForThisPeer") or "" for n in (4, 6)]
    return found


def told(tailnet: Cluster, *at: str) -> tuple[int, Held]:
    """What the node is told, now or then, and at which position that is."""
    reply = tailnet.ask("netmap", "show", "--node", "n1", *at)
    found: Held = {}
    for peer in reply["peers"]:
        addresses = {peer["ipv4"], peer["ipv6"]}
        found[peer["id"]] = {
            "fqdn": peer["fqdn"],
            "key": peer["nodeKey"],
            "addresses": addresses,
            "routes": set(peer["routes"]),
        }
    for peer in reply["wireguardOnlyPeers"]:
        found[peer["id"]] = {
            "fqdn": peer["fqdn"],
            "key": peer["publicKey"],
            "addresses": {peer["ipv4"], peer["ipv6"]},
            "routes": set(peer["allowedIps"]),
            "endpoints": set(peer["endpoints"]),
            "as": [peer["ipv4MasqAddr"], peer["ipv6MasqAddr"]],
        }
    return reply["position"], found


class Day:
    """A client, its tailnet, and the moments that were written down."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        require_lab()
        self.tailnet = tailnet
        self.moments: list[Moment] = []
        self.n1 = TailscaleClient(LATEST, lab.host("n1"))
        self.n2 = TailscaleClient(VERSIONS[2], lab.host("n2"), mode="userspace")
        self.key = key_of(tailnet, "alice")
        self.join(self.n1)

    def join(self, client: TailscaleClient) -> None:
        client.start()
        client.up(self.tailnet.url, self.key)
        client.wait_running()

    def step(self, name: str, work: Callable[[], object]) -> None:
        """Do something, wait until the client holds what is told now, and write that down."""
        work()
        position, expected = told(self.tailnet)
        wait_until(
            lambda: held_by(self.n1) == expected,
            f"n1 holds what it is told after {name}",
            timeout=30,
            every=0.2,
        )
        self.moments.append(Moment(name, position, held_by(self.n1)))

    def types(self, *words: str) -> Callable[[], object]:
        return lambda: self.tailnet.cli(*words)


def test_what_a_client_held_all_day_is_what_history_says_it_was_told(lab: Lab, tailnet: Cluster) -> None:
    day = Day(lab, tailnet)
    register = ("node", "register-wg-only", "--name", "relay", "--user", "alice", "--public-key", fresh_key())
    day.step("morning", lambda: None)
    day.step("n2 comes", lambda: day.join(day.n2))
    day.step(
        "a relay is registered",
        day.types(*register, "--allowed-ips", "0.0.0.0/0,::/0", "--endpoints", "203.0.113.9:51820"),
    )
    day.step("connected", day.types("node", "add-wg-connection", *PAIR, "--ipv4-masq-addr", "10.64.0.2"))
    day.step(
        "renumbered",
        day.types(
            "node",
            "update-wg-connection",
            *PAIR,
            "--ipv4-masq-addr",
            "10.64.0.3",
            "--ipv6-masq-addr",
            "fc00::3",
        ),
    )
    day.step("renamed", day.types("node", "rename", "n2", "desk"))
    day.step("moved", day.types("wg", "update", "relay", "--endpoints", "203.0.113.10:51820"))
    day.step("disabled", day.types("wg", "disable", "relay"))
    day.step("enabled", day.types("wg", "enable", "relay"))
    day.step(
        "shut off",
        lambda: set_policy(tailnet, {"acls": [{"action": "accept", "src": ["bob@"], "dst": ["bob@:*"]}]}),
    )
    day.step("let in again", day.types("policy", "set", "--none"))
    day.step("disconnected", day.types("node", "remove-wg-connection", *PAIR))
    day.step("reverted", lambda: tailnet.cli("events", "revert", str(day.moments[-1].position), "--yes"))
    day.step("n2 goes", day.types("node", "delete", "desk", "--force"))

    for moment in day.moments:
        position, then = told(tailnet, "--at", str(moment.position))
        assert (position, then) == (moment.position, moment.held), moment.step
    helds = [moment.held for moment in day.moments]
    same = [day.moments[n].step for n in range(1, len(helds)) if helds[n] == helds[n - 1]]
    assert same == ["a relay is registered"], "a step that changes nothing proves nothing"
    ids = [set(held) for held in helds]
    assert ids[3] == {2, int(RELAY)}
    assert ids[9] == {int(RELAY)}, "the policy takes n2 away, and connections stay (mode bypass)"
