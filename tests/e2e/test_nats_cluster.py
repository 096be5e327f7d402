"""A cluster of three nats-servers with TLS: rights, certificates, and what is left when servers go or lose everything.

One engine and one projection on SQLite: what is asked here is about the brokers.
"""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.context import Context, context_path, inbox_of
from engine.adapters.bus.nats import NatsBus, open_bus
from engine.adapters.bus.server_config import ROLES
from engine.config import Settings
from engine.ports import Fault
from tests.e2e.test_bundled_server import MAY_NOT_ASK
from tests.kit.cluster import CliError, Cluster, Size
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real
OWN = "netmap.v1.default"
SETTLED_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("brokers")
    with Cluster(folder, size=Size(brokers=3, tls=True)) as made:
        made.start()
        made.wait_answers()
        yield made


def context(cluster: Cluster, role: str) -> Context:
    return msgspec.json.decode(context_path(str(cluster.directory), role).read_bytes(), type=Context)


def ensured(cluster: Cluster, *flags: str) -> dict[str, dict[str, Any]]:
    """What `admin nats ensure` says of each thing, whether it is content or not."""
    argv = ("admin", "nats", "ensure", "--replicas", "3", *flags, "-o", "json")
    try:
        text = cluster.cli(*argv, timeout=SETTLED_SECONDS)
    except CliError as error:
        text = str(error).split("\n", 1)[1]
    return {row["what"]: row for row in json.loads(text)}


def states(cluster: Cluster, *flags: str) -> set[str]:
    return {row["state"] for row in ensured(cluster, *flags).values()}


def is_whole(cluster: Cluster) -> bool:
    """Whether every stream is on three servers that have all of it."""
    rows = ensured(cluster, "--check")
    of_streams = [row["says"] for what, row in rows.items() if what.startswith("stream")]
    return {row["state"] for row in rows.values()} == {"ok"} and all(
        "3 of 3 servers current" in says for says in of_streams
    )


def creates(cluster: Cluster, name: str) -> None:
    """Send one command until it is accepted: while servers elect, a person tries again."""

    def accepted() -> bool:
        try:
            cluster.cli("user", "create", name, "--id", name)
        except CliError:
            return False
        return True

    wait_until(accepted, f"{name} is created", timeout=SETTLED_SECONDS)


def test_the_engine_made_everything_on_three_servers(cluster: Cluster) -> None:
    wait_until(partial(is_whole, cluster), "every stream is on three servers", timeout=SETTLED_SECONDS)
    rows = ensured(cluster, "--check")
    assert sum(what.startswith("server tls://") for what in rows) == 3
    assert {f"rights {role}" for role in ROLES if role != "engine"} <= rows.keys()


def test_drift_is_told_and_only_then_mended(cluster: Cluster) -> None:
    assert cluster.cli("admin", "nats", "ensure", "--check", "--replicas", "1", status=1, timeout=60)
    rows = ensured(cluster, "--check", "--replicas", "1")
    assert rows["stream NETMAP_CMDQ"]["state"] == "differs"
    assert "num_replicas 3 → 1" in rows["stream NETMAP_CMDQ"]["says"]
    assert ensured(cluster)["stream NETMAP_CMDQ"]["state"] == "ok"


async def test_another_authority_is_not_believed(cluster: Cluster, tmp_path: Path) -> None:
    cluster.cli("admin", "nats", "certs", "--into", str(tmp_path))
    good = context(cluster, "operator")
    other = msgspec.structs.replace(good, ca=str(tmp_path / "operator/ca.pem"))
    with pytest.raises(Fault):
        await NatsBus.connect(good.url.split(","), name="x", credentials=other, within=2)
    strange = msgspec.structs.replace(
        good, cert=str(tmp_path / "operator/cert.pem"), key=str(tmp_path / "operator/key.pem")
    )
    for refused in (strange, msgspec.structs.replace(good, cert="", key="")):
        with pytest.raises(Fault):
            await NatsBus.connect(good.url.split(","), name="x", credentials=refused, within=2)
    bus = await NatsBus.connect(good.url.split(","), name="x", credentials=good)
    await bus.close()


async def test_a_password_is_not_told_to_a_server_in_clear(cluster: Cluster) -> None:
    heard = bytearray()

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "x", "version": "2.15.1", "max_payload": 1048576, "proto": 1, "headers": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while data := await reader.read(4096):
            heard.extend(data)
        writer.close()

    good = context(cluster, "operator")
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        for url in (f"tls://127.0.0.1:{port}", f"nats://127.0.0.1:{port}"):
            with pytest.raises(Fault):
                await NatsBus.connect([url], name="x", credentials=good, within=1)
    assert heard[:1] == b"\x16"  # a TLS handshake (RFC 8446, §5.1)
    assert good.password.encode() not in heard


async def test_nobody_may_more_than_its_role(cluster: Cluster) -> None:
    settings = Settings(directory=str(cluster.directory))
    for role in ROLES:
        bus = await open_bus(settings, role, name=role)
        for who, subject in MAY_NOT_ASK:
            if who == role:
                with pytest.raises(Fault):
                    await bus.request(subject, b"", timeout=0.1)
        await bus.close()
    stolen = msgspec.structs.replace(
        context(cluster, "frontend"), user="engine", inbox_prefix=inbox_of("engine")
    )
    with pytest.raises(Fault):
        await NatsBus.connect(stolen.url.split(","), name="x", credentials=stolen, within=1)


def test_any_server_may_be_killed_and_all_rolled(cluster: Cluster) -> None:
    for name in cluster.nats:
        cluster.kill(name)
        creates(cluster, f"without-{name}")
        cluster.start(name)
        wait_until(partial(is_whole, cluster), f"{name} is back", timeout=SETTLED_SECONDS)
    for name in cluster.nats:
        cluster.procs[name].terminate()
        cluster.start(name)
        wait_until(partial(is_whole, cluster), f"{name} is back", timeout=SETTLED_SECONDS)
    creates(cluster, "after-all")


def test_a_server_that_lost_its_data_gets_them_again(cluster: Cluster) -> None:
    assert cluster.brokers is not None
    before = ensured(cluster, "--check")["stream NETMAP_EVENTS"]["says"].split(" ")[0]
    cluster.kill("nats1")
    cluster.brokers.wipe("nats1")
    cluster.start("nats1")
    wait_until(partial(is_whole, cluster), "the data are on three servers", timeout=SETTLED_SECONDS)
    assert ensured(cluster, "--check")["stream NETMAP_EVENTS"]["says"].split(" ")[0] == before


def test_all_data_may_be_lost(cluster: Cluster) -> None:
    """The log has everything: streams come back, events are told again, commands are done."""
    assert cluster.brokers is not None
    for name in cluster.nats:
        cluster.kill(name)
    for name in cluster.nats:
        cluster.brokers.wipe(name)
    cluster.start(*cluster.nats)
    creates(cluster, "after-the-loss")
    wait_until(partial(is_whole, cluster), "every stream is there again", timeout=SETTLED_SECONDS)
    wait_until(partial(_told_all, cluster), "every event is told", timeout=SETTLED_SECONDS)


def _told_all(cluster: Cluster) -> bool:
    found = cluster.ask("events", "stream", "get")
    return bool(found["told"] == found["position"])
