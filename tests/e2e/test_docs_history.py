"""The page on history: every command on it works, in its order, against a server of its own, and says what the page says."""

from pathlib import Path

import pytest

from tests.e2e.test_docs_wireguard import serving as serving  # noqa: PLC0414 (a fixture)
from tests.kit.pages import furnish, typed_page
from tests.kit.serving import Serving

pytestmark = pytest.mark.real
PAGE = Path(__file__).parents[2] / "docs" / "history.md"


def test_every_command_of_the_page_says_what_the_page_says(serving: Serving, tmp_path: Path) -> None:
    furnish(serving)
    folder = tmp_path / "here"
    folder.mkdir()
    assert typed_page(PAGE.read_text(encoding="utf-8"), serving, folder) > 20
