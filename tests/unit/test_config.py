"""Settings: which source wins, what is refused, what is never told."""

import asyncio
from pathlib import Path

import pytest

from engine.adapters.store.opening import open_store
from engine.config import ConfigError, Settings, parse


def test_the_defaults_are_a_tailnet_on_this_machine() -> None:
    settings = parse()
    assert settings == Settings()
    assert settings.store_url() == f"sqlite://{Path.cwd()}/.netmap/events.db"
    assert settings.public_url() == "http://127.0.0.1:8080"


def test_the_store_of_a_directory_with_any_name_can_be_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20?#é"
    folder.mkdir()
    store = open_store(parse("", {}, {"directory": str(folder)}).store_url(), tailnet="default")

    async def work() -> None:
        await store.open()
        await store.close()

    asyncio.run(work())
    assert (folder / "events.db").exists()


def test_later_sources_win() -> None:
    text = 'tailnet = "file"\nlisten_port = 1\nfrontend = "f9"\n'
    settings = parse(text, {"NETMAP_TAILNET": "env", "NETMAP_LISTEN_PORT": "2"}, {"listen_port": 3})
    assert (settings.tailnet, settings.listen_port, settings.frontend) == ("env", 3, "f9")


def test_an_override_of_none_is_no_override() -> None:
    assert parse("", {}, {"tailnet": None}).tailnet == "default"


def test_a_table_is_a_prefix() -> None:
    settings = parse('[nats]\nurls = ["nats://a:4222"]\nport = 5\n')
    assert (settings.nats_urls, settings.nats_port) == (("nats://a:4222",), 5)


def test_urls_in_the_environment_are_separated_by_commas() -> None:
    assert parse("", {"NETMAP_NATS_URLS": "nats://a,nats://b"}).nats_urls == ("nats://a", "nats://b")


def test_name_servers_in_the_environment_are_separated_by_commas() -> None:
    found = parse("", {"NETMAP_NAME_SERVERS": "192.0.2.53,[2001:db8::53]:5353", "NETMAP_LOOKUP_SECONDS": "1"})
    assert found.name_servers == ("192.0.2.53", "[2001:db8::53]:5353")
    assert found.lookup_seconds == 1


def test_truth_in_the_environment_is_a_word() -> None:
    assert parse("", {"NETMAP_OPEN_COMMANDS": "true"}).open_commands is True


def test_an_unknown_key_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"'tailnets'; perhaps 'tailnet'"):
        parse('tailnets = "x"')


def test_an_unknown_variable_is_left_alone() -> None:
    assert parse("", {"NETMAP_TOKEN": "x"}) == Settings()


@pytest.mark.parametrize("text", ["tailnet =", "tailnet = 7", 'tailnet = "A b"', "listen_port = 70000"])
def test_what_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


def test_repr_tells_no_secret() -> None:
    settings = Settings(nats_password="hunter2", store="postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(settings)
