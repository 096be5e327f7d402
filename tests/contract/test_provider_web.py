"""The two adapters that speak HTTP, against a server of our own; and where no call may go, nor an answer be believed."""

import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.adapters.provider.http import HttpProvider
from engine.adapters.provider.mullvad import MullvadProvider
from engine.adapters.provider.opening import WebProviders
from engine.adapters.provider.web import Outside, Web
from engine.domain.values import NodeKey
from engine.providerports import ProviderClient, ProviderTrouble
from tests.contract.provider_suite import ACCOUNT, ONE, OTHER, TWO, ProviderSuite, Side
from tests.kit.fakes import VirtualClock
from tests.kit.provider_server import ProviderServer

ENOUGH = 5.0


def web(server: ProviderServer, **more: Any) -> Web:
    return Web(
        Outside(calls=True, hosts=(server.host,), loopback=True), seconds=more.pop("seconds", ENOUGH), **more
    )


class WebSide:
    def __init__(self, server: ProviderServer, client: ProviderClient) -> None:
        self.server = server
        self.client = client

    def keys(self) -> set[NodeKey]:
        return {NodeKey(f"nodekey:{key}") for key in self.server.keys(ACCOUNT)}

    def breaks(self, times: int) -> None:
        self.server.plan += [("status", 503)] * times

    def loses(self, times: int) -> None:
        self.server.deaf = times


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer(ACCOUNT, OTHER, quota=2) as served:
        yield served


class TestHttpProvider(ProviderSuite):
    @pytest.fixture
    def side(self, server: ProviderServer) -> Side:
        return WebSide(server, HttpProvider(web(server), server.base))


class MullvadSide(WebSide):
    def loses(self, times: int) -> None:
        """Only the last call of the few that Mullvad needs changes anything: the others are answered."""
        del times
        self.server.lose_changes = True


class TestMullvadProvider(ProviderSuite):
    @pytest.fixture
    def side(self, server: ProviderServer) -> Side:
        return MullvadSide(server, MullvadProvider(web(server), server.base, VirtualClock()))


async def trouble(client: ProviderClient, key: NodeKey = ONE) -> ProviderTrouble:
    with pytest.raises(ProviderTrouble) as caught:
        await client.register_key(ACCOUNT, key)
    return caught.value


KINDS = pytest.mark.parametrize("kind", ["http", "mullvad"])


def client(kind: str, server: ProviderServer, **more: Any) -> ProviderClient:
    return WebProviders(web(server, **more), VirtualClock()).client(kind, server.base)


@KINDS
@pytest.mark.parametrize(
    ("plan", "reason", "lasting"),
    [
        (("status", 500), "provider.busy", False),
        (("status", 429), "provider.busy", False),
        (("status", 418), "provider.refused", True),
        (("redirect", "http://169.254.169.254/"), "provider.answer", False),
        (("huge", 70_000), "provider.answer", False),
        (("junk", "<html>"), "provider.answer", False),
        (("junk", "[1]"), "provider.answer", False),
        (("junk", '{"reference": 7}'), "provider.answer", False),
        (("gzip", 0), "provider.answer", False),
        (("drop", 0), "provider.unreachable", False),
    ],
)
async def test_answers_that_are_none_are_troubles_and_the_next_call_works(
    server: ProviderServer, kind: str, plan: tuple[str, int | str], reason: str, *, lasting: bool
) -> None:
    server.plan.append(plan)
    spoken = client(kind, server)
    found = await trouble(spoken)
    assert (found.reason, found.lasting) == (reason, lasting)
    assert len(server.heard) == 1, "nothing is followed"
    await spoken.register_key(ACCOUNT, ONE)


@KINDS
async def test_an_answer_that_does_not_come_is_waited_for_so_long_and_no_longer(
    server: ProviderServer, kind: str
) -> None:
    server.plan.append(("hold", 0))
    found = await trouble(client(kind, server, seconds=0.2))
    assert (found.reason, found.lasting) == ("provider.timeout", False)


@KINDS
async def test_an_error_that_repeats_the_account_number_or_a_token_is_not_repeated_by_us(
    server: ProviderServer, kind: str
) -> None:
    spoken = client(kind, server)
    await spoken.register_key(ACCOUNT, ONE)
    server.plan.append(("echo", 400))
    found = await trouble(spoken, TWO)
    assert ACCOUNT not in f"{found} {found.word} {found!r}"
    assert "token" not in found.word


@pytest.mark.parametrize(
    "answer",
    [
        {"reference": "a/../b", "ipv4": "10.0.0.1"},
        {"reference": "a"},
        {"reference": "a", "ipv4": "10.0.0.1/24"},
        {"reference": "a", "ipv4": "fc00::1"},
        {"reference": "a", "ipv6": "10.0.0.1"},
        {"reference": "a", "ipv6": "fe80::1%eth0"},
        {"reference": "", "ipv4": "10.0.0.1"},
    ],
)
async def test_registrations_that_are_none_are_not_believed(
    server: ProviderServer, answer: dict[str, str]
) -> None:
    server.plan.append(("junk", json.dumps(answer)))
    assert (await trouble(client("http", server))).reason == "provider.answer"


async def test_a_call_says_the_account_number_in_a_header_and_nowhere_else(server: ProviderServer) -> None:
    await client("http", server).register_key(ACCOUNT, ONE)
    assert [(method, known) for method, _, known in server.heard] == [("PUT", True)]
    assert ACCOUNT not in server.heard[0][1]
    head = server.heads[0]
    assert head.pop("Authorization") == f"Bearer {ACCOUNT}"
    assert ACCOUNT not in str(head)
    assert head["Host"] == server.host


async def test_mullvads_token_is_asked_for_once_and_anew_when_it_is_refused(server: ProviderServer) -> None:
    clock = VirtualClock()
    spoken = MullvadProvider(web(server), server.base, clock)
    tokens = [path for _, path, _ in server.heard if path == "/auth/v1/token"]
    for _ in range(2):
        await spoken.register_key(ACCOUNT, ONE)
    assert [path for _, path, _ in server.heard].count("/auth/v1/token") == len(tokens) + 1
    server.tokens.clear()
    await spoken.register_key(ACCOUNT, ONE)
    assert [path for _, path, _ in server.heard].count("/auth/v1/token") == 2
    clock.advance(80 * 366 * 86_400)
    await spoken.register_key(ACCOUNT, ONE)
    assert [path for _, path, _ in server.heard].count("/auth/v1/token") == 3


async def test_a_key_that_mullvad_has_for_somebody_else_is_tried_again(server: ProviderServer) -> None:
    spoken = client("mullvad", server)
    await spoken.register_key(ACCOUNT, ONE)
    server.lies = True
    found = await trouble(spoken)
    assert (found.reason, found.lasting) == ("provider.key_in_use", False)


def outside(**fields: Any) -> Outside:
    whole: dict[str, Any] = {"calls": True, "hosts": ("api.example",), "loopback": False} | fields
    return Outside(**whole)


@pytest.mark.parametrize(
    ("fields", "url", "reason"),
    [
        ({"calls": False}, "https://api.example", "provider.off"),
        ({}, "https://other.example", "provider.host"),
        ({}, "https://api.example:8443", "provider.host"),
        ({}, "https://api.example.evil.example", "provider.host"),
        ({"hosts": ("127.0.0.1:80",)}, "http://127.0.0.1", "provider.host"),
        ({"hosts": ()}, "https://api.example", "provider.host"),
    ],
)
async def test_nobody_is_called_whom_the_settings_do_not_name(
    fields: dict[str, Any], url: str, reason: str
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise AssertionError("nothing may be looked up")

    way = Web(outside(**fields), resolve=resolve)
    with pytest.raises(ProviderTrouble) as opening:
        WebProviders(way, VirtualClock()).client("http", url)
    with pytest.raises(ProviderTrouble) as calling:
        await way.call("GET", f"{url}/v1/relays")
    assert opening.value.reason == calling.value.reason == reason
    assert opening.value.lasting


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.64.0.7",
        "100.100.100.100",
        "fd7a:115c:a1e0::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "240.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ],
)
@pytest.mark.parametrize("good_first", [True, False])
async def test_a_name_that_leads_inwards_is_not_called_wherever_else_it_leads(
    address: str, *, good_first: bool
) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["203.0.113.9", address] if good_first else [address, "203.0.113.9"]

    with pytest.raises(ProviderTrouble) as caught:
        await Web(outside(), resolve=resolve).call("GET", "https://api.example/")
    assert (caught.value.reason, caught.value.lasting) == ("provider.address", False)


async def test_a_name_without_an_address_is_unreachable() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(ProviderTrouble) as caught:
        await Web(outside(), resolve=resolve).call("GET", "https://api.example/")
    assert caught.value.reason == "provider.unreachable"


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side of TLS, for a name; its authority's certificate is `folder/ca.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


async def test_tls_is_for_the_name_although_the_call_goes_to_the_address(tmp_path: Path) -> None:
    tls = certificate(tmp_path, "api.example")
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return [str(ipaddress.ip_address("127.0.0.1"))]

    with ProviderServer(ACCOUNT, tls=tls) as server:
        port = server.host.rpartition(":")[2]
        way = Web(
            outside(hosts=(f"api.example:{port}", f"other.example:{port}"), loopback=True),
            resolve=resolve,
            trust=trust,
            seconds=ENOUGH,
        )
        found = await HttpProvider(way, f"https://api.example:{port}").register_key(ACCOUNT, ONE)
        assert found.ipv4
        assert server.heads[0]["Host"] == f"api.example:{port}"
        calls = len(server.heard)
        for wrong, context in (("other.example", trust), ("api.example", ssl.create_default_context())):
            doubting = Web(
                outside(hosts=(f"{wrong}:{port}",), loopback=True),
                resolve=resolve,
                trust=context,
                seconds=ENOUGH,
            )
            refused = await trouble(HttpProvider(doubting, f"https://{wrong}:{port}"))
            assert refused.reason == "provider.unreachable"
        assert len(server.heard) == calls, "nothing is said before the certificate is believed"
    assert asked == ["api.example", "other.example", "api.example"]


async def test_no_proxy_of_the_environment_is_asked(
    server: ProviderServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await client("http", server).register_key(ACCOUNT, ONE)
