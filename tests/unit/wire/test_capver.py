"""The ledger of capability versions."""

import pytest

from frontends.wire import capver


def test_the_ledger_is_in_order() -> None:
    rows = [
        value
        for name, value in vars(capver).items()
        if name.isupper() and name not in {"MIN_CAPVER", "NEWEST_KNOWN"}
    ]
    assert rows == sorted(set(rows))
    assert rows[-1] <= capver.NEWEST_KNOWN


@pytest.mark.parametrize(
    ("version", "answer"), [(0, False), (101, False), (102, True), (142, True), (999, True)]
)
def test_clients_from_1_70_on_are_served(version: int, answer: bool) -> None:  # noqa: FBT001
    assert capver.is_supported(version) is answer
