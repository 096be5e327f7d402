"""Noise transport records: a byte stream cut into sealed pieces of at most 4096 bytes.

    record   type=4:1  length:2 (big-endian)  ciphertext:length   = plaintext ≤ 4077 + tag 16
    error    type=3:1  length:2 (big-endian)  text:length           instead of the Noise response only

Rule 1: records carry a byte stream; their boundaries mean nothing. Empty records are legal and skipped.
Rule 2: order of sealing is order of sending: what `RecordWriter.seal` returns goes out before it is called again.
Rule 3: a length field beyond the limit is an error at once, before its bytes have come.
"""

import struct
from typing import Final

from frontends.wire.errors import RemoteProtocolError
from frontends.wire.noise import RESPONSE_LENGTH, TAG_LENGTH, CipherState

MAX_RECORD: Final = 4096
"""Bytes of a whole record on the wire (tailscale control/controlbase/conn.go, v1.102.3)."""
_HEAD: Final = struct.Struct(">BH")
MAX_CIPHERTEXT: Final = MAX_RECORD - _HEAD.size
MAX_PLAINTEXT: Final = MAX_CIPHERTEXT - TAG_LENGTH
"""Bytes of plaintext that fit into one record: 4077."""
RECORD: Final = 4
RESPONSE: Final = 2
ERROR: Final = 3
_OVERHEAD: Final = _HEAD.size + TAG_LENGTH


class RecordWriter:
    """Seals a byte stream into records."""

    __slots__ = ("_cipher",)

    def __init__(self, cipher: CipherState) -> None:
        self._cipher = cipher

    def seal(self, plaintext: bytes) -> bytes | bytearray:
        """Return the records that carry the plaintext; nothing for nothing."""
        size = len(plaintext)
        if size == 0:
            return b""
        if size <= MAX_PLAINTEXT:
            return _HEAD.pack(RECORD, size + TAG_LENGTH) + self._cipher.seal(plaintext)
        count = -(-size // MAX_PLAINTEXT)
        out = bytearray(size + count * _OVERHEAD)
        whole, target = memoryview(plaintext), memoryview(out)
        at = 0
        for start in range(0, size, MAX_PLAINTEXT):
            piece = whole[start : start + MAX_PLAINTEXT]
            end = at + len(piece) + _OVERHEAD
            _HEAD.pack_into(out, at, RECORD, len(piece) + TAG_LENGTH)
            self._cipher.seal_into(piece, target[at + _HEAD.size : end])
            at = end
        return out


class RecordReader:
    """Opens a stream of records; knows nothing of sockets. It holds at most one unfinished record."""

    __slots__ = ("_cipher", "_held")

    def __init__(self, cipher: CipherState) -> None:
        self._cipher = cipher
        self._held = b""

    def receive(self, data: bytes) -> bytes:
        """Return the plaintext of every record that is whole once this data has come.

        Raises:
            RemoteProtocolError: not a record, too long a record, or a forged one.
        """
        if self._held:
            data = self._held + data
        view = memoryview(data)
        size, at = len(view), 0
        plain: list[bytes] = []
        while size - at >= _HEAD.size:
            kind, length = _HEAD.unpack_from(view, at)
            if kind != RECORD or not TAG_LENGTH <= length <= MAX_CIPHERTEXT:
                raise RemoteProtocolError("not a Noise record")
            end = at + _HEAD.size + length
            if end > size:
                break
            plain.append(self._cipher.open(view[at + _HEAD.size : end]))
            at = end
        self._held = bytes(view[at:])
        return plain[0] if len(plain) == 1 else b"".join(plain)


def split_response(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the Noise response and what follows it, or None while it is not whole.

    Raises:
        RemoteProtocolError: the server refused the handshake, or did not answer with a Noise response.
    """
    if len(data) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack_from(data)
    if kind == ERROR:
        raise RemoteProtocolError("the server refused the handshake")
    if kind != RESPONSE or length != RESPONSE_LENGTH - _HEAD.size:
        raise RemoteProtocolError("not a Noise response")
    if len(data) < RESPONSE_LENGTH:
        return None
    return data[:RESPONSE_LENGTH], data[RESPONSE_LENGTH:]


def refusal(text: str) -> bytes:
    """Return the unauthenticated error message that may stand in place of the Noise response.

    The text is a constant of ours: the client shows it to a person.
    """
    payload = text.encode()[:MAX_CIPHERTEXT]
    return _HEAD.pack(ERROR, len(payload)) + payload
