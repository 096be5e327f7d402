"""Sources of identities, random and counted."""

import re
import uuid

import pytest

from engine.adapters.ids import RandomIds
from engine.ports import IdSource
from tests.kit.fakes import SequenceIds, VirtualClock


class IdSourceContract:
    """What every source of identities promises."""

    def test_command_ids_are_uuids_of_version_7_and_differ(self, ids: IdSource) -> None:
        made = [ids.command_id() for _ in range(1000)]
        assert len(set(made)) == 1000
        for text in made[:10]:
            parsed = uuid.UUID(text)
            assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)

    def test_tokens_are_24_characters_of_base32_and_differ(self, ids: IdSource) -> None:
        made = [ids.token() for _ in range(1000)]
        assert len(set(made)) == 1000
        assert all(re.fullmatch(r"[a-z2-7]{24}", token) for token in made)


class TestRandomIds(IdSourceContract):
    @pytest.fixture
    def ids(self) -> IdSource:
        return RandomIds(VirtualClock())

    def test_command_ids_sort_by_time(self) -> None:
        clock = VirtualClock()
        ids = RandomIds(clock)
        made = []
        for _ in range(50):
            made.append(ids.command_id())
            clock.advance(0.001)
        assert made == sorted(made)
        assert uuid.UUID(made[0]).int >> 80 == VirtualClock().now()

    def test_every_random_bit_of_a_command_id_varies(self) -> None:
        ids = RandomIds(VirtualClock())
        seen_one, seen_zero = 0, 0
        for _ in range(200):
            bits = uuid.UUID(ids.command_id()).int & ((1 << 80) - 1)
            seen_one |= bits
            seen_zero |= ~bits & ((1 << 80) - 1)
        assert (seen_one & seen_zero).bit_count() == 74


class TestSequenceIds(IdSourceContract):
    @pytest.fixture
    def ids(self) -> IdSource:
        return SequenceIds()

    def test_two_sequences_are_alike(self) -> None:
        one, other = SequenceIds(), SequenceIds()
        assert (one.command_id(), one.token()) == (other.command_id(), other.token())
