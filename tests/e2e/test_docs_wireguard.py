"""The user's page on WireGuard-only peers: every command on it works, in its order, against a server of its own.

Rule 1: it is typed as `tests/kit/pages.py` says.
Rule 2: the commands of the original document are on the page word for word.
"""

import re
from pathlib import Path

import pytest

from tests.kit.pages import Typed, furnish, missing, typed, typed_page
from tests.kit.serving import Serving
from tests.unit.cli import test_document

pytestmark = pytest.mark.real
PAGE = Path(__file__).parents[2] / "docs" / "wireguard-only-peers.md"


@pytest.fixture
def serving(serving: Serving) -> Serving:
    serving.start()
    return serving


def test_every_command_of_the_page_works_in_its_order(serving: Serving, tmp_path: Path) -> None:
    furnish(serving)
    folder = tmp_path / "here"
    folder.mkdir()
    ran = typed_page(PAGE.read_text(encoding="utf-8"), serving, folder)
    assert ran > 20
    assert "<svg" in (folder / "laptop.svg").read_text()
    private = re.search(r"PrivateKey = (\S+)", (folder / "se-got.conf").read_text())
    assert private is not None
    assert private[1] not in serving.types("netmap events list -o json").stdout
    assert private[1] not in serving.log.read_text()


def test_the_commands_of_the_original_document_are_on_the_page_word_for_word() -> None:
    page = PAGE.read_text(encoding="utf-8")
    connections = test_document.CONNECT.replace(
        '"10.64.0.101"', '"10.64.0.101" \\'
    )  # it lacks that backslash
    for original in (test_document.REGISTER, connections, test_document.DISCONNECT):
        assert original.strip().replace("$ headscale ", "$ netmap ") in page


def test_a_block_is_split_as_a_person_would_type_it() -> None:
    text = "$ a \\\n  b\nsaid\n$ c '{\n  1\n}'\n\n$ d\n"
    assert typed(text) == [Typed("a \\\n  b", ["said"]), Typed("c '{\n  1\n}'", []), Typed("d", [])]


def test_a_line_that_is_not_said_is_missed() -> None:
    said = "id    7\nname  phone\n"
    assert missing(["id    7", "name  …"], said) == []
    assert missing(["id    8", "name", "… 7 …"], said) == ["id    8", "name", "… 7 …"]
