"""Which moment `at` means."""

import pytest

from engine.domain.errors import Invalid
from engine.domain.values import Millis, Position
from projections.history.moment import AtPosition, AtTime, Moment, moment

NOW = Millis(1_767_225_600_000)  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (None, None),
        ("now", None),
        (7, AtPosition(Position(7))),
        ("7", AtPosition(Position(7))),
        (0, AtPosition(Position(0))),
        ("-2h", AtTime(Millis(NOW - 7_200_000))),
        ("-30m", AtTime(Millis(NOW - 1_800_000))),
        ("-1h30m", AtTime(Millis(NOW - 5_400_000))),
        ("-90s", AtTime(Millis(NOW - 90_000))),
        ("-99999w", AtTime(Millis(0))),
        ("2026-01-01T00:00:00Z", AtTime(NOW)),
        ("2026-01-01T02:00:00+02:00", AtTime(NOW)),
        ("2026-01-01t00:00:00.250z", AtTime(Millis(NOW + 250))),
        ("2025-12-31 23:59:59.999999999Z", AtTime(Millis(NOW - 1))),
    ],
)
def test_every_form_means_one_moment(text: int | str | None, meant: Moment | None) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize(
    "text",
    [
        -1,
        "",
        "2h",
        "-2",
        "-2y",
        "- 2h",
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "٣",
    ],
)
def test_anything_else_is_refused(text: int | str) -> None:
    with pytest.raises(Invalid):
        moment(text, NOW)
