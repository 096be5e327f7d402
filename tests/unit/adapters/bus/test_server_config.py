"""The configuration of one server of a cluster: what a real nats-server makes of it, and what it must not say."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from engine.adapters.bus.server import binary
from engine.adapters.bus.server_config import ROLES, Member, Plan, Tls, render
from engine.domain.values import DEFAULT_TAILNET

MEMBER = Member(
    name="$NAME",
    listen="127.0.0.1:6222",
    password="$ROUTE",
    routes=("nats://route:canary-r@127.0.0.1:6222", "$OTHER"),
    health="127.0.0.1:8222",
)
ALONE = Plan(
    tailnet=DEFAULT_TAILNET,
    listen="127.0.0.1:4222",
    store_dir="/nowhere",
    passwords={role: f"canary-{role}" for role in ROLES},
)
VARIABLES = {"NAME": "n1", "ROUTE": "canary-r", "OTHER": "nats://route:canary-r@127.0.0.1:6223"}


def accepted(folder: Path, plan: Plan, variables: dict[str, str]) -> bool:
    path = folder / "nats.conf"
    path.write_text(render(plan))
    done = subprocess.run(
        [str(binary()), "-t", "-c", str(path)], check=False, capture_output=True, env=variables
    )
    return done.returncode == 0


@pytest.mark.parametrize("member", [None, MEMBER])
def test_a_real_server_accepts_it(tmp_path: Path, member: Member | None) -> None:
    assert accepted(tmp_path, msgspec.structs.replace(ALONE, member=member), VARIABLES)


def test_a_server_of_a_cluster_does_not_start_without_its_variables(tmp_path: Path) -> None:
    assert not accepted(tmp_path, msgspec.structs.replace(ALONE, member=MEMBER), {"NAME": "n1"})


def test_a_server_alone_has_no_other_port() -> None:
    text = render(ALONE)
    assert not {"cluster", "routes", "http", "tls"} & {
        line.split(":")[0].split(" ")[0] for line in text.splitlines()
    }


def test_everybody_shows_a_certificate_where_there_is_one() -> None:
    tls = Tls(ca="/c/ca.pem", certificate="/c/cert.pem", key="/c/key.pem")
    text = render(msgspec.structs.replace(ALONE, member=MEMBER, tls=tls))
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("tls ")]
    assert len(lines) == 2
    assert all("verify: true" in line for line in lines)
    assert "handshake_first: auto" in lines[0]


def test_no_repr_tells_a_password() -> None:
    assert "canary" not in repr(msgspec.structs.replace(ALONE, member=MEMBER)) + repr(MEMBER)
