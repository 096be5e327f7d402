"""What every `SubjectKeys` promises; an adapter proves itself by giving a `place` that can be opened again."""

from typing import Protocol

import pytest

from engine.domain.values import UserId
from engine.keyports import KeyDestroyed, KeyMissing, SubjectKeys
from engine.ports import Fault

ANNA, BERT = UserId(1), UserId(2)


class Place(Protocol):
    """Where keys can be."""

    def keys(self) -> SubjectKeys:
        """The keys, as an engine has them."""
        ...

    def reader(self) -> SubjectKeys:
        """The same, for reading only."""
        ...


class SubjectKeysContract:
    def test_a_key_that_was_never_made_is_missing(self, place: Place) -> None:
        for keys in (place.reader(), place.keys()):
            with pytest.raises(KeyMissing, match="user 1"):
                keys.get(ANNA)
        assert place.reader().all() == {}

    def test_a_key_is_made_once_and_everybody_finds_the_same(self, place: Place) -> None:
        keys = place.keys()
        keys.make([ANNA, BERT])
        first = keys.get(ANNA)
        assert first is not None
        assert len(first) == 32
        assert first != keys.get(BERT)
        assert keys.make([ANNA]) == {ANNA: first}
        assert place.keys().make([ANNA, BERT]) == {ANNA: first, BERT: keys.get(BERT)}
        assert place.reader().get(ANNA) == first
        assert place.keys().get(ANNA) == first
        assert set(place.reader().all()) == {ANNA, BERT}

    def test_a_destroyed_key_is_gone_for_everybody_and_never_made_again(self, place: Place) -> None:
        keys, reader = place.keys(), place.reader()
        keys.make([ANNA, BERT])
        assert reader.get(ANNA) is not None
        keys.destroy([ANNA])
        keys.destroy([ANNA])
        for other in (keys, reader, place.reader(), place.keys()):
            assert other.get(ANNA) is None
        with pytest.raises(KeyDestroyed, match="user 1"):
            keys.make([ANNA, UserId(3)])
        with pytest.raises(KeyMissing):
            keys.get(UserId(3))
        assert keys.get(BERT) is not None

    def test_who_never_had_a_key_can_be_destroyed_too(self, place: Place) -> None:
        place.keys().destroy([ANNA])
        assert place.reader().get(ANNA) is None
        with pytest.raises(KeyDestroyed):
            place.keys().make([ANNA])

    def test_nothing_asked_for_is_nothing_done(self, place: Place) -> None:
        keys = place.keys()
        keys.make([])
        keys.destroy([])
        keys.fill({})
        assert keys.all() == {}

    def test_keys_of_a_restored_log_are_taken_in(self, place: Place) -> None:
        place.keys().fill({ANNA: b"a" * 32, BERT: None})
        assert place.reader().all() == {ANNA: b"a" * 32, BERT: None}
        place.keys().fill({ANNA: b"a" * 32})
        assert place.reader().get(ANNA) == b"a" * 32

    def test_what_was_destroyed_on_either_side_stays_so(self, place: Place) -> None:
        keys = place.keys()
        keys.fill({ANNA: b"a" * 32, BERT: b"b" * 32})
        keys.destroy([ANNA])
        keys.fill({ANNA: b"a" * 32, BERT: None})
        assert keys.all() == {ANNA: None, BERT: None}

    def test_who_was_destroyed_and_is_not_of_the_restored_log_can_be_somebody_else(
        self, place: Place
    ) -> None:
        keys = place.keys()
        keys.fill({ANNA: b"a" * 32, BERT: b"b" * 32})
        keys.destroy([BERT])
        keys.fill({ANNA: b"a" * 32})
        keys.make([BERT])
        assert keys.get(BERT) not in {None, b"b" * 32}
        keys.destroy([ANNA])
        keys.fill({})
        assert set(keys.all()) == {BERT}

    def test_keys_of_another_log_are_refused_whole(self, place: Place) -> None:
        keys = place.keys()
        keys.fill({BERT: b"b" * 32})
        with pytest.raises(Fault, match="user 2 has another key"):
            keys.fill({ANNA: b"a" * 32, BERT: b"c" * 32})
        assert keys.all() == {BERT: b"b" * 32}

    def test_a_key_is_in_no_repr(self, place: Place) -> None:
        keys = place.keys()
        keys.fill({ANNA: b"secret-secret-secret-secret-secr"})
        assert "secret" not in repr(keys)

    def test_closing_twice_is_fine(self, place: Place) -> None:
        keys = place.keys()
        keys.make([ANNA])
        keys.close()
        keys.close()
