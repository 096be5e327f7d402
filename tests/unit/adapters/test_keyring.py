"""Key rings, in files and in memory."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.adapters.keyring import CHECKPOINT, NOISE, PEPPER, FileKeyRing
from engine.ports import Fault, KeyRing, Unsealable
from tests.kit.fakes import MemoryKeyRing


class KeyRingContract:
    """What every key ring promises."""

    def test_the_noise_key_has_32_octets_and_stays(self, ring: KeyRing) -> None:
        assert len(ring.noise_private()) == 32
        assert ring.noise_private() == ring.noise_private()

    def test_what_is_derived_depends_on_both_arguments_alone(self, ring: KeyRing) -> None:
        made = [ring.derive(*pair) for pair in (("a", "b"), ("a", "c"), ("b", "b"), ("ab", ""), ("", "ab"))]
        assert all(re.fullmatch(r"[0-9a-f]{32}", text) for text in made)
        assert len(set(made)) == 5
        assert ring.derive("a", "b") == made[0]

    def test_what_is_sealed_is_opened_by_the_same_ring_and_looks_another_each_time(
        self, ring: KeyRing
    ) -> None:
        first, second = ring.seal("a", "1234567890123456"), ring.seal("a", "1234567890123456")
        assert first != second
        assert first.startswith("sealed:")
        assert "1234567890123456" not in first
        assert ring.unseal("a", first) == ring.unseal("a", second) == "1234567890123456"

    def test_what_was_changed_or_sealed_for_something_else_is_not_opened(self, ring: KeyRing) -> None:
        sealed = ring.seal("a", "1234567890123456")
        middle = len(sealed) // 2
        changed = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
        for purpose, text in (
            ("b", sealed),
            ("a", changed),
            ("a", ""),
            ("a", "sealed:v1:é"),
            ("a", sealed[:-8]),
        ):
            with pytest.raises(Unsealable) as caught:
                ring.unseal(purpose, text)
            assert "1234" not in str(caught.value)
        with pytest.raises(Unsealable):
            MemoryKeyRing(seed=9).unseal("a", sealed)

    def test_no_secret_is_shown(self, ring: KeyRing) -> None:
        shown = f"{ring!r} {ring}"
        assert ring.noise_private().hex() not in shown
        assert repr(ring.noise_private()) not in shown


class TestMemoryKeyRing(KeyRingContract):
    @pytest.fixture
    def ring(self) -> KeyRing:
        return MemoryKeyRing()


class TestFileKeyRing(KeyRingContract):
    @pytest.fixture
    def ring(self, tmp_path: Path) -> KeyRing:
        return FileKeyRing(tmp_path / "keys")

    def test_a_second_ring_over_the_same_files_is_the_same(self, tmp_path: Path) -> None:
        one, other = FileKeyRing(tmp_path), FileKeyRing(tmp_path)
        assert one.noise_private() == other.noise_private()
        assert one.derive("a", "b") == other.derive("a", "b")

    def test_rings_over_different_files_differ(self, tmp_path: Path) -> None:
        one, other = FileKeyRing(tmp_path / "1"), FileKeyRing(tmp_path / "2")
        assert one.noise_private() != other.noise_private()
        assert one.derive("a", "b") != other.derive("a", "b")

    def test_the_files_are_for_the_owner_alone_and_nothing_else_is_left(self, tmp_path: Path) -> None:
        FileKeyRing(tmp_path / "keys")
        assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
        files = sorted((tmp_path / "keys").iterdir())
        assert [file.name for file in files] == [NOISE, PEPPER]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}

    def test_many_at_once_end_with_one_key(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            keys = {ring.noise_private() for ring in pool.map(FileKeyRing, [tmp_path] * 32)}
        assert len(keys) == 1
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    @pytest.mark.parametrize("name", [NOISE, PEPPER])
    def test_a_file_open_to_others_is_refused(self, tmp_path: Path, name: str, mode: int) -> None:
        FileKeyRing(tmp_path)
        (tmp_path / name).chmod(mode)
        with pytest.raises(Fault, match="open to others"):
            FileKeyRing(tmp_path)

    @pytest.mark.parametrize("text", [b"", b"00" * 31, b"00" * 33, b"xx" * 32, b"\xff" * 64])
    def test_a_file_without_a_key_is_refused_and_not_quoted(self, tmp_path: Path, text: bytes) -> None:
        FileKeyRing(tmp_path)
        (tmp_path / NOISE).write_bytes(text)
        with pytest.raises(Fault, match=r"noise\.key does not hold a key$") as refused:
            FileKeyRing(tmp_path)
        assert refused.value.__cause__ is None

    def test_a_folder_that_cannot_be_made_is_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Fault, match="cannot be read"):
            FileKeyRing(tmp_path / "file" / "keys")


def test_the_key_of_checkpoints_is_made_by_who_signs_only(tmp_path: Path) -> None:
    ring = FileKeyRing(tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()
    key = ring.checkpoint_private()
    assert len(key) == 32
    assert FileKeyRing(tmp_path).checkpoint_private() == key
    assert key not in (ring.noise_private(), bytes(32))
    assert (tmp_path / CHECKPOINT).stat().st_mode & 0o777 == 0o600
