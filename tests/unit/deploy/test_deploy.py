"""What is deployed fits what is built: the compose file's commands exist, the server's rights are those of the code."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from engine.adapters.bus.server_config import ROLES, Plan, render
from engine.config import parse
from engine.domain.values import DEFAULT_TAILNET
from frontends.cli.run import run

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
HEADER = (
    "# Rights of deploy/nats.conf are rendered by engine/adapters/bus/server_config.py; a test compares.\n"
)


def arguments(service: dict[str, Any]) -> list[str]:
    """Return what comes after `netmap`."""
    words = [word for part in ("entrypoint", "command") for word in service.get(part, [])]
    if words[:2] == ["sh", "-c"]:
        words = shlex.split(words[2].removeprefix("exec "))
    return words[1:] if words[0] == "netmap" else words


@pytest.mark.parametrize("name", ["engine", "projection", "frontend", "admin"])
def test_each_role_of_the_compose_file_is_a_command(name: str) -> None:
    group, role, *options = arguments(COMPOSE["services"][name])
    assert (group, role) == ("run", name)
    context = click.Context(run, info_name="run")
    command = run.get_command(context, role)
    assert command is not None
    command.make_parser(click.Context(command, parent=context)).parse_args(list(options))


def test_each_role_says_who_it_is_by_settings_that_exist() -> None:
    for name in ("engine", "projection", "frontend", "admin"):
        environment = COMPOSE["services"][name]["environment"]
        settings = parse("", {key: value for key, value in environment.items() if "$" not in value})
        assert settings.nats_user == name
        for key in environment:
            setting = key.removeprefix("NETMAP_").lower()
            assert setting in type(settings).__struct_fields__


def test_the_frontends_do_not_get_the_store() -> None:
    for name in ("frontend", "admin"):
        assert "NETMAP_STORE" not in COMPOSE["services"][name]["environment"]


def test_no_password_is_in_the_compose_file() -> None:
    for service in COMPOSE["services"].values():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key:
                assert re.fullmatch(r"\$\{NETMAP_[A-Z]+_PASSWORD:\?\}", value)


def test_the_servers_rights_are_those_of_the_code() -> None:
    plan = Plan(
        tailnet=DEFAULT_TAILNET,
        listen="0.0.0.0:4222",
        store_dir="/data/jetstream",
        passwords={role: f"$NETMAP_{role.upper()}_PASSWORD" for role in ROLES},
    )
    body = render(plan).split("\n", 1)[1]
    assert (ROOT / "deploy/nats.conf").read_text() == HEADER + body


def test_the_image_runs_as_nobody_special() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    assert re.search(r"^USER netmap$", text, re.MULTILINE)
    assert "--require-hashes" in text
