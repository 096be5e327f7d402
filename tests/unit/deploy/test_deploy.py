"""What is deployed fits what is built: commands and settings exist, files are there, the servers' rights are those of the code."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from engine.adapters.bus.server import binary
from engine.adapters.bus.server_config import ROLES, Member, Plan, Tls, render
from engine.config import Settings, parse
from engine.domain.values import DEFAULT_TAILNET
from frontends.cli.main import main

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "netmap-engine"}
OTHERS = {name: service for name, service in SERVICES.items() if name not in OURS}
PARTS = {
    "engine-1": "engine",
    "engine-2": "engine",
    "projection-1": "projection",
    "projection-2": "projection",
}
PARTS |= {"frontend": "frontend", "admin": "admin"}
"""Service → role."""
HEADER = (
    "# Rights of deploy/nats.conf are rendered by engine/adapters/bus/server_config.py; a test compares.\n"
)
CLUSTER_HEADER = "# One of three servers; NETMAP_NATS_NAME says which. Rendered by engine/adapters/bus/server_config.py; a test compares.\n"
PASSWORDS = {role: f"$NETMAP_{role.upper()}_PASSWORD" for role in ROLES}
PLAN = Plan(tailnet=DEFAULT_TAILNET, listen="0.0.0.0:4222", store_dir="/data/jetstream", passwords=PASSWORDS)
CLUSTER_PLAN = Plan(
    tailnet=DEFAULT_TAILNET,
    listen="0.0.0.0:4222",
    store_dir="/data/jetstream",
    passwords=PASSWORDS,
    member=Member(
        name="$NETMAP_NATS_NAME",
        listen="0.0.0.0:6222",
        password="$NETMAP_ROUTE_PASSWORD",
        routes=("$NETMAP_ROUTE_1", "$NETMAP_ROUTE_2", "$NETMAP_ROUTE_3"),
        health="127.0.0.1:8222",
    ),
    tls=Tls(ca="/certs/ca.pem", certificate="/certs/cert.pem", key="/certs/key.pem"),
)


def parsed(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Walk a command line through the real parser; return its path and options.

    Raises:
        click.UsageError: there is no such command or option.
    """
    context = click.Context(main, info_name="netmap")
    command: click.Command = main
    path: list[str] = []
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        assert name is not None
        path.append(name)
        context, command = click.Context(found, parent=context), found
    options, _, _ = command.make_parser(context).parse_args(list(words))
    return path, dict(options)


@pytest.mark.parametrize("name", [name for name in OURS if not name.startswith("nats-")])
def test_every_command_line_is_one(name: str) -> None:
    words = SERVICES[name].get("command", ["version"])
    path, _ = parsed(words)
    if name in PARTS:
        assert path == ["run", PARTS[name]]


def test_a_command_line_that_is_none_is_found() -> None:
    for words in (
        ["run", "engines"],
        ["run", "engine", "--no-such"],
        ["admin", "nats", "certs", "--onto", "x"],
    ):
        with pytest.raises(click.UsageError):
            parsed(words)


@pytest.mark.parametrize("name", PARTS)
def test_each_role_says_who_it_is_by_settings_that_exist(name: str) -> None:
    environment = SERVICES[name]["environment"]
    settings = parse("", {key: value for key, value in environment.items() if "$" not in value})
    assert settings.nats_user == PARTS[name]
    assert len(settings.nats_urls) == 3
    assert all(url.startswith("tls://") for url in settings.nats_urls)
    for key in environment:
        assert key.removeprefix("NETMAP_").lower() in Settings.__struct_fields__, key


def test_the_topology_is_the_one_that_is_told() -> None:
    kinds = [name.rstrip("-0123456789") for name in SERVICES]
    assert {kind: kinds.count(kind) for kind in ("nats", "engine", "projection", "frontend")} == {
        "nats": 3,
        "engine": 2,
        "projection": 2,
        "frontend": 1,
    }
    assert SERVICES["frontend"]["deploy"]["replicas"] == 4
    assert "server-template frontend- 4 frontend:8080" in (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
    assert SERVICES["engine-1"]["environment"]["NETMAP_NATS_REPLICAS"] == "3"


def test_the_balancer_is_the_one_whose_clients_are_not_counted_by_address() -> None:
    address = SERVICES["balancer"]["networks"]["inside"]["ipv4_address"]
    assert SERVICES["frontend"]["environment"]["NETMAP_BALANCERS"] == address


def test_every_file_that_is_mounted_is_there() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount["source"] if isinstance(mount, dict) else mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)
    assert (ROOT / SERVICES["certs"]["build"]["dockerfile"]).is_file()


def test_everybody_sees_his_own_certificate_alone() -> None:
    for name, service in OURS.items():
        mounts = [each for each in service["volumes"] if "certs" in str(each)]
        if name == "certs":
            continue
        owner = "operator" if name == "netmap" else PARTS.get(name, name)
        assert [mount["volume"]["subpath"] for mount in mounts] == [owner]
        assert all(mount["read_only"] for mount in mounts)


def test_images_of_others_have_a_version() -> None:
    for service in OTHERS.values():
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?", service["image"]), service["image"]


def test_only_who_needs_the_store_gets_it() -> None:
    for name, service in SERVICES.items():
        has = "NETMAP_STORE" in service.get("environment", {})
        assert has == (PARTS.get(name) in ("engine", "projection")), name


def test_no_password_is_in_the_compose_file() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert re.fullmatch(r"\$\{NETMAP_[A-Z]+_PASSWORD:\?\}", value)


def test_everybody_is_looked_after_and_bounded() -> None:
    for name, service in SERVICES.items():
        if name in ("certs", "netmap"):
            continue
        assert service["healthcheck"]["test"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        if name != "postgres":
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_the_servers_rights_are_those_of_the_code() -> None:
    for file, header, plan in (
        ("deploy/nats.conf", HEADER, PLAN),
        ("deploy/nats/cluster.conf", CLUSTER_HEADER, CLUSTER_PLAN),
    ):
        assert (ROOT / file).read_text() == header + render(plan).split("\n", 1)[1]


def test_a_real_server_takes_the_clusters_configuration(tmp_path: Path) -> None:
    """Its variables are those of the compose file; only the certificates are elsewhere."""
    tls = tmp_path / "tls"
    subprocess.run(
        [Path(str(binary())).parent / "netmap", "admin", "nats", "certs", "--into", tls],
        check=True,
        capture_output=True,
    )
    text = (ROOT / "deploy/nats/cluster.conf").read_text().replace("/certs", str(tls / "nats-1"))
    (tmp_path / "nats.conf").write_text(text)
    environment = {
        key: re.sub(r"\$\{[A-Z_]+:\?\}", "secret", value)
        for key, value in SERVICES["nats-1"]["environment"].items()
    }
    argv = [str(binary()), "-t", "-c", str(tmp_path / "nats.conf")]
    done = subprocess.run(argv, check=False, capture_output=True, env=environment, text=True)
    assert done.returncode == 0, done.stderr
    del environment["NETMAP_ROUTE_2"]
    assert subprocess.run(argv, check=False, capture_output=True, env=environment).returncode != 0


def test_haproxy_takes_its_configuration() -> None:
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if haproxy is None:
        pytest.skip("NO haproxy here: its configuration is not checked (make lab installs it)")
    argv = [haproxy, "-c", "-f", str(ROOT / "deploy/haproxy/haproxy.cfg")]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_image_runs_as_nobody_special() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    assert re.search(r"^USER netmap$", text, re.MULTILINE)
    assert "--require-hashes" in text
