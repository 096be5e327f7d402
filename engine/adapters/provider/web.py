"""One HTTP call outwards, to where the settings allow it (reference: WireGuard-only peers §6.2.11).

Rule 1: nothing is called unless outside calls are on and the host, with its port, is in the list of the settings.
Rule 2: https only, by the system's and certifi's authorities. Plain http, and a loopback address, only where the settings
        permit loopback, and then only towards one.
Rule 3: names are resolved here, every address is judged, and the call goes to an address that was judged: an answer that
        changes between the two (DNS rebinding) changes nothing. The certificate must be the name's.
Rule 4: no redirect is followed, no proxy and no `.netrc` is used, nothing is decompressed; size and time are bounded.
Rule 5: a connection serves one call: one that was opened for a name must not carry another name's account number.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import certifi
import httpx
import msgspec

from engine.adapters.provider.redaction import redacted
from engine.domain.addresses import Address, in_tailnet
from engine.domain.device import NOT_ALLOWED, OFF
from engine.providerports import ProviderTrouble

SECONDS: Final = 10.0
"""For a whole call, from the name to the last octet."""
MAX_ANSWER: Final = 65_536
"""Octets of an answer about devices: an account with ten thousand of them is nobody's."""
MAX_RELAYS: Final = 8_388_608
"""Octets of a list of relays; Mullvad's has a third of a million."""
_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}
_METADATA: Final = ipaddress.IPv6Address("fd00:ec2::254")
"""A cloud's metadata service; its IPv4 form is link-local."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say of outside calls; `hosts` are `name` (port 443) or `name:port`."""

    calls: bool = False
    hosts: tuple[str, ...] = ()
    loopback: bool = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    data: bytes

    def __repr__(self) -> str:
        """Return the status: the rest may be a token."""
        return f"Reply(status={self.status}, …)"


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, as the system resolves it.

    Raises:
        OSError: it has none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


def authorities() -> ssl.SSLContext:
    """Return whom certificates are believed: the system's authorities, and certifi's where the system has none."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


class Web:
    """The way out. `seconds`, `resolve` and `trust` are for tests."""

    def __init__(
        self,
        outside: Outside,
        *,
        seconds: float = SECONDS,
        resolve: Resolve = resolve,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._outside: Final = outside
        self._seconds: Final = seconds
        self._resolve: Final = resolve
        self._trust = trust

    def refuse(self, base_url: str) -> None:
        """Refuse a provider that may not be called (rules 1 and 2).

        Raises:
            ProviderTrouble: `provider.off`, `provider.host`.
        """
        if not self._outside.calls:
            raise ProviderTrouble(
                OFF, "outside calls are off: set outside_calls and outside_hosts", lasting=True
            )
        url = httpx.URL(base_url)
        port = url.port or _PORTS.get(url.scheme, 0)
        names = {f"{url.host}:{port}"} | ({url.host} if port == _PORTS["https"] else set())
        is_plain = url.scheme == "http"
        if not names & set(self._outside.hosts) or (is_plain and not self._outside.loopback):
            raise ProviderTrouble(NOT_ALLOWED, "outside_hosts does not allow this host", lasting=True)

    async def call(
        self,
        method: str,
        url: str,
        *,
        token: str = "",
        body: object = None,
        limit: int = MAX_ANSWER,
    ) -> Reply:
        """Make the call; `token` goes as Bearer, `body` as JSON.

        Raises:
            ProviderTrouble: `provider.off`, `provider.host`, `provider.address`, `provider.unreachable`,
                `provider.timeout`, `provider.answer`.
        """
        self.refuse(url)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._call(method, httpx.URL(url), token, body, limit)
        except (TimeoutError, httpx.TimeoutException):
            raise ProviderTrouble("provider.timeout", f"no answer within {self._seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ProviderTrouble("provider.unreachable", redacted(type(error).__name__)) from None

    async def _call(self, method: str, url: httpx.URL, token: str, body: object, limit: int) -> Reply:
        address = await self._judged(url)
        content = None if body is None else msgspec.json.encode(body)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "netmap-engine",
        }
        headers |= {"Content-Type": "application/json"} if content is not None else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        if self._trust is None:
            self._trust = authorities()
        client = httpx.AsyncClient(
            verify=self._trust, trust_env=False, follow_redirects=False, timeout=self._seconds
        )
        async with (
            client,
            client.stream(
                method,
                url.copy_with(host=str(address)),
                content=content,
                headers=headers,
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            return await _read(response, limit)

    async def _judged(self, url: httpx.URL) -> Address:
        """Return an address to call, after all that the name has were judged (rule 3)."""
        found = await self._resolve(url.host, url.port or _PORTS[url.scheme])
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
        for address in addresses:
            wrong = _wrong_with(address, self._outside, is_plain=url.scheme == "http")
            if wrong:
                raise ProviderTrouble("provider.address", f"its name leads to {wrong}")
        if not addresses:
            raise ProviderTrouble("provider.unreachable", "its name has no address")
        return addresses[0]


async def _read(response: httpx.Response, limit: int) -> Reply:
    if 300 <= response.status_code < 400:  # noqa: PLR2004 (RFC 9110 §15.4)
        raise ProviderTrouble("provider.answer", "a redirect, which is not followed")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ProviderTrouble("provider.answer", "compressed, though asked not to be")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > limit:
            raise ProviderTrouble("provider.answer", f"longer than {limit} octets")
    return Reply(status=response.status_code, data=bytes(data))


def _wrong_with(address: Address, outside: Outside, *, is_plain: bool) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    meant: Address = mapped or address
    if meant.is_loopback:
        return "" if outside.loopback else "a loopback address"
    if is_plain:
        return "an address that is not loopback, by plain http"
    if meant.is_link_local or meant == _METADATA:
        return "a link-local address"
    if in_tailnet(meant):
        return "an address of the tailnet"
    if meant.is_multicast or meant.is_unspecified or meant.is_reserved:
        return "no host's address"
    return ""
