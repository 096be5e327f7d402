"""Words for people."""

import pytest

from frontends.cli.text import ago, clean, listed, reference, seconds_of, short_key

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86_400), ("90m", 5_400), ("1d12h", 129_600), ("3600", 3_600), ("0", 0)]
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "-1h", "1h 2"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (NOW - 180_000, "3 min ago"),
        (NOW + 86_400_000, "in 1 d"),
        (NOW, "now"),
        (0, "-"),
        (None, "-"),
        ("2027-01-15T07:00:00Z", "1 h ago"),
        ("nonsense", "-"),
    ],
)
def test_times_are_relative(value: object, said: str) -> None:
    assert ago(value, NOW) == said


def test_ids_are_numbers_and_names_are_names() -> None:
    assert reference("100000001") == 100_000_001
    assert reference("laptop") == "laptop"
    assert reference("²") == "²"


def test_keys_are_shortened_and_stay_comparable() -> None:
    assert short_key("nodekey:" + "ab" * 32) == "nodekey:abababab…"
    assert short_key("xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=") == "xJsw8SNGxKwq…"
    assert short_key("3") == "3"


def test_lists_lose_their_spaces_and_empty_places() -> None:
    assert listed(["a, b", "c", ","]) == ("a", "b", "c")


def test_only_printable_text_is_shown() -> None:
    assert clean("a\x1b[0m\u202e") == "a\ufffd[0m\ufffd"
