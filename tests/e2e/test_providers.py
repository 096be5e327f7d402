"""Nodes at a VPN provider, with the real processes and a provider of our own on loopback (scenario N26).

The canary: the account number is in no file of the directory, no log line and no answer.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frontends.wire.noise import PrivateKey
from tests.kit.cluster import Cluster
from tests.kit.control_client import connect, new_key
from tests.kit.procs import wait_until
from tests.kit.provided import SEALED
from tests.kit.provider_server import ProviderServer

pytestmark = pytest.mark.real
CANARY = "4815162342108108"
PATIENCE = 30.0


class Stage:
    """A deployment, a provider, and machines that log in."""

    def __init__(self, cluster: Cluster, server: ProviderServer, folder: Path) -> None:
        self.cluster = cluster
        self.server = server
        self.account = folder / "account"
        self.account.write_text(f"{CANARY[:8]} {CANARY[8:]}\n")
        self.machines: dict[str, PrivateKey] = {}
        self.key = ""

    def begin(self, *, quota: int = 5, kind: str = "http") -> None:
        self.key = self.cluster.auth_key()
        self.say(
            "provider", "add", "vpn", "--kind", kind, "--url", self.server.base, "--quota", str(quota),
            "--account-file", str(self.account),
        )  # fmt: skip
        self.say(
            "wg", "register", "--name", "exit", "--user", "alice", "--provider", "vpn",
            "--public-key", "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=",
            "--allowed-ips", "0.0.0.0/0,::/0", "--endpoints", "198.51.100.7:51820",
        )  # fmt: skip

    def say(self, *words: str, status: int = 0) -> str:
        said = self.cluster.cli(*words, status=status)
        assert CANARY not in said
        return said

    async def join(self, name: str) -> None:
        """Log a machine in, with a fresh node key each time."""
        private = self.machines.setdefault(name, PrivateKey(os.urandom(32)))
        async with connect("127.0.0.1", self.cluster.port, private) as client:
            answer = await client.register(new_key(), auth_key=self.key, hostinfo={"Hostname": name})
            assert answer["MachineAuthorized"]

    def devices(self) -> dict[str, dict[str, Any]]:
        found = self.cluster.ask("provider", "get", "vpn")
        assert CANARY not in json.dumps(found)
        return {device["nodeName"]: device for device in found["devices"]}

    def becomes(self, name: str, **fields: Any) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            device = self.devices().get(name)
            return device if device and all(device[key] == value for key, value in fields.items()) else None

        return wait_until(there, f"{name} is {fields}", timeout=PATIENCE)

    def is_gone(self, name: str) -> None:
        wait_until(lambda: name not in self.devices(), f"{name} is gone", timeout=PATIENCE)

    def masquerades(self) -> dict[str, str]:
        return {row["nodeName"]: row["ipv4MasqAddr"] for row in self.cluster.ask("connection", "list")}

    def node_key(self, name: str) -> str:
        rows = self.cluster.ask("node", "list")["nodes"]
        return str(next(row["nodeKey"] for row in rows if row["name"] == name)).partition(":")[2]

    def keys(self) -> set[str]:
        return self.server.keys(CANARY)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ProviderServer(CANARY) as server:
        settings = {
            "NETMAP_OUTSIDE_CALLS": "true",
            "NETMAP_OUTSIDE_HOSTS": server.host,
            "NETMAP_OUTSIDE_LOOPBACK": "true",
            "NETMAP_LOG_LEVEL": "debug",
        }
        (tmp_path / "c").mkdir()
        with Cluster(tmp_path / "c", settings=settings) as cluster:
            cluster.start()
            made = Stage(cluster, server, tmp_path)
            yield made
            made.account.unlink()
            cluster.stop()
            leaked = [str(path) for path in tmp_path.rglob("*") if path.is_file() and has_canary(path)]
            assert not leaked, "the account number is in a file"


def has_canary(path: Path) -> bool:
    data = path.read_bytes()
    spaced = re.compile(rb"[\s.-]*".join(bytes([digit]) for digit in CANARY.encode()))
    return bool(spaced.search(data)) or CANARY.encode("utf-16-le") in data


def test_the_canary_is_found_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a 4815 1623-4210 8108 b")
    assert has_canary(path)
    path.write_text(SEALED)
    assert not has_canary(path)


@pytest.mark.parametrize("kind", ["http", "mullvad"])
async def test_a_node_is_registered_connected_and_withdrawn(stage: Stage, kind: str) -> None:
    stage.begin(kind=kind)
    await stage.join("laptop")
    refused = stage.cluster
    refused.cli("node", "add-wg-connection", "--node-id", "laptop", "--wg-peer-id", "exit", status=5)
    stage.say("provider", "enrol", "vpn", "laptop")
    device = stage.becomes("laptop", state="registered")
    assert stage.keys() == {stage.node_key("laptop")}
    stage.say("node", "add-wg-connection", "--node-id", "laptop", "--wg-peer-id", "exit")
    assert stage.masquerades() == {"laptop": device["ipv4"]}
    netmap = stage.cluster.ask("netmap", "show", "--node", "laptop")
    assert device["ipv4"] in json.dumps(netmap)
    stage.say("provider", "withdraw", "vpn", "laptop", "--cascade")
    stage.is_gone("laptop")
    assert (stage.keys(), stage.masquerades()) == (set(), {})
    who = {(row["type"], row["actor"]) for row in stage.cluster.ask("events", "list")}
    assert {
        ("DeviceWanted.v1", "operator"),
        ("DeviceRegistered.v1", "engine"),
        ("DeviceRevoked.v1", "engine"),
    } <= who


async def test_who_finds_no_place_waits_and_gets_the_next_that_is_free(stage: Stage) -> None:
    stage.begin(quota=1)
    for name in ("laptop", "phone"):
        await stage.join(name)
        stage.say("provider", "enrol", "vpn", name)
    stage.becomes("laptop", state="registered")
    assert stage.devices()["phone"]["state"] == "waiting"
    stage.say("node", "delete", "laptop", "--force")
    stage.becomes("phone", state="registered")
    assert stage.keys() == {stage.node_key("phone")}


async def test_an_account_that_is_full_without_us_is_told_and_tried_again_by_hand(stage: Stage) -> None:
    stage.server.quota = 0
    stage.begin()
    await stage.join("laptop")
    stage.say("provider", "enrol", "vpn", "laptop")
    assert stage.becomes("laptop", failure="provider.quota")["nextTry"] is None
    stage.server.quota = 1
    stage.say("provider", "enrol", "vpn", "laptop")
    stage.becomes("laptop", state="registered")


async def test_what_fails_for_a_while_is_tried_again_by_itself(stage: Stage) -> None:
    stage.begin()
    await stage.join("laptop")
    stage.server.plan += [("status", 503), ("junk", "<html>"), ("echo", 500)]
    stage.say("provider", "enrol", "vpn", "laptop")
    stage.becomes("laptop", state="registered")
    assert not stage.server.plan


async def test_a_new_node_key_moves_the_masquerade_addresses_and_is_the_only_one_left(stage: Stage) -> None:
    stage.begin()
    await stage.join("laptop")
    stage.say("provider", "enrol", "vpn", "laptop")
    before = stage.becomes("laptop", state="registered")
    stage.say("node", "add-wg-connection", "--node-id", "laptop", "--wg-peer-id", "exit")
    await stage.join("laptop")
    after = stage.becomes(
        "laptop", state="registered", revoking=0, nodeKey=f"nodekey:{stage.node_key('laptop')}"
    )
    assert after["ipv4"] != before["ipv4"]
    assert stage.masquerades() == {"laptop": after["ipv4"]}
    assert stage.keys() == {stage.node_key("laptop")}


async def test_an_engine_that_is_killed_between_the_call_and_its_report_goes_on_with_it(stage: Stage) -> None:
    stage.begin()
    await stage.join("laptop")
    stage.server.deaf = 1_000
    stage.say("provider", "enrol", "vpn", "laptop")
    wait_until(stage.keys, "the provider knows the key", timeout=PATIENCE)
    stage.cluster.kill("engine")
    kept = stage.server.device(CANARY, stage.node_key("laptop"))
    stage.server.deaf = 0
    stage.cluster.start("engine")
    assert stage.becomes("laptop", state="registered")["ipv4"] == kept["ipv4"]
    assert len(stage.keys()) == 1


async def test_a_selector_registers_its_nodes_and_connects_them(stage: Stage) -> None:
    stage.begin()
    await stage.join("laptop")
    stage.say("connection", "add-selector", "--selector", "alice", "--wg-peer-id", "exit")
    device = stage.becomes("laptop", state="registered")
    assert stage.masquerades() == {"laptop": device["ipv4"]}
    await stage.join("phone")
    stage.becomes("phone", state="registered")
    assert set(stage.masquerades()) == {"laptop", "phone"}
    stage.say("connection", "remove-selector", "--selector", "alice", "--wg-peer-id", "exit")
    for name in ("laptop", "phone"):
        stage.is_gone(name)
    assert stage.keys() == set()


async def test_without_a_word_in_the_settings_nobody_is_called(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with ProviderServer(CANARY) as server, Cluster(tmp_path / "c") as cluster:
        cluster.start()
        stage = Stage(cluster, server, tmp_path)
        stage.begin()
        await stage.join("laptop")
        stage.say("provider", "enrol", "vpn", "laptop")
        device = stage.becomes("laptop", failure="provider.off")
        assert "outside_calls" in device["word"]
        assert server.heard == []
        stage.say("provider", "withdraw", "vpn", "laptop")
        stage.is_gone("laptop")
        with pytest.raises(subprocess.CalledProcessError):
            subprocess.run(["grep", "-rq", CANARY, str(cluster.directory)], check=True)
