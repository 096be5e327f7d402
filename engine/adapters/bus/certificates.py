"""A certificate authority of the deployment's own, and certificates for its NATS servers and roles.

Rule 1: `DIR/ca` has the authority with its key: it stays where this is run. `DIR/<name>` has all that one server or role needs
        (`ca.pem`, `cert.pem`, `key.pem`), and nothing of another's.
Rule 2: run again, it makes what is missing, what ends within `RENEW_DAYS`, and what speaks of other hosts; the rest stays.
Rule 3: a role's certificate is good for a client only: with it nobody can pretend to be a server.
Rule 4: keys are readable by their owner alone, and never leave the folder.
"""

import contextlib
import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from engine.adapters.bus.files import write_private
from engine.ports import Fault

CA_DAYS: Final = 3_650
DAYS: Final = 825
"""As long as the strictest of common verifiers takes (Apple's, for certificates of own authorities)."""
RENEW_DAYS: Final = 30
AUTHORITY: Final = "ca"
EARLY: Final = timedelta(minutes=5)
"""Certificates begin a little before now: clocks of hosts differ."""


class Made(msgspec.Struct, frozen=True):
    """What became of one certificate: `made`, `renewed` or `kept`."""

    name: str
    state: str
    until: datetime
    hosts: tuple[str, ...] = ()


class _Pair(msgspec.Struct, frozen=True):
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return "_Pair(…)"


def make(
    folder: Path, servers: Mapping[str, Sequence[str]], roles: Sequence[str], now: datetime
) -> Sequence[Made]:
    """Make the authority and the certificates (rule 2); return what became of each.

    Args:
        folder: where they are; made with mode 0700.
        servers: name → the names and addresses by which others reach it.
        roles: names of clients.
        now: in UTC.

    Raises:
        Fault: a file cannot be written or read, or the authority's are not a pair in PEM.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority, told = _authority(folder / AUTHORITY, now)
        found = [told]
        for name, hosts in servers.items():
            found.append(_leaf(folder / name, authority, tuple(hosts), now))
        found += [_leaf(folder / role, authority, (), now) for role in roles]
    except OSError as error:
        raise Fault(f"{error.filename or folder}: {error.strerror}") from None
    return found


def _authority(folder: Path, now: datetime) -> tuple[_Pair, Made]:
    folder.mkdir(mode=0o700, exist_ok=True)
    certificate, key = folder / "ca.pem", folder / "ca.key"
    if certificate.exists() or key.exists():
        pair = _read(certificate, key)
        return pair, Made(AUTHORITY, "kept", pair.certificate.not_valid_after_utc)
    fresh = ec.generate_private_key(ec.SECP256R1())
    name = _name("netmap NATS authority")
    builder = _builder(name, name, fresh.public_key(), now, CA_DAYS)
    usage = _usage(signs_certificates=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed = builder.add_extension(usage, critical=True).sign(fresh, hashes.SHA256())
    write_private(key, _pem(fresh))
    write_private(certificate, signed.public_bytes(serialization.Encoding.PEM))
    return _Pair(fresh, signed), Made(AUTHORITY, "made", signed.not_valid_after_utc)


def _leaf(folder: Path, authority: _Pair, hosts: tuple[str, ...], now: datetime) -> Made:
    folder.mkdir(mode=0o700, exist_ok=True)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    before = _found(certificate, key)
    if before is not None and _is_good(before, authority, hosts, now):
        write_private(folder / "ca.pem", authority.certificate.public_bytes(serialization.Encoding.PEM))
        return Made(folder.name, "kept", before.certificate.not_valid_after_utc, hosts)
    fresh = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    days = min(DAYS, (issuer.not_valid_after_utc - now).days)
    builder = _builder(issuer.subject, _name(folder.name), fresh.public_key(), now, days)
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    purposes = [server, client] if hosts else [client]  # servers are each other's clients
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if hosts:
        names = x509.SubjectAlternativeName([_host(each) for each in hosts])
        builder = builder.add_extension(names, critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    signed = builder.add_extension(identifier, critical=False).sign(authority.key, hashes.SHA256())
    write_private(key, _pem(fresh))
    write_private(certificate, signed.public_bytes(serialization.Encoding.PEM))
    write_private(folder / "ca.pem", issuer.public_bytes(serialization.Encoding.PEM))
    return Made(folder.name, "renewed" if before else "made", signed.not_valid_after_utc, hosts)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _is_good(pair: _Pair, authority: _Pair, hosts: tuple[str, ...], now: datetime) -> bool:
    try:
        pair.certificate.verify_directly_issued_by(authority.certificate)
    except Exception:  # noqa: BLE001 (the library names three kinds, and which one does not matter: it is made anew)
        return False
    try:
        extension = pair.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        said = tuple(str(name.value) for name in extension.value)
    except x509.ExtensionNotFound:
        said = ()
    ends = pair.certificate.not_valid_after_utc
    return said == hosts and ends > now + timedelta(days=RENEW_DAYS)


def _found(certificate: Path, key: Path) -> _Pair | None:
    with contextlib.suppress(Fault, FileNotFoundError):
        return _read(certificate, key)
    return None


def _read(certificate: Path, key: Path) -> _Pair:
    try:
        signed = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise Fault(
            f"{certificate} and {key.name} beside it are not a certificate and its key in PEM"
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != signed.public_key():
        raise Fault(f"{key} is not the key of {certificate.name} beside it")
    return _Pair(private, signed)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    return x509.DNSName(text)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def utc(millis: int) -> datetime:
    """Return a clock's milliseconds as a time in UTC."""
    return datetime.fromtimestamp(millis / 1000, UTC)
