"""The drill: a directory is destroyed while it was in use, and comes back from a backup, as another history."""

import asyncio
import json
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from frontends.wire.noise import PrivateKey
from tests.kit.control_client import connect, new_key, server_key
from tests.kit.operator import operator
from tests.kit.serving import REGISTER, Serving

pytestmark = pytest.mark.real
CONNECT = (
    "netmap node add-wg-connection --node-id laptop --wg-peer-id mullvad-exit --ipv4-masq-addr 10.64.0.1"
)


def types(serving: Serving, line: str) -> str:
    """Type a line that works; return what it wrote."""
    done = serving.types(line)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lists(serving: Serving) -> dict[str, Any]:
    """What there is."""
    lines = ("user list", "node list", "wg list", "preauthkey list")
    found = {line: json.loads(types(serving, f"netmap {line} -o json")) for line in lines}
    for node in found["node list"]["nodes"]:
        for name in set(node) - {
            "id",
            "stableId",
            "name",
            "fqdn",
            "nodeKey",
            "machineKey",
            "addresses",
            "user",
        }:
            del node[name]  # some of it is soft state, which is in no backup
    return found


def epoch(serving: Serving) -> str:
    """The epoch of which the projection's answers are."""

    async def ask() -> str:
        async with operator(serving.directory) as asking:
            return str((await asking.ask("head", "get"))["epoch"])

    return asyncio.run(ask())


class Client:
    """A model client that keeps its keys, and what it took for the server's."""

    def __init__(self) -> None:
        self._machine, self._node = PrivateKey(os.urandom(32)), new_key()
        self._public: bytes | None = None

    async def register(self, listen: str, auth_key: str) -> None:
        """Join."""
        host, port = listen.split(":")
        self._public = await server_key(host, int(port))
        async with connect(host, int(port), self._machine, public=self._public) as client:
            answer = await client.register(self._node, auth_key=auth_key, hostinfo={"Hostname": "laptop"})
            assert answer["MachineAuthorized"], answer

    async def sees(self, listen: str) -> tuple[Any, Any]:
        """Come again without registering; return this node's addresses and its peers' keys."""
        host, port = listen.split(":")
        async with connect(host, int(port), self._machine, public=self._public) as client:
            stream = await client.map_stream(self._node)
            await stream.next()
            view = stream.view
            assert view.node is not None
            return view.node["Addresses"], {number: peer["Key"] for number, peer in view.peers.items()}


def test_a_destroyed_directory_comes_back_under_a_new_epoch(serving: Serving, tmp_path: Path) -> None:
    serving.start()
    types(serving, "netmap user create alice")
    auth = json.loads(types(serving, "netmap preauthkey create --user alice -o json"))["result"]["key"]
    client = Client()
    asyncio.run(client.register(serving.listen, auth))
    types(serving, REGISTER)
    types(serving, CONNECT)
    seen = asyncio.run(client.sees(serving.listen))
    assert list(seen[1]) == [100000001]
    there, old = lists(serving), epoch(serving)
    kept = tmp_path / "kept"
    kept.write_text(types(serving, "netmap events checkpoint"))
    key = types(serving, "netmap events key").strip()

    said = json.loads(types(serving, f"netmap backup {tmp_path} --with-keys -o json"))
    assert (said["epoch"], said["checkpoint"]) == (old, True)
    types(serving, "netmap user create lost")  # after the backup: it will be gone

    assert serving.proc is not None
    serving.proc.kill()
    os.kill(
        int(next(serving.directory.rglob("nats.pid")).read_text()), signal.SIGKILL
    )  # it outlives its parent
    shutil.rmtree(serving.directory)
    done = serving.types(f"netmap restore {said['file']} --reason 'the disk burnt' -o json")
    assert done.returncode == 0, done.stderr
    restored = json.loads(done.stdout)
    assert (restored["was"], restored["records"]) == (old, said["records"] + 1)

    serving.start()
    assert lists(serving) == there
    assert asyncio.run(client.sees(serving.listen)) == seen
    assert epoch(serving) == restored["epoch"] != old
    assert types(serving, "netmap events key").strip().rpartition("+")[2] == key.rpartition("+")[2]
    verified = json.loads(types(serving, f"netmap events verify --checkpoints {kept} --key {key} -o json"))
    assert verified["holds"]
    assert verified["signed"] >= 1
    assert (serving.directory / "checkpoints").read_text().startswith(f"netmap-engine/default/{old}\n")
    types(serving, "netmap user create found")
    [begun] = [
        event
        for event in json.loads(types(serving, "netmap events list --grep 'the disk burnt' -o json"))
        if event["type"] == "LogStarted.v1"
    ]
    assert (begun["cause"], begun["position"]) == ("restore", restored["position"])
    serving.interrupt()
    again = serving.types(f"netmap restore {said['file']}")
    assert "records already" in again.stderr
    assert again.returncode == 5


def test_a_backup_while_commands_run_is_one_moment(serving: Serving, tmp_path: Path) -> None:
    serving.start()
    stop, names = threading.Event(), []

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            if serving.types(f"netmap user create u{number}").returncode == 0:
                names.append(f"u{number}")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        said = json.loads(types(serving, f"netmap backup {tmp_path}/while.zip -o json"))
    finally:
        stop.set()
        worker.join()
    moment = json.loads(types(serving, f"netmap events list --until {said['position']} --limit 1000 -o json"))
    serving.interrupt()
    serving.directory = tmp_path / "other"
    types(serving, f"netmap restore {tmp_path}/while.zip")
    serving.start()
    events = json.loads(types(serving, f"netmap events list --until {said['position']} --limit 1000 -o json"))
    assert events == moment
    users = [user["name"] for user in json.loads(types(serving, "netmap user list -o json"))]
    assert users == names[: len(users)]
