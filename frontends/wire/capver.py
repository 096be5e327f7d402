"""The ledger of capability versions that matter to us: from which one on a client can do what.

A client names its capability version in `/key?v=`, in the Noise initiation, in RegisterRequest.Version and in
MapRequest.Version. Dates and numbers: tailscale tailcfg/tailcfg.go, v1.102.3; [lab] marks what was seen on clients.

    release   1.56  1.58  1.60  1.62  1.64  1.66  1.68  1.70  1.72  1.76  1.78  1.80  1.82  1.84  1.86  1.88  1.90
    capver      81    82    87    88    90    95    97   102   104   106   109   113   115   116   122   125   130
    release   1.92  1.96  1.98  1.100  1.102
    capver     131   133   138    141    142

Rule 1: a constant is the first version that can; below it we do what its line says.
Rule 2: below MIN_CAPVER the answer to a registration is its `Error`: nothing else is shown to a person.
"""

from typing import Final

MIN_CAPVER: Final = 102
"""2024-07-12, 1.70: the oldest client that we serve. headscale starts at 113; what 102–112 need is below."""
NEWEST_KNOWN: Final = 142
"""2026-07-06, 1.102: the newest that this ledger has read; newer clients are served like it."""

WIREGUARD_ONLY: Final = 60
"""2023-04-06: IsWireGuardOnly, with the IPv4 masquerade address (59). Below: no WireGuard-only peers."""
READ_ONLY_STREAM: Final = 68
"""2023-08-09: a streaming map request says nothing about the node; lite updates do. Below: not served."""
EXIT_NODE_RESOLVERS: Final = 76
"""2023-09-20: ExitNodeDNSResolvers of WireGuard-only peers. Below: not served."""
NAMED_FILTERS: Final = 81
"""2023-11-17: PacketFilters by name. Below: not served."""
SUGGEST_EXIT_NODE: Final = 88
"""2024-03-05: `suggest-exit-node` in a peer's CapMap. Below: not served."""
CAPMAP_ONLY: Final = 89
"""2024-03-23: PeerChange.Capabilities is gone, only CapMap counts. Below: not served."""
JAILED: Final = 94
"""2024-05-06: Node.IsJailed. Below: withhold a jailed peer; not served."""
MASQUERADE_V6: Final = 104
"""2024-08-03: the IPv6 masquerade address is really translated ([lab]: 102 fails). Below: leave out the address and
the peer's IPv6 routes."""
FILTER_BY_CAP: Final = 109
"""2024-11-18: `cap:<name>` in FilterRule.SrcIPs. Below: lists of addresses."""
HOME_DERP: Final = 111
"""2025-01-14: Node.HomeDERP ([lab]: 102 ignores it). Below: the string `DERP`; we send both to all."""
ALLOWED_IPS_DEFAULT: Final = 112
"""2025-01-14: absent AllowedIPs mean Addresses. Below absent means no routes; we always send them."""
INGRESS_ENABLED: Final = 113
"""2025-01-20: Hostinfo.IngressEnabled comes from the client; headscale's oldest client."""
NO_MEASURE_NO_HOME: Final = 115
"""2025-03-07: DERPRegion.NoMeasureNoHome. Below: set Avoid too."""
DISPLAY_MESSAGES: Final = 117
"""2025-05-28: DisplayMessages. Below: Health, a list of strings."""
LOCATION_PRIORITY: Final = 119
"""2025-07-10: Hostinfo.Location.Priority steers routes. Below: ignored."""
PEER_RELAY: Final = 120
"""2025-07-15: peer relays. Below: ignored."""
EXIT_NODE_ID: Final = 122
"""2025-07-21: the client reports its exit node in Hostinfo.ExitNodeID. Below: unknown."""
USE_WITH_EXIT_NODE: Final = 125
"""2025-08-11: Resolver.UseWithExitNode. Below: ignored."""
SEAMLESS_RENEWAL: Final = 126
"""2025-09-17: keys are renewed without a gap by default: the old key stays valid until the new one is registered."""
AUTO_UPDATE_BY_CAP: Final = 131
"""2025-11-25: CapMap `default-auto-update`. Below: the field DefaultAutoUpdate; we send neither."""
RETRY_AFTER: Final = 137
"""2026-04-15: 429 with Retry-After on register is honoured. Below: an error like any other."""


def is_supported(capver: int) -> bool:
    """Return whether we serve a client of this capability version."""
    return capver >= MIN_CAPVER
