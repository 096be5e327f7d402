"""JSON bodies: strict in, tight out.

Rule 1: what comes in has the types that its struct says; unknown fields are ignored, as Go ignores them.
Rule 2: the text of an error is ours; it repeats nothing of the body.
Rule 3: null and a field that is left out are the same: Go knows no difference, and our structs say None to both.
"""

from typing import Final, TypeVar

import msgspec

from frontends.wire.errors import RemoteProtocolError

T = TypeVar("T")
_ENCODER: Final = msgspec.json.Encoder()


def decode(body: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Return the body as a value of the type.

    Raises:
        RemoteProtocolError: it is not JSON, not UTF-8, nested too deep, or of other types.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RemoteProtocolError("the body is not the JSON that it should be") from None


def encode(value: object) -> bytes:
    """Return the JSON of a struct."""
    return _ENCODER.encode(value)


def fragment(value: object) -> msgspec.Raw:
    """Return the JSON of a struct as a piece of larger JSON, encoded once and shared."""
    return msgspec.Raw(_ENCODER.encode(value))
