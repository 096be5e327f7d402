"""What holds for every node of a tailnet, in its wire form: names, resolvers, the DERP map."""

from typing import NamedTuple

import msgspec

from engine.contracts.netmap import TailnetObject
from frontends.wire.codec import fragment
from frontends.wire.tailcfg.dns import DNSConfig


class Common(NamedTuple):
    """One tailnet's settings as clients get them."""

    domain: str
    dns: msgspec.Raw
    derp: msgspec.Raw


def common_of(tailnet: TailnetObject) -> Common:
    """Return the wire form of a tailnet's object.

    MagicDNS is on; the base domain is answered from the client's own records: an empty list of resolvers.
    """
    base = tailnet.base_domain
    dns = DNSConfig(proxied=True, domains=(base,), routes={base: ()})
    return Common(base, fragment(dns), msgspec.Raw(bytes(tailnet.derp_map)))
