"""`netmap provider`: account numbers come from a file or unseen, and what is the matter with a device is said."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from frontends.cli.main import main
from tests.unit.cli.stage import NOW, Stage

CANARY = "4815162342108108"
PROVIDER = {
    "id": 1,
    "name": "mv",
    "kind": "mullvad",
    "baseUrl": "https://api.mullvad.net",
    "quota": 5,
    "used": 2,
    "waiting": 1,
    "failing": 1,
    "relays": 500,
    "created": NOW - 60_000,
}
DEVICES = [
    {"node": 7, "nodeName": "laptop", "state": "registered", "ipv4": "10.64.0.9", "ipv6": "fc00::9"},
    {
        "node": 8,
        "nodeName": "phone",
        "state": "wanted",
        "failure": "provider.busy",
        "word": "status 503",
        "attempts": 3,
        "nextTry": NOW + 15_000,
    },
    {
        "node": 9,
        "nodeName": "tablet",
        "state": "wanted",
        "failure": "provider.quota",
        "attempts": 1,
        "nextTry": 0,
    },
    {"node": 10, "nodeName": "tv", "state": "waiting", "ahead": 4, "selector": "tag:x"},
]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "account"
    path.write_text(f"{CANARY}\n")
    return str(path)


def test_an_account_number_is_read_from_a_file_and_shown_nowhere(file: str) -> None:
    stage = Stage()
    result = stage.run("provider", "add", "mv", "--kind", "mullvad", "--account-file", file)
    assert result.exit_code == 0, result.output
    subject, body = stage.last
    assert subject == "netmap.v1.default.cmd.provider.add"
    assert body == {"name": "mv", "kind": "mullvad", "account": CANARY, "baseUrl": "", "quota": 5}
    assert CANARY not in result.output
    assert "netmap provider enrol mv NODE" in result.stderr


def test_without_a_file_it_is_asked_for_unseen() -> None:
    stage = Stage()
    typed = CliRunner().invoke(
        main, ["provider", "add", "mv", "--kind", "mullvad"], obj=stage.world, input=f"{CANARY}\n"
    )
    assert typed.exit_code == 0, typed.output
    assert stage.last[1]["account"] == CANARY
    assert CANARY not in typed.output


def test_no_option_takes_an_account_number() -> None:
    for verb in ("add", "update"):
        command = main.get_command(None, "provider").get_command(None, verb)  # type: ignore[union-attr,arg-type]
        options = {option for param in command.params for option in param.opts}
        assert "--account-file" in options
        assert "--account" not in options


@pytest.mark.parametrize("text", ["", "\n", "ä", "1" * 2_000])
def test_a_file_without_an_account_number_sends_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "account"
    path.write_text(text, encoding="utf-8")
    stage = Stage()
    result = stage.run("provider", "add", "mv", "--kind", "mullvad", "--account-file", str(path))
    assert (result.exit_code, stage.requests) == (2, [])


def test_a_change_asks_for_no_account_number_unless_told_to(file: str) -> None:
    stage = Stage()
    assert stage.run("provider", "update", "mv", "--quota", "7").exit_code == 0
    assert stage.last[1] == {"provider": "mv", "quota": 7, "name": None, "baseUrl": None, "account": None}
    assert stage.run("provider", "update", "1", "--account-file", file).exit_code == 0
    assert (stage.last[1]["provider"], stage.last[1]["account"]) == (1, CANARY)


@pytest.mark.parametrize(
    ("line", "name", "body"),
    [
        ("provider enrol mv laptop", "provider.enrol", {"provider": "mv", "node": "laptop"}),
        ("providers enrol -i 1 7", "provider.enrol", {"provider": 1, "node": 7}),
        (
            "provider withdraw mv 7 --cascade",
            "provider.withdraw",
            {"provider": "mv", "node": 7, "cascade": True},
        ),
        ("provider remove mv --force", "provider.remove", {"provider": "mv", "cascade": False}),
        ("wg update exit --provider mv", "peer.update", {"provider": "mv"}),
        ("wg update exit --provider=", "peer.update", {"provider": ""}),
        (
            "wg register --name e --user 1 --public-key K --allowed-ips ::/0 --endpoints 1.2.3.4:1 --provider 1",
            "peer.register",
            {"provider": 1},
        ),
    ],
)
def test_a_line_becomes_a_command(line: str, name: str, body: dict[str, object]) -> None:
    stage = Stage()
    result = stage.run(*line.split())
    assert result.exit_code == 0, result.output
    subject, sent = stage.last
    assert subject == f"netmap.v1.default.cmd.{name}"
    assert {key: sent[key] for key in body} == body


@pytest.mark.parametrize(
    "line", ["provider enrol mv", "provider withdraw mv", "provider get", "provider add mv"]
)
def test_half_a_line_sends_nothing(line: str) -> None:
    stage = Stage()
    assert (stage.run(*line.split()).exit_code, stage.requests) == (2, [])


def test_the_list_says_how_many_places_are_taken() -> None:
    stage = Stage()
    stage.answers("provider.list", {"position": 4, "providers": [PROVIDER]})
    line = stage.run("provider", "list").stdout.splitlines()[1]
    assert "2 of 5" in line


def test_one_provider_is_shown_with_what_becomes_of_each_node() -> None:
    stage = Stage()
    stage.answers("provider.list", {"position": 4, "providers": [PROVIDER]})
    stage.answers("device.list", {"position": 4, "devices": DEVICES})
    shown = stage.run("provider", "get", "mv").stdout
    assert all(word in shown for word in ("7(laptop)", "10.64.0.9", "waiting (4 before it)"))
    assert "(3×, again in 15 s)" in shown
    assert "provider.quota (1×" in shown
    document = json.loads(stage.run("provider", "get", "mv", "-o", "json").stdout)
    assert [device["node"] for device in document["devices"]] == [7, 8, 9, 10]
    assert document["devices"][1]["nextTry"].endswith("Z")


def test_a_provider_that_is_not_there_is_not_found() -> None:
    stage = Stage()
    stage.answers("provider.list", {"position": 4, "providers": []})
    assert stage.run("provider", "get", "x").exit_code == 4
