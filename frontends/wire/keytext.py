"""The text forms of public keys: a prefix, then lower-case hex; no white space.

    mkey: · nodekey: · discokey: · chalpub: · nlpub:   and 64 hex digits (tailscale types/key, v1.102.3)

Rule 1: parsing demands the exact prefix and the exact length; upper-case digits are read, as the client reads them.
Rule 2: an all-zero key is the wire's word for "no key"; `parse` returns it, `parse_present` refuses it.
Rule 3: an empty string is not a key: it makes real clients discard a whole frame.
"""

import re
from enum import Enum
from typing import Final

from frontends.wire.errors import LocalProtocolError, RemoteProtocolError

KEY_LENGTH: Final = 32
"""Bytes of an X25519 or Ed25519 public key."""


class Kind(Enum):
    """What a public key names; the value is the text's prefix."""

    MACHINE = "mkey:"
    NODE = "nodekey:"
    DISCO = "discokey:"
    CHALLENGE = "chalpub:"
    TAILNET_LOCK = "nlpub:"


_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
ZERO: Final = bytes(KEY_LENGTH)
ZERO_TEXT: Final = {kind: kind.value + ZERO.hex() for kind in Kind}
"""The text of "no key", for every kind."""


def parse(kind: Kind, text: str) -> bytes:
    """Return the key's 32 bytes, perhaps all zero.

    Raises:
        RemoteProtocolError: the text is not a key of this kind.
    """
    digits = text.removeprefix(kind.value)
    if digits is text or _HEX.fullmatch(digits) is None:
        raise RemoteProtocolError(f"not a key of the form {kind.value}<64 hex digits>")
    return bytes.fromhex(digits)


def parse_present(kind: Kind, text: str) -> bytes:
    """Return the key's 32 bytes, which are not all zero.

    Raises:
        RemoteProtocolError: the text is not a key of this kind, or is the key that means "none".
    """
    raw = parse(kind, text)
    if raw == ZERO:
        raise RemoteProtocolError(f"the key of the form {kind.value}<64 hex digits> is zero")
    return raw


def show(kind: Kind, raw: bytes) -> str:
    """Return the text of a public key.

    Raises:
        LocalProtocolError: it has not 32 bytes.
    """
    if len(raw) != KEY_LENGTH:
        raise LocalProtocolError("a public key has 32 bytes")
    return kind.value + raw.hex()


def is_zero(text: str) -> bool:
    """Return whether the text of a key, of any kind, means "no key"."""
    return not text.rpartition(":")[2].strip("0")
