"""Times on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.timetext import ZERO_TIME, parse, show, show_or_leave_out

LAST = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""


@given(st.integers(1, LAST))
def test_what_is_shown_parses_to_the_same_time(millis: int) -> None:
    assert parse(show(millis)) == millis


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600_000),
        ("2025-12-31T19:30:00.5-04:30", 1_767_225_600_500),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600_123),
        ("2026-01-01T00:00:00.000000001Z", 1_767_225_600_000),
        ("2026-01-01T00:00:00.12+00:00", 1_767_225_600_120),
        # A logout's Expiry: Unix second 123 in the client's zone.
        ("1970-01-01T01:02:03+01:00", 123_000),
        ("1970-01-01T00:00:00Z", 1),
        ("1969-12-31T23:59:59Z", -1000),
        (ZERO_TIME, 0),
        (None, 0),
    ],
)
def test_what_clients_send_is_read(text: str | None, millis: int) -> None:
    assert parse(text) == millis


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00Z\n",
        "2026-01-01T00:00:00+25:00",
        "0000-01-01T00:00:00Z",
        "\u0662026-01-01T00:00:00Z",
    ],
)
def test_anything_else_is_the_client_s_fault(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(text)


def test_no_time_is_left_out_or_zero() -> None:
    assert show_or_leave_out(0) is None
    assert show(0) == ZERO_TIME
    assert show(1_767_225_600_000) == show_or_leave_out(1_767_225_600_000) == "2026-01-01T00:00:00Z"
    assert show(1_767_225_600_050) == "2026-01-01T00:00:00.050Z"


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (LAST + 1, "9999-12-31T23:59:59Z"),
        (10**18, "9999-12-31T23:59:59Z"),
        (-(10**18), "0001-01-01T00:00:01Z"),
    ],
)
def test_a_time_beyond_the_calendar_is_its_end_and_never_an_error(millis: int, text: str) -> None:
    assert show(millis) == text


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_time_that_an_offset_takes_out_of_the_calendar_is_the_client_s_fault(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(text)
