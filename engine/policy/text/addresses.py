"""Addresses, prefixes and ranges of a policy, each with one canonical text; pure.

Rule 1: what is one address is written as an address, what is one prefix as a prefix, and only the rest as `a-b`: so equal
        ranges are equal selectors.
Rule 2: a prefix may have host bits; they are cut, with a warning.
Rule 3: neither zones nor net masks, nor IPv4 addresses in IPv6's clothes: no packet of a tailnet has those.
"""

import ipaddress
import re
from typing import Final

from engine.policy.document import Kind, Selector
from engine.policy.ranges import Span

_WIDTH: Final = {4: 32, 6: 128}
_BITS: Final = re.compile(r"[0-9]{1,3}")
_MAX_TEXT: Final = 100
"""Characters: two IPv6 addresses and a hyphen have fewer."""
_MAPPED: Final = 0xFFFF
"""What precedes an IPv4 address inside an IPv6 one (::ffff:0:0/96)."""


def span_in(text: str) -> tuple[Span, bool] | None:
    """Return an address, prefix or `a-b` as numbers and whether host bits were cut, or None if it is none of these."""
    if len(text) > _MAX_TEXT:
        return None
    low, hyphen, high = text.partition("-")
    if hyphen:
        return _between(low.strip(), high.strip())
    host, slash, bits = text.partition("/")
    address = _address(host)
    if address is None or (slash and not _BITS.fullmatch(bits)):
        return None
    version, number = address
    free = _WIDTH[version] - int(bits or _WIDTH[version])
    if free < 0:
        return None
    first = number >> free << free
    return (version, first, first | ((1 << free) - 1)), first != number


def selector_of(span: Span) -> Selector:
    """Return the range as a selector with its canonical text."""
    version, first, last = span
    return Selector(kind=Kind.RANGE, value=text_of(span), first=first, last=last, version=version)


def text_of(span: Span) -> str:
    """Return the canonical text of a range."""
    version, first, last = span
    bits = prefix_bits(span)
    if bits is None:
        return f"{_printed(version, first)}-{_printed(version, last)}"
    return _printed(version, first) if bits == _WIDTH[version] else f"{_printed(version, first)}/{bits}"


def prefix_bits(span: Span) -> int | None:
    """Return the length of the prefix that the range is, or None if it is none."""
    version, first, last = span
    size = last - first + 1
    return None if size & (size - 1) or first % size else _WIDTH[version] - size.bit_length() + 1


def prefix_text(span: Span) -> str | None:
    """Return the range as a prefix, `/32` and `/128` included, or None if it is none."""
    bits = prefix_bits(span)
    return None if bits is None else f"{_printed(span[0], span[1])}/{bits}"


def _printed(version: int, number: int) -> str:
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))  # noqa: PLR2004


def _address(text: str) -> tuple[int, int] | None:
    try:
        found = None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None
    if found is None or (found.version == 6 and int(found) >> 32 == _MAPPED):  # noqa: PLR2004
        return None
    return found.version, int(found)


def _between(low: str, high: str) -> tuple[Span, bool] | None:
    first, last = _address(low), _address(high)
    if first is None or last is None or first[0] != last[0] or first[1] > last[1]:
        return None
    return (first[0], first[1], last[1]), False
