"""Host names over DNS, by dnspython, which tells how long an answer holds.

Rule 1: a lookup asks for both families; one that has no record is well, one that fails fails the lookup: half an answer
        would take addresses away that are still good.
Rule 2: names are absolute: no search domain is tried. `/etc/hosts` is not read.
Rule 3: without servers of its own it reads the system's (`/etc/resolv.conf`) at each lookup: they may change.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from dns.asyncresolver import Resolver

from engine.ports import Fault, LookedUp, LookupFailed

SECONDS: Final = 5.0
"""How long a lookup may take, retries included: a resolver's usual patience (resolv.conf(5): `timeout`)."""
_PORT: Final = 53
_KINDS: Final = ("A", "AAAA")
_WORDS: Final = (
    (dns.resolver.NXDOMAIN, "there is no such name"),
    (dns.exception.Timeout, "no answer in time"),
    (dns.resolver.NoNameservers, "the name servers fail"),
    (dns.resolver.NoResolverConfiguration, "no name server is known"),
)


class DnsResolver:
    """A `Resolver` over DNS.

    Args:
        servers: name servers, each `address` or `address:port` (`[ipv6]:port`); none: the system's.
        seconds: how long a lookup may take.

    Raises:
        Fault: a server is no address.
    """

    def __init__(self, servers: Sequence[str] = (), *, seconds: float = SECONDS) -> None:
        try:
            self._servers: Final = [_server(text) for text in servers]
        except ValueError:
            raise Fault(
                f"name servers must be addresses, with or without a port: {', '.join(servers)}"
            ) from None
        self._seconds: Final = seconds

    async def look_up(self, host: str) -> LookedUp:
        """Return the addresses of a host name; see the port."""
        try:
            name = dns.name.from_text(host)
            resolver = self._resolver()
        except dns.exception.DNSException as error:
            raise LookupFailed(_words(error)) from None
        asked = (
            resolver.resolve(name, kind, lifetime=self._seconds, raise_on_no_answer=False, search=False)
            for kind in _KINDS
        )
        answers: list[dns.resolver.Answer] = []
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, dns.exception.DNSException | OSError):
                raise LookupFailed(_words(answer))
            if isinstance(answer, BaseException):
                raise answer
            answers.append(answer)
        found = [answer for answer in answers if answer.rrset is not None]
        if not found:
            raise LookupFailed("the name has no address")
        return LookedUp(
            addresses=tuple(record.address for answer in found for record in answer.rrset or ()),
            seconds=float(min(answer.chaining_result.minimum_ttl for answer in found)),
        )

    def _resolver(self) -> Resolver:
        if not self._servers:
            return Resolver()
        resolver = Resolver(configure=False)
        resolver.nameservers = self._servers
        return resolver


def _server(text: str) -> dns.nameserver.Do53Nameserver:
    """Return a server of its text.

    Raises:
        ValueError: it is no address.
    """
    try:
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(text)), _PORT)
    except ValueError:
        address, _, port = text.rpartition(":")
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(address.strip("[]"))), int(port))


def _words(error: BaseException) -> str:
    return next((words for kind, words in _WORDS if isinstance(error, kind)), "the lookup fails")
