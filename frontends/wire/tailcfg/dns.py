"""Names and resolvers.

Rule 1: an empty DNSConfig turns everything off; an absent one changes nothing.
Rule 2: a suffix in `Routes` with an empty list is answered from the client's own records.
"""

import msgspec


class Resolver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A DNS server: `ip`, `ip:port`, or the URL of a well-known DNS-over-HTTPS provider."""

    addr: str
    bootstrap_resolution: tuple[str, ...] | None = None
    use_with_exit_node: bool = False


class DNSRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A name that the client itself answers; A or AAAA by its value."""

    name: str
    value: str
    type: str = ""


class DNSConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How a node resolves names. `proxied` is MagicDNS; `resolvers` override the local ones."""

    resolvers: tuple[Resolver, ...] | None = None
    routes: dict[str, tuple[Resolver, ...] | None] | None = None
    fallback_resolvers: tuple[Resolver, ...] | None = None
    domains: tuple[str, ...] | None = None
    """The search list, without trailing dots."""
    proxied: bool = False
    cert_domains: tuple[str, ...] | None = None
    extra_records: tuple[DNSRecord, ...] | None = None
    exit_node_filtered_set: tuple[str, ...] | None = None
