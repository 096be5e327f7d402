"""Certificates of an own authority: what is made, kept and renewed; who can pretend to be what; who reads the keys."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from engine.adapters.bus.certificates import CA_DAYS, DAYS, RENEW_DAYS, make
from engine.ports import Fault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVERS = {"nats-1": ("nats-1", "10.0.0.1"), "nats-2": ("nats-2",)}
ROLES = ("engine", "frontend")


def states(
    folder: Path, now: datetime = NOW, servers: dict[str, tuple[str, ...]] | None = None
) -> dict[str, str]:
    return {each.name: each.state for each in make(folder, servers or SERVERS, ROLES, now)}


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / name / "cert.pem").read_bytes())


def purposes(folder: Path, name: str) -> set[x509.ObjectIdentifier]:
    found = certificate(folder, name).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    return set(found.value)


def test_what_is_there_and_good_stays(tmp_path: Path) -> None:
    assert set(states(tmp_path).values()) == {"made"}
    before = (tmp_path / "engine/cert.pem").read_bytes()
    assert set(states(tmp_path, NOW + timedelta(days=1)).values()) == {"kept"}
    assert (tmp_path / "engine/cert.pem").read_bytes() == before


def test_what_ends_soon_is_renewed_and_the_authority_stays(tmp_path: Path) -> None:
    states(tmp_path)
    before = (tmp_path / "ca/ca.pem").read_bytes()
    almost = NOW + timedelta(days=DAYS - RENEW_DAYS)
    assert states(tmp_path, almost - timedelta(minutes=1))["engine"] == "kept"
    assert states(tmp_path, almost)["engine"] == "renewed"
    assert (tmp_path / "ca/ca.pem").read_bytes() == before


def test_other_hosts_are_another_certificate(tmp_path: Path) -> None:
    states(tmp_path)
    found = states(tmp_path, servers={"nats-1": ("nats-1", "10.0.0.9"), "nats-2": ("nats-2",)})
    assert (found["nats-1"], found["nats-2"]) == ("renewed", "kept")


def test_a_certificate_of_another_authority_is_not_kept(tmp_path: Path) -> None:
    states(tmp_path / "a")
    states(tmp_path / "b")
    for file in ("cert.pem", "key.pem"):
        (tmp_path / "a/engine" / file).write_bytes((tmp_path / "b/engine" / file).read_bytes())
    assert states(tmp_path / "a")["engine"] == "renewed"


def test_a_role_can_not_pretend_to_be_a_server(tmp_path: Path) -> None:
    states(tmp_path)
    both = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert purposes(tmp_path, "nats-1") == both
    assert purposes(tmp_path, "engine") == {ExtendedKeyUsageOID.CLIENT_AUTH}
    constraints = certificate(tmp_path, "engine").extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca


def test_nothing_outlives_its_authority(tmp_path: Path) -> None:
    states(tmp_path)
    late = NOW + timedelta(days=CA_DAYS - 100)
    states(tmp_path, late)
    authority = x509.load_pem_x509_certificate((tmp_path / "ca/ca.pem").read_bytes())
    assert certificate(tmp_path, "engine").not_valid_after_utc <= authority.not_valid_after_utc


def test_every_key_is_its_owners_alone_and_no_folder_has_anothers(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    states(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "ca")} == {0o700}
    assert {path.name for path in (folder / "engine").iterdir()} == {"ca.pem", "cert.pem", "key.pem"}


def test_an_authority_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    states(tmp_path)
    (tmp_path / "ca/ca.key").write_text("nothing")
    with pytest.raises(Fault, match=r"ca\.pem"):
        states(tmp_path)
    (tmp_path / "ca/ca.key").write_bytes((tmp_path / "engine/key.pem").read_bytes())
    with pytest.raises(Fault, match="not the key"):
        states(tmp_path)
