"""What to type into the forms of OPNsense and UniFi, field by field, one node after the other.

Rule 1: keys and addresses are whole, however wide that is: they are there to be copied.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from frontends.farside.remotes import Remote, Side

_OPNSENSE: Final = (
    "# OPNsense: VPN > WireGuard > Peers > add; then choose the peers in the instance. Its port is"
)
_UNIFI: Final = (
    "# UniFi: Settings > VPN > VPN Server > the WireGuard server > add a client by hand. Its port is"
)


def opnsense(remotes: Sequence[Remote], side: Side) -> str:
    """Return the fields of OPNsense's form for a peer."""
    return _forms(f"{_OPNSENSE} {side.port}.", remotes, _opnsense)


def unifi(remotes: Sequence[Remote], side: Side) -> str:
    """Return the fields of UniFi's form for a client of its WireGuard server."""
    return _forms(f"{_UNIFI} {side.port}.", remotes, _unifi)


def _opnsense(remote: Remote) -> list[tuple[str, str]]:
    return [
        ("Enabled", "yes"),
        ("Name", remote.name),
        ("Public key", remote.publicKey),
        ("Pre-shared key", "(empty)"),
        ("Allowed IPs", ", ".join(remote.allowedIps)),
        ("Endpoint", "(empty)"),
    ]


def _unifi(remote: Remote) -> list[tuple[str, str]]:
    return [
        ("Name", remote.name),
        ("Public Key", remote.publicKey),
        ("Pre-shared Key", "(empty)"),
        ("Interface IP", ", ".join(remote.allowedIps)),
    ]


def _forms(head: str, remotes: Iterable[Remote], form: Callable[[Remote], list[tuple[str, str]]]) -> str:
    return "\n\n".join([head, *(_table(remote, form(remote)) for remote in remotes)])


def _table(remote: Remote, rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join([f"# {remote.about}", *(f"{name:<{width}}  {value}" for name, value in rows)])
