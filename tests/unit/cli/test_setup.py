"""The settings of roles, from flags, a file and the environment."""

from pathlib import Path

import pytest

from frontends.cli.failure import Failure
from frontends.cli.setup import host_and_port, settings_of


def test_the_directory_is_absolute_and_holds_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_of({"directory": ".netmap"}, {})
    assert settings.directory == f"{tmp_path}/.netmap"
    assert settings.store_url().endswith(f"{tmp_path}/.netmap/events.db")


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "netmap.toml").write_text('tailnet = "file"\nlisten_port = 1\nlog_level = "debug"\n')
    environment = {"NETMAP_TAILNET": "env", "NETMAP_LISTEN_PORT": "2"}
    settings = settings_of({"directory": str(tmp_path), "listen": "[::1]:3", "tailnet": None}, environment)
    assert (settings.tailnet, settings.listen_host, settings.listen_port) == ("env", "::1", 3)
    assert settings.log_level == "debug"


def test_a_server_may_come_with_user_and_password(tmp_path: Path) -> None:
    settings = settings_of({"directory": str(tmp_path), "nats": "nats://me:pw@a:1,nats://b:2"}, {})
    assert settings.nats_urls == ("nats://a:1", "nats://b:2")
    assert (settings.nats_user, settings.nats_password) == ("me", "pw")


@pytest.mark.parametrize(
    ("text", "pair"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::]:80", ("::", 80)), (":80", ("0.0.0.0", 80))],
)
def test_where_to_listen_is_a_host_and_a_port(text: str, pair: tuple[str, int]) -> None:
    assert host_and_port(text) == pair


@pytest.mark.parametrize("text", ["8080", "host", "host:", "host:http", "host:²"])
def test_where_to_listen_is_nothing_else(text: str) -> None:
    with pytest.raises(Failure) as failed:
        host_and_port(text)
    assert failed.value.exit_code == 2


@pytest.mark.parametrize("text", ["tailnet =", 'tailnets = "x"'])
def test_a_file_with_a_mistake_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "netmap.toml").write_text(text)
    with pytest.raises(Failure) as failed:
        settings_of({"directory": str(tmp_path)}, {})
    assert failed.value.exit_code == 2


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Failure):
        settings_of({"directory": str(tmp_path), "config": str(tmp_path / "none.toml")}, {})
