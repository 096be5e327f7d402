"""Resolvers on the command line."""

import json

import pytest

from tests.unit.cli.stage import Stage


@pytest.mark.parametrize("words", [("9.9.9.9", "2620:fe::fe"), ("9.9.9.9, 2620:fe::fe",)])
def test_resolvers_are_words_or_lists(words: tuple[str, ...]) -> None:
    stage = Stage()
    assert stage.run("dns", "set", *words).exit_code == 0
    subject, body = stage.last
    assert subject.endswith("cmd.dns.set")
    assert body == {"resolvers": ["9.9.9.9", "2620:fe::fe"]}


def test_no_word_is_no_resolver() -> None:
    stage = Stage()
    stage.run("dns", "set")
    assert stage.last[1] == {"resolvers": []}


def test_the_mode_is_a_command_of_settings() -> None:
    stage = Stage()
    stage.run("settings", "set-wg-dns", "demote")
    subject, body = stage.last
    assert subject.endswith("cmd.settings.set-wg-dns")
    assert body == {"mode": "demote"}


def test_they_are_shown_with_what_goes_before_them() -> None:
    stage = Stage()
    held = {"resolvers": ["9.9.9.9"], "wireguardDns": "demote", "baseDomain": "x"}
    stage.answers("settings.get", {"position": 3, "settings": held})
    said = json.loads(stage.run("dns", "get", "-o", "json").stdout)
    assert said == {"resolvers": ["9.9.9.9"], "wireguardDns": "demote"}
    assert "9.9.9.9" in stage.run("dns", "get").stdout
    stage.answers("settings.get", {"position": 3, "settings": {"baseDomain": "x"}})
    assert "each node's own" in stage.run("dns", "get").stdout
