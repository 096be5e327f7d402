"""What `netmap admin nats ensure` finds on single servers, good and bad."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.adapters.bus.ensure import Finding, State, ensure, is_new_enough
from engine.adapters.bus.server import bundled
from engine.config import Settings
from tests.kit.nats_server import NatsServer

pytestmark = pytest.mark.real

WIDE = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}" }}
max_payload: 64KB
authorization {{ users: [ {{ user: engine, password: pe }} ] }}
"""
NARROW = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}" }}
authorization {{ users: [
  {{ user: engine, password: pe, permissions: {{ publish: ["$JS.API.>"], subscribe: ["_INBOX_engine.>"] }} }}
] }}
"""


def of(server: NatsServer, **more: object) -> Settings:
    return Settings(nats_urls=(server.url,), nats_user="engine", nats_password="pe", **more)  # type: ignore[arg-type]


def named(found: Sequence[Finding]) -> dict[str, Finding]:
    return {each.what: each for each in found}


async def test_the_bundled_server_is_as_it_should_be_and_stays_so(tmp_path: Path) -> None:
    async with bundled(Settings(directory=str(tmp_path), nats_port=0)) as settings:
        missing = await ensure(settings, change=False)
        assert {each.state for each in missing if each.what.startswith("stream")} == {State.MISSING}
        made = await ensure(settings, change=True)
        assert {each.state for each in made if each.what.startswith("stream")} == {State.MADE}
        again = await ensure(settings, change=False)
        assert {each.state for each in again} == {State.OK}, again
        assert {f"rights {role}" for role in ("operator", "admin", "frontend", "projection")} <= named(
            again
        ).keys()


async def test_rights_that_are_too_wide_are_told(tmp_path: Path) -> None:
    with NatsServer(tmp_path, WIDE) as server:
        found = named(await ensure(of(server), change=False))[f"server {server.url}"]
    assert found.state is State.WRONG
    for what in (
        "may hear _INBOX_operator.>",
        "may say netmap.v1.default.as.operator.cmd.",
        "max_payload 65536",
    ):
        assert what in found.says
    assert "pe" not in found.says.split()


async def test_rights_that_are_too_narrow_are_told(tmp_path: Path) -> None:
    with NatsServer(tmp_path, NARROW) as server:
        found = named(await ensure(of(server), change=False))[f"server {server.url}"]
    assert "may not hear netmap.v1.default.cmd.>, but must" in found.says
    assert "may hear" not in found.says


async def test_a_server_without_passwords_is_told(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        found = named(await ensure(of(server), change=False))[f"server {server.url}"]
    assert "lets anybody in without a password" in found.says


async def test_one_server_that_is_away_is_told_and_the_rest_is_done(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        settings = Settings(
            nats_urls=("nats://127.0.0.1:1", server.url), nats_user="engine", nats_password="pe"
        )
        found = named(await ensure(settings, change=True))
    assert found["server nats://127.0.0.1:1"].state is State.WRONG
    assert found["stream NETMAP_CMDQ"].state is State.MADE


async def test_more_replicas_than_servers_is_wrong(tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        found = named(await ensure(of(server, nats_replicas=3), change=True))
    assert found["stream NETMAP_CMDQ"].state is State.WRONG
    assert "replicas" in found["stream NETMAP_CMDQ"].says


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("2.12.11", False),
        ("2.12.12", True),
        ("2.13.9", False),
        ("2.14.2", False),
        ("2.14.3", True),
        ("2.15.1", True),
        ("3.0.0", True),
        ("2.9.10", False),
        ("2.14.3-RC.1", True),
        ("", False),
        ("new", False),
    ],
)
def test_versions_with_known_holes(version: str, good: bool) -> None:  # noqa: FBT001 (a table)
    assert is_new_enough(version) is good
