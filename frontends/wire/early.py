"""The early payload: JSON that a server may send before HTTP/2 starts.

    magic:5 = ff ff ff 54 53   length:4 (big-endian)   {"nodeKeyChallenge":"chalpub:<64 hex>"}

Rule 1: the magic cannot be the start of an HTTP/2 frame, so a reader decides by the first bytes that differ.
Rule 2: a challenge is fresh for each connection; it is passed in.
Rule 3: clients before capver 49 do not know it; no supported client is that old.
"""

import struct
from typing import Final

import msgspec

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.keytext import Kind, parse_present, show

MAGIC: Final = b"\xff\xff\xffTS"
"""tailscale control/ts2021/conn.go, v1.102.3."""
_LENGTH: Final = struct.Struct(">I")
_HEAD_LENGTH: Final = len(MAGIC) + _LENGTH.size
MAX_PAYLOAD: Final = 64 * 1024
"""What this reader takes; the real client takes 10 MiB, the payload has about 100 bytes."""


class _EarlyNoise(msgspec.Struct, frozen=True):
    challenge: str = msgspec.field(name="nodeKeyChallenge", default="")


def build(challenge: bytes) -> bytes:
    """Return the early payload that carries a challenge public key of 32 bytes."""
    payload = msgspec.json.encode(_EarlyNoise(show(Kind.CHALLENGE, challenge)))
    return MAGIC + _LENGTH.pack(len(payload)) + payload


class EarlyReader:
    """Takes the early payload, if there is one, off the front of the server's plaintext.

    `challenge` holds its 32 bytes once it has come; `done` says that HTTP/2 has begun.
    """

    def __init__(self) -> None:
        self.challenge: bytes | None = None
        self.done = False
        self._held = b""

    def receive(self, data: bytes) -> bytes:
        """Return what of the plaintext belongs to HTTP/2.

        Raises:
            RemoteProtocolError: the payload is too long, or is not the JSON it should be.
        """
        if self.done:
            return data
        self._held += data
        held = self._held
        if not held.startswith(MAGIC[: len(held)]):
            return self._finish(held)
        if len(held) < _HEAD_LENGTH:
            return b""
        (length,) = _LENGTH.unpack_from(held, len(MAGIC))
        if length > MAX_PAYLOAD:
            raise RemoteProtocolError("the early payload is too long")
        end = _HEAD_LENGTH + length
        if len(held) < end:
            return b""
        self.challenge = _challenge(held[_HEAD_LENGTH:end])
        return self._finish(held[end:])

    def _finish(self, rest: bytes) -> bytes:
        self.done = True
        self._held = b""
        return rest


def _challenge(payload: bytes) -> bytes:
    try:
        text = msgspec.json.decode(payload, type=_EarlyNoise).challenge
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RemoteProtocolError("the early payload is not what it should be") from None
    return parse_present(Kind.CHALLENGE, text)
