"""What holds for every node of a tailnet, in its wire form: names, resolvers, the DERP map."""

from typing import NamedTuple

import msgspec

from engine.contracts.netmap import TailnetObject
from frontends.wire.codec import fragment
from frontends.wire.tailcfg.dns import DNSConfig, Resolver


class Common(NamedTuple):
    """One tailnet's settings as clients get them."""

    domain: str
    dns: msgspec.Raw
    derp: msgspec.Raw


def common_of(tailnet: TailnetObject, *, is_demoted: bool = False) -> Common:
    """Return the wire form of a tailnet's object; demoted, its resolvers are a fall-back.

    MagicDNS is on; the base domain is answered from the client's own records: an empty list of resolvers. Clients ask an exit's
    resolvers only where `Resolvers` is empty (tailscale ipn/ipnlocal: dnsConfigForNetmap).
    """
    base = tailnet.base_domain
    asked = tuple(Resolver(addr=text) for text in tailnet.resolvers) or None
    dns = DNSConfig(
        proxied=True,
        domains=(base,),
        routes={base: ()},
        resolvers=None if is_demoted else asked,
        fallback_resolvers=asked if is_demoted else None,
    )
    return Common(base, fragment(dns), msgspec.Raw(bytes(tailnet.derp_map)))
