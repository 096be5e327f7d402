"""Adapters for tests that are as good as the real ones, but known beforehand; they pass the same contract tests."""

from engine.adapters.keyring import NONCE, derive, seal, unseal
from engine.domain.values import CommandId, Millis


class VirtualClock:
    """A `Clock` that only `advance` moves; it starts on 2026-01-01 00:00 UTC."""

    def __init__(self, now: int = 1_767_225_600_000) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> Millis:
        return Millis(self._now)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += round(seconds * 1000)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forward or back, as an operator would; the monotonic one does not notice."""
        self._now += round(seconds * 1000)


class SequenceIds:
    """An `IdSource` that counts: command ids from …-000000000001, tokens from `aaa…ab`."""

    def __init__(self) -> None:
        self._commands = 0
        self._tokens = 0

    def command_id(self) -> CommandId:
        self._commands += 1
        return CommandId(f"00000000-0000-7000-8000-{self._commands:012d}")

    def token(self) -> str:
        self._tokens += 1
        digits, number = "", self._tokens
        while number:
            number, digit = divmod(number, 32)
            digits = "abcdefghijklmnopqrstuvwxyz234567"[digit] + digits
        return digits.rjust(24, "a")


class MemoryKeyRing:
    """A `KeyRing` whose secrets follow from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._secret = bytes([seed]) * 32
        self._sealed = 0

    def __repr__(self) -> str:
        return "MemoryKeyRing(…)"

    def noise_private(self) -> bytes:
        return self._secret

    def checkpoint_private(self) -> bytes:
        return self._secret

    def derive(self, purpose: str, subject: str) -> str:
        return derive(self._secret, purpose, subject)

    def seal(self, purpose: str, text: str) -> str:
        self._sealed += 1
        return seal(self._secret, purpose, text, self._sealed.to_bytes(NONCE))

    def unseal(self, purpose: str, sealed: str) -> str:
        return unseal(self._secret, purpose, sealed)
