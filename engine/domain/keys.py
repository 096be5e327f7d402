"""nodekey:, mkey:, WireGuard base64: parse and print.

Rule 1: a key is 32 octets, and never all zero: clients write zeros for "no key".
Rule 2: a public key that Curve25519 maps to a shared secret anybody can compute is refused.
Rule 3: no message repeats what was given: it may be a private key.
"""

import base64
import binascii
import re
from typing import Final

from engine.domain.errors import Invalid
from engine.domain.values import MachineKey, NodeKey

NODE_PREFIX: Final = "nodekey:"
MACHINE_PREFIX: Final = "mkey:"
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_BASE64: Final = re.compile(r"[0-9A-Za-z+/]{43}=")
_PRIVATE: Final = re.compile(r"privkey:|privatekey\b|presharedkey\b|nlpriv:", re.IGNORECASE)

_FIELD: Final = 2**255 - 19
LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)
"""The u-coordinates of Curve25519's points of order 1, 2, 4 and 8, reduced (D. J. Bernstein, "Curve25519: a
state-of-the-art Diffie-Hellman function", https://cr.yp.to/ecdh.html#validate)."""


def parse_node_key(text: str, *, field: str = "nodeKey") -> NodeKey:
    """Return the key in `nodekey:` + 64 hex digits, of either case.

    Raises:
        Invalid: `key.syntax`, `key.zero`, `key.low_order`.
    """
    return NodeKey(NODE_PREFIX + _checked(_hex_after(NODE_PREFIX, text, field), field))


def parse_machine_key(text: str, *, field: str = "machineKey") -> MachineKey:
    """Return the key in `mkey:` + 64 hex digits, of either case.

    Raises:
        Invalid: `key.syntax`, `key.zero`, `key.low_order`.
    """
    return MachineKey(MACHINE_PREFIX + _checked(_hex_after(MACHINE_PREFIX, text, field), field))


def parse_wireguard_key(text: str, *, field: str = "publicKey") -> NodeKey:
    """Return a WireGuard public key given as `nodekey:…`, as 64 hex digits, or as `wg` prints it, in base64.

    Raises:
        Invalid: `key.private`, `key.syntax`, `key.zero`, `key.low_order`.
    """
    text = text.strip()
    if _PRIVATE.match(text):
        raise Invalid(
            "key.private",
            "this is a private or shared secret key, which must never be given to anybody",
            field=field,
            hint="treat that key as known to others: make a new one, and give its public key (wg pubkey)",
        )
    if text.startswith(NODE_PREFIX) or _HEX.fullmatch(text):
        digits = _hex_after(NODE_PREFIX, text if ":" in text else NODE_PREFIX + text, field)
    elif _BASE64.fullmatch(text):
        digits = _from_base64(text, field)
    else:
        raise _syntax(
            field, "a WireGuard public key is 44 characters of base64, or nodekey: and 64 hex digits"
        )
    return NodeKey(NODE_PREFIX + _checked(digits, field))


def node_key_of(text: str) -> NodeKey | None:
    """Return the key that a text is in one of the three forms, or None if it is none; whether it is good is not asked."""
    digits = text.removeprefix(NODE_PREFIX)
    if _HEX.fullmatch(digits):
        return NodeKey(NODE_PREFIX + digits.lower())
    return NodeKey(NODE_PREFIX + base64.b64decode(text).hex()) if _BASE64.fullmatch(text) else None


def wireguard_base64(key: NodeKey) -> str:
    """Return the key as `wg` prints it."""
    return base64.b64encode(bytes.fromhex(key.removeprefix(NODE_PREFIX))).decode()


def looks_clamped(key: NodeKey) -> bool:
    """Return whether the octets look like a private key: low three bits 0, top two bits 01 (RFC 7748 §5).

    A public key looks so by chance once in 32 times.
    """
    octets = bytes.fromhex(key.removeprefix(NODE_PREFIX))
    return octets[0] & 7 == 0 and octets[31] >> 6 == 1


def _hex_after(prefix: str, text: str, field: str) -> str:
    digits = text.removeprefix(prefix)
    if not text.startswith(prefix) or not _HEX.fullmatch(digits):
        raise _syntax(field, f"this key is {prefix} and 64 hex digits")
    return digits.lower()


def _from_base64(text: str, field: str) -> str:
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error:
        octets = b""
    if base64.b64encode(octets).decode() != text:  # bits left over: wg refuses them too
        raise _syntax(field, "the base64 of this key has bits left over: it was cut or mistyped")
    return octets.hex()


def _checked(digits: str, field: str) -> str:
    octets = bytes.fromhex(digits)
    if not any(octets):
        raise Invalid("key.zero", "a key of zeros is no key", field=field)
    u = int.from_bytes(octets, "little")
    # RFC 7748 §5 masks the top bit; implementations that do not reduce all 256 bits.
    if u % _FIELD in LOW_ORDER or (u & (2**255 - 1)) % _FIELD in LOW_ORDER:
        raise Invalid("key.low_order", "this key gives no secrecy: a point of low order", field=field)
    return digits


def _syntax(field: str, rule: str) -> Invalid:
    return Invalid("key.syntax", rule, field=field)
