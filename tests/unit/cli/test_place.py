"""Which server, with whose password."""

import json
from pathlib import Path

import pytest

from frontends.cli.failure import Failure
from frontends.cli.place import Place, context_at
from tests.unit.cli.stage import Stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contexts").mkdir()
    context = {"url": "nats://here:4222", "user": "operator", "password": "secret", "description": "x"}
    (tmp_path / "contexts/operator.json").write_text(json.dumps(context))
    (tmp_path / "contexts/lab.json").write_text(json.dumps({"url": "nats://lab:4222", "user": "me"}))
    return tmp_path


def test_the_directory_says_how_to_connect(folder: Path) -> None:
    found = context_at(Place(directory=str(folder)))
    assert (found.url, found.user, found.password) == ("nats://here:4222", "operator", "secret")
    assert found.inbox_prefix == "_INBOX_operator"


def test_a_named_context_is_another_file_of_the_directory(folder: Path) -> None:
    assert context_at(Place(directory=str(folder), context="lab")).url == "nats://lab:4222"


def test_a_context_may_be_a_file(folder: Path) -> None:
    path = str(folder / "contexts/lab.json")
    assert context_at(Place(directory="elsewhere", context=path)).user == "me"


def test_a_context_may_be_one_of_the_nats_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nats/context").mkdir(parents=True)
    (tmp_path / "nats/context/prod.json").write_text(json.dumps({"url": "nats://prod:4222", "creds": "x"}))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert context_at(Place(directory="elsewhere", context="prod")).url == "nats://prod:4222"


def test_the_password_of_the_directory_is_not_sent_to_another_server(folder: Path) -> None:
    found = context_at(Place(directory=str(folder), nats="nats://there:4222"))
    assert (found.url, found.user, found.password) == ("nats://there:4222", "", "")


def test_a_url_may_carry_user_and_password() -> None:
    found = context_at(Place(nats="nats://me:p%40ss@there:4222"))
    assert (found.url, found.user, found.password) == ("nats://there:4222", "me", "p@ss")


@pytest.mark.parametrize("name", ["", "gone"])
def test_without_a_context_people_are_told_how_to_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(Failure) as failed:
        context_at(Place(directory=str(tmp_path), context=name))
    assert failed.value.exit_code == 6
    assert f"netmap serve --dir {tmp_path}" in failed.value.trouble.hint


def test_a_broken_context_is_named_without_its_text(tmp_path: Path) -> None:
    (tmp_path / "contexts").mkdir()
    (tmp_path / "contexts/operator.json").write_text('{"password": "secret"')
    with pytest.raises(Failure) as failed:
        context_at(Place(directory=str(tmp_path)))
    assert "operator.json" in failed.value.trouble.message
    assert "secret" not in failed.value.trouble.message


def test_flags_win_over_the_environment() -> None:
    stage = Stage()
    stage.run("user", "list", "--dir", "b", NETMAP_DIR="a", NETMAP_NATS_URL="nats://x")
    assert stage.places == [Place(directory="b", nats="nats://x")]


def test_the_files_of_tls_come_with_the_url(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("CA", "CERTIFICATE", "KEY"):
        monkeypatch.setenv(f"NETMAP_NATS_{name}", f"/c/{name.lower()}.pem")
    found = context_at(Place(nats="tls://there:4222"))
    assert (found.ca, found.cert, found.key) == ("/c/ca.pem", "/c/certificate.pem", "/c/key.pem")
    assert context_at(Place(directory=str(folder))).ca == ""
