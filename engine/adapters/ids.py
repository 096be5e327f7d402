"""Random identities."""

import base64
import secrets
import uuid
from typing import Final

from engine.domain.values import CommandId
from engine.ports import Clock

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62
_RANDOM: Final = (0xFFF << 64) | ((1 << 62) - 1)
"""Bits of a UUIDv7 that are random: 12 behind the version, 62 behind the variant (RFC 9562 §5.7)."""

_TOKEN_OCTETS: Final = 15
"""120 bits: 24 characters of base32 without padding."""


class RandomIds:
    """An `IdSource` over the system's randomness."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def command_id(self) -> CommandId:
        """Return a UUIDv7: ids of different milliseconds sort by time."""
        time = (self._clock.now() & 0xFFFF_FFFF_FFFF) << 80
        return CommandId(str(uuid.UUID(int=time | _VERSION_7 | _VARIANT | (secrets.randbits(128) & _RANDOM))))

    def token(self) -> str:
        """Return 24 lower-case base32 characters of 120 random bits."""
        return base64.b32encode(secrets.token_bytes(_TOKEN_OCTETS)).decode().lower()
