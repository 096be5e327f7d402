"""Host names over DNS, against a name server of our own on loopback."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.adapters.resolver.dns import DnsResolver
from engine.ports import Fault, LookupFailed
from tests.contract.resolver_suite import ResolverSuite, Zone
from tests.kit.lab.dns import TTL, write_zone
from tests.kit.lab.net import ROOT
from tests.kit.procs import Proc, free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A name server that reads its names from `zone` in the folder, as `address:port`."""
    write_zone(tmp_path / "zone", {})
    port = free_port()
    argv = [sys.executable, "-m", "tests.kit.lab.dns", "127.0.0.1", str(port), f"@{tmp_path / 'zone'}"]
    proc = Proc(argv, tmp_path / "dns.log", cwd=ROOT)
    try:
        proc.wait_line("^ready")
        yield f"127.0.0.1:{port}"
    finally:
        proc.close()


class TestDnsResolver(ResolverSuite):
    @pytest.fixture
    def resolver(self, server: str) -> DnsResolver:
        return DnsResolver([server])

    @pytest.fixture
    def zone(self, tmp_path: Path) -> Zone:
        names: dict[str, tuple[str, ...]] = {}

        def tell(name: str, *addresses: str) -> None:
            names[name] = addresses
            write_zone(tmp_path / "zone", names)

        return tell

    async def test_an_answer_says_how_long_it_holds(self, resolver: DnsResolver, zone: Zone) -> None:
        zone("home.example.org", "192.0.2.9")
        assert (await resolver.look_up("home.example.org")).seconds == TTL


async def test_a_server_that_is_silent_fails_with_words() -> None:
    with pytest.raises(LookupFailed, match=r"no answer in time|fail"):
        await DnsResolver([f"127.0.0.1:{free_port()}"], seconds=0.3).look_up("home.example.org")


@pytest.mark.parametrize("server", ["dns.example.org", "127.0.0.1:x", "", "127.0.0.1:"])
def test_a_server_that_is_no_address_is_a_fault(server: str) -> None:
    with pytest.raises(Fault, match="name servers"):
        DnsResolver([server])
