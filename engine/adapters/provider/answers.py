"""A provider's answers, judged: registrations with addresses that are some, errors as troubles."""

import ipaddress
import re
from typing import Final, TypeVar

import msgspec

from engine.adapters.provider.web import Reply
from engine.providerports import ProviderTrouble, Registered

T = TypeVar("T")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""An id that may stand in a path as it is."""
_TOO_MANY: Final = 429
_BROKEN: Final = 500


def decoded(reply: Reply, kind: type[T]) -> T:
    """Return the answer as what it should be.

    Raises:
        ProviderTrouble: `provider.answer`.
    """
    try:
        return msgspec.json.decode(reply.data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ProviderTrouble("provider.answer", "not what was asked for") from None


def registered(reference: str, ipv4: str | None, ipv6: str | None) -> Registered:
    """Return a registration whose id and addresses are some; an address may have the length of its family.

    Raises:
        ProviderTrouble: `provider.answer`.
    """
    if not is_reference(reference):
        raise ProviderTrouble("provider.answer", "an id that is none")
    found = Registered(reference=reference, ipv4=_address(ipv4, 4), ipv6=_address(ipv6, 6))
    if not (found.ipv4 or found.ipv6):
        raise ProviderTrouble("provider.answer", "no address")
    return found


def is_reference(text: str) -> bool:
    """Return whether a registration's id may stand in a path."""
    return bool(_REFERENCE.fullmatch(text))


def trouble_of(status: int, code: str, lasting: str) -> ProviderTrouble:
    """Return the trouble of an error: what may pass by itself, or `lasting`."""
    word = " ".join(filter(None, (f"status {status}", code)))
    if status == _TOO_MANY or status >= _BROKEN:
        return ProviderTrouble("provider.busy", word)
    return ProviderTrouble(lasting, word, lasting=True)


def _address(text: str | None, version: int) -> str:
    if not text:
        return ""
    bare, slash, bits = text.partition("/")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ProviderTrouble("provider.answer", "an address that is none") from None
    if address.version != version or "%" in bare or (slash and bits != str(address.max_prefixlen)):
        raise ProviderTrouble("provider.answer", "an address that is none")
    return str(address)
