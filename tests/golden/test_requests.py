"""What real clients sent once is still understood: bodies as v1.102.3, v1.92.5 and v1.82.0 wrote them.

Log ids, kernel versions and pre-auth keys are replaced; everything else is as it was.
"""

from pathlib import Path

import msgspec
import pytest

from frontends.wire import timetext
from frontends.wire.codec import decode
from frontends.wire.tailcfg.hostinfo import for_peers
from frontends.wire.tailcfg.map import Kind, MapRequest
from frontends.wire.tailcfg.register import RegisterRequest

FOLDER = Path(__file__).parent / "requests"
CAPVERS = {"v1.102.3": 142, "v1.92.5": 131, "v1.82.0": 115}


def body(version: str, name: str) -> bytes:
    return (FOLDER / version / f"{name}.json").read_bytes()


def test_every_generation_has_all_four_requests() -> None:
    assert {folder.name for folder in FOLDER.iterdir()} == set(CAPVERS)
    for version in CAPVERS:
        names = {path.stem for path in (FOLDER / version).iterdir()}
        assert names == {"register", "stream", "lite", "logout"}


@pytest.mark.parametrize("version", CAPVERS)
def test_a_registration_is_read(version: str) -> None:
    request = decode(body(version, "register"), RegisterRequest)
    assert request.version == CAPVERS[version]
    assert request.auth is not None
    assert request.auth.auth_key == "nmkey-1-" + "0" * 32
    assert request.hostinfo is not None
    assert request.hostinfo.hostname == "n1"
    assert (request.hostinfo.ipn_version or "").startswith(version.removeprefix("v"))
    assert request.hostinfo.os_version
    assert not request.hostinfo.request_tags
    assert not request.followup
    assert timetext.parse(request.expiry) == 0


@pytest.mark.parametrize("version", CAPVERS)
def test_a_logout_is_an_expiry_in_the_past(version: str) -> None:
    request = decode(body(version, "logout"), RegisterRequest)
    assert timetext.parse(request.expiry) == 123_000


@pytest.mark.parametrize("version", CAPVERS)
def test_map_requests_are_told_apart(version: str) -> None:
    assert decode(body(version, "stream"), MapRequest).kind is Kind.LONG_POLL
    assert decode(body(version, "lite"), MapRequest).kind is Kind.LITE


@pytest.mark.parametrize("version", CAPVERS)
def test_what_peers_are_told_of_the_host_is_what_a_client_can_read(version: str) -> None:
    request = decode(body(version, "lite"), MapRequest)
    assert request.hostinfo is not None
    assert request.endpoints == ("203.0.113.21:41641", "[2001:db8:1::21]:41641")
    told = msgspec.json.decode(for_peers(request.hostinfo))
    assert {service["Proto"] for service in told["Services"]} >= {"peerapi4", "peerapi6"}
    assert "BackendLogID" not in told
