"""Scalars of the wire, as strictly as the real client reads them.

One bad scalar anywhere makes a client discard the whole frame, and what one client sends is relayed to all of its
peers: so what comes in has exactly these forms, and addresses are written anew.
"""

import ipaddress
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

NodeKeyText = Annotated[str, msgspec.Meta(pattern=r"^nodekey:[0-9a-fA-F]{64}\Z")]
DiscoKeyText = Annotated[str, msgspec.Meta(pattern=r"^discokey:[0-9a-fA-F]{64}\Z")]
TailnetLockKeyText = Annotated[str, msgspec.Meta(pattern=r"^nlpub:[0-9a-fA-F]{64}\Z")]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""An `int` of Go's, which has 32 bits on small machines: they discard a whole frame for a longer one."""
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Capver = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Strings = Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)]

MAX_ENDPOINTS: Final = 32
"""Endpoints of one node that are kept; a real client has about ten."""
_LAST_PORT: Final = 65_535
_PORT_DIGITS: Final = 5


def endpoints(texts: Iterable[str]) -> tuple[str, ...]:
    """Return those of a client's `ip:port` texts that are of use to peers, written anew.

    What is malformed, has a zone or port 0, or is link-local IPv6, unspecified or multicast, is left out.
    """
    found: dict[str, None] = {}
    for text in texts:
        endpoint = _endpoint(text)
        if endpoint is not None:
            found[endpoint] = None
        if len(found) == MAX_ENDPOINTS:
            break
    return tuple(found)


def _endpoint(text: str) -> str | None:
    host, _, port = text.rpartition(":")
    is_v6 = host.startswith("[") and host.endswith("]")
    if not (port.isascii() and port.isdigit()) or len(port) > _PORT_DIGITS or not 0 < int(port) <= _LAST_PORT:
        return None
    try:
        address = ipaddress.ip_address(host[1:-1] if is_v6 else host)
    except ValueError:
        return None
    if is_v6 != (address.version == 6):  # noqa: PLR2004 (IPv6)
        return None
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.is_link_local):
        return None
    if address.is_unspecified or address.is_multicast:
        return None
    return f"[{address}]:{int(port)}" if is_v6 else f"{address}:{int(port)}"
