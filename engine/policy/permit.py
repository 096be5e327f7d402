"""What a policy leaves of a WireGuard-only peer's allowed IPs for one class of devices; pure.

Rule 1: a default route is allowed by `autogroup:internet` only; `*` and the other autogroups never speak of such a peer.
Rule 2: a tag of the peer allows all that is no default route; a range allows what lies in it.
"""

import ipaddress
from collections.abc import Iterable

from engine.policy.policy import Permit
from engine.policy.ranges import EXIT_ROUTES, Span, overlap, span_of

_IPV4 = 4


def permitted(
    allowed_ips: Iterable[str], own: Iterable[str], tags: Iterable[str], permit: Permit
) -> tuple[str, ...] | None:
    """Return what is left of the allowed IPs, its own addresses aside; None if the peer is not to be seen at all."""
    is_named = any(tag in permit.tags for tag in tags)
    spans = [span_of(text) for text in permit.ranges]
    left: list[str] = []
    for prefix in allowed_ips:
        if prefix in EXIT_ROUTES:
            left += [prefix] if permit.internet else []
        else:
            left += [prefix] if is_named else _cut(prefix, spans)
    addresses = [span_of(address) for address in own if address]
    is_own_named = any(overlap(address, span) for address in addresses for span in spans)
    return tuple(dict.fromkeys(left)) if left or is_named or is_own_named else None


def _cut(prefix: str, spans: Iterable[Span]) -> list[str]:
    whole = span_of(prefix)
    parts = [(max(whole[1], span[1]), min(whole[2], span[2])) for span in spans if overlap(whole, span)]
    kind = ipaddress.IPv4Address if whole[0] == _IPV4 else ipaddress.IPv6Address
    return [
        str(network)
        for first, last in parts
        for network in ipaddress.summarize_address_range(kind(first), kind(last))
    ]
