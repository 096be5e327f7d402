"""Random identities, and what a process calls itself."""

import base64
import os
import re
import secrets
import socket
import uuid
from typing import Final

from engine.domain.values import CommandId
from engine.ports import Clock

_VERSION_7: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62
_RANDOM: Final = (0xFFF << 64) | ((1 << 62) - 1)
"""Bits of a UUIDv7 that are random: 12 behind the version, 62 behind the variant (RFC 9562 §5.7)."""

MAX_HOST: Final = 40
"""Characters of the host's name in a process's name: it is one token of a subject."""
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


def process_name(host: str, process: int, nameless: str) -> str:
    """Return a name that no other process has, as one token of a subject: `web-3-4711`; a host without letters is `nameless`."""
    plain = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:MAX_HOST].strip("-")
    return f"{plain or nameless}-{process}"


def own_name(nameless: str) -> str:
    """Return the name of this process."""
    return process_name(socket.gethostname(), os.getpid(), nameless)
