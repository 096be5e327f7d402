"""What every shelf must do."""

import pytest

from engine.ports import Shelf


class ShelfSuite:
    def test_an_empty_shelf_has_nothing(self, shelf: Shelf) -> None:
        assert shelf.names() == {}
        assert shelf.get("a") is None

    def test_what_is_put_is_there_with_its_size(self, shelf: Shelf) -> None:
        shelf.put("10-a", b"one")
        shelf.put("9", b"")
        assert dict(shelf.names()) == {"10-a": 3, "9": 0}
        assert (shelf.get("10-a"), shelf.get("9"), shelf.get("8")) == (b"one", b"", None)

    def test_the_same_name_is_the_newer_blob(self, shelf: Shelf) -> None:
        shelf.put("a", b"one")
        shelf.put("a", b"three")
        assert (shelf.get("a"), dict(shelf.names())) == (b"three", {"a": 5})

    def test_what_is_dropped_is_gone_and_may_be_dropped_again(self, shelf: Shelf) -> None:
        shelf.put("a", b"one")
        shelf.drop("a")
        shelf.drop("a")
        assert (shelf.get("a"), dict(shelf.names())) == (None, {})

    @pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a.b", "a" * 65, "a\n"])
    def test_a_name_that_is_none_is_refused(self, shelf: Shelf, name: str) -> None:
        with pytest.raises(ValueError, match="not a name"):
            shelf.put(name, b"")
