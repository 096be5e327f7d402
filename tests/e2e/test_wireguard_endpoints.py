"""E24–E26, N27: where a WireGuard-only peer is may change under a client that uses it, and nobody selects anything again.

The far sides are real wireguard-go on two hosts; names are answered by a server that reads them from a file. The tests of
this file are one story, told in order; the numbers are those of the reference's check list.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, TailscaleClient
from tests.kit.lab.dns import NameServer, write_zone
from tests.kit.lab.net import Lab
from tests.kit.lab.web import WebEcho
from tests.kit.lab.wireguard import WireGuardGo
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

EXIT: Final = "exit"
HOME: Final = "home.example.org"
FIRST, OTHER, SECOND, NOBODY = "203.0.113.50", "203.0.113.51", "203.0.113.60", "203.0.113.99"
"""The far side by either of its addresses, the second far side, and an address that nobody has."""
NODE: Final = "203.0.113.21"


class Story:
    """Who plays: a client, two far sides, the web, a name server."""

    def __init__(self, lab: Lab, tailnet: Cluster, folder: Path) -> None:
        self.tailnet = tailnet
        self.web = WebEcho(lab)
        self.zone = folder / "zone"
        self.names({})
        # Where every host of the lab looks names up: its resolv.conf says so.
        self.dns = NameServer(lab.host("web"), lab.host("web").ip4, f"@{self.zone}")
        self.first = WireGuardGo(lab.host("wg"))
        self.second = WireGuardGo(lab.host("wg2"))
        self.n1 = TailscaleClient(LATEST, lab.host("n1"), mode="tun")
        self.n1.start()
        self.n1.up(tailnet.url, tailnet.auth_key())
        self.n1.wait_running()

    def names(self, names: dict[str, tuple[str, ...]]) -> None:
        write_zone(self.zone, names)

    def row(self) -> Any:
        return self.tailnet.ask("wg", "get", EXIT)

    def export_to(self, side: WireGuardGo) -> None:
        lines = self.tailnet.cli("wg", "export", "--peer", EXIT, "--format", "wg-set", "--interface", "wgr0")
        side.host.run(["sh", "-ec", lines])

    def seen(self) -> str:
        """The address that the web sees, or nothing."""
        return self.n1.curl(self.web.url4, timeout=5).body

    def wait_seen(self, address: str) -> None:
        wait_until(lambda: self.seen() == address, f"the web sees {address}", timeout=60)

    def selected(self) -> str:
        """What the client has selected as its exit: a stable id."""
        return str(json.loads(self.n1.cli("debug", "prefs"))["ExitNodeID"])

    def wait_sent_to(self, address: str) -> None:
        """Return when the client's packets arrive at this address of the far side, and traffic passes."""
        capture = self.first.tcpdump(f"udp and dst host {address} and dst port 51820", "e0")
        self.wait_seen(FIRST)
        wait_until(
            lambda: self.seen() == FIRST and NODE in capture.sources(), f"packets to {address}", timeout=60
        )
        capture.stop()

    def wait_places(self, *places: str) -> None:
        wait_until(lambda: self.row()["places"] == list(places), f"the exit is at {places}", timeout=30)


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    told = Story(lab, tailnet, tmp_path_factory.mktemp("names"))
    yield told
    told.n1.stop()


def test_e24_one_dead_endpoint_of_two_harms_nothing(story: Story) -> None:
    story.tailnet.cli(
        *("node", "register-wg-only", "--name", EXIT, "--user", "1", "--public-key", story.first.public_key),
        *("--allowed-ips", "0.0.0.0/0,::/0", "--endpoints", f"{NOBODY}:51820,{FIRST}:51820"),
    )
    node = str(story.tailnet.ask("node", "list")["nodes"][0]["id"])
    story.tailnet.cli(
        *("node", "add-wg-connection", "--node-id", node, "--wg-peer-id", EXIT),
        *("--ipv4-masq-addr", "10.64.0.2", "--ipv6-masq-addr", "fc00:bbbb::2"),
    )
    story.export_to(story.first)
    story.n1.wait_peer(EXIT)
    story.n1.set(f"--exit-node={EXIT}")
    story.wait_seen(FIRST)
    assert [story.seen() for _ in range(6)] == [FIRST] * 6


def test_e25_a_changed_endpoint_is_used_without_selecting_again(story: Story) -> None:
    before = story.selected()
    story.tailnet.cli("wg", "update", EXIT, "--endpoints", f"{OTHER}:51820")
    story.wait_sent_to(OTHER)
    assert story.selected() == before != ""


def test_e25_a_name_that_moves_takes_its_clients_with_it(story: Story) -> None:
    before = story.selected()
    story.names({HOME: (FIRST,)})
    story.tailnet.cli("wg", "update", EXIT, "--endpoints", f"{HOME}:51820")
    story.wait_places(f"{FIRST}:51820")
    story.wait_sent_to(FIRST)
    story.names({HOME: (OTHER,)})
    story.wait_places(f"{OTHER}:51820")
    story.wait_sent_to(OTHER)
    assert story.selected() == before
    assert story.row()["endpoints"] == [f"{HOME}:51820"]


def test_n27_lookups_that_fail_keep_the_last_good_address(story: Story) -> None:
    story.names({})
    wait_until(
        lambda: story.row()["hosts"][0].get("failingSince"), "the lookups are told to fail", timeout=30
    )
    assert story.row()["places"] == [f"{OTHER}:51820"]
    assert story.row()["hosts"][0]["failure"] == "there is no such name"
    assert "lookup fails" in story.tailnet.cli("wg", "list")
    story.wait_seen(FIRST)
    story.names({HOME: (OTHER,)})
    wait_until(
        lambda: not story.row()["hosts"][0].get("failingSince"), "the lookups are well again", timeout=30
    )


def test_n27_after_a_restart_of_the_engine_the_address_is_known(story: Story) -> None:
    story.names({})
    story.tailnet.kill("engine")
    story.tailnet.start("engine")
    assert story.row()["places"] == [f"{OTHER}:51820"]
    story.wait_seen(FIRST)
    story.names({HOME: (FIRST,)})
    story.wait_places(f"{FIRST}:51820")


def test_e26_a_switch_to_another_far_side_selects_nothing_again(story: Story) -> None:
    before, row = story.selected(), story.row()
    story.tailnet.cli(
        *("wg", "backend", "set", EXIT, "second", "--public-key", story.second.public_key),
        *("--endpoints", f"{SECOND}:51820"),
    )
    story.export_to(story.second)
    story.wait_seen(FIRST)
    story.tailnet.cli("wg", "switch", EXIT, "second", "--reason", "maintenance")
    story.wait_seen(SECOND)
    after = story.row()
    assert story.selected() == before
    assert after["publicKeyBase64"] == story.second.public_key
    assert {name: after[name] for name in ("id", "stableId", "ipv4", "ipv6")} == {
        name: row[name] for name in ("id", "stableId", "ipv4", "ipv6")
    }
    story.tailnet.cli("wg", "switch", EXIT, "main")
    story.wait_seen(FIRST)
    assert story.selected() == before
