"""Frontends with a hole in them, to show that the checks of the lab would find one. Script: `unsafe.py HOLE run frontend …`.

1. A hole is cut into a process of the test run alone, by this script; no setting and no import of the product leads here.
2. `owner` is what the fork of the reference did: a WireGuard-only peer is its owner's on the wire (§0.9).
   `wide` is what a plain reading of `*` does: every rule and grant lets in the whole range of the tailnet, every grant lets
   its sources send files, and nobody is jailed (§0.10).
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.domain.values import UserId
from frontends.cli.main import main as netmap
from frontends.control import relayed, rules

ALICE: Final = UserId(1)
"""The first user of every tailnet of the lab."""
WIDE: Final = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")

SEND_FILES: Final[Mapping[str, object]] = {"https://tailscale.com/cap/file-send": [{}]}
"""What lets a source upload (tailscale tailcfg: PeerCapabilityFileSharingSend); no policy can give it, by its form."""


def program(hole: str) -> list[str]:
    """Return the command that takes the place of `netmap`."""
    return [sys.executable, "-m", "tests.kit.unsafe", hole]


def _owner() -> None:
    _cut(relayed, "wireguard_node", lambda node: node and msgspec.structs.replace(node, user=ALICE))


def _wide() -> None:
    _cut(rules, "_rule", _widened)
    _cut(relayed, "wireguard_node", lambda node: node and msgspec.structs.replace(node, is_jailed=False))


def _widened(rule: Any) -> Any:
    grants = [msgspec.json.decode(bytes(grant)) | {"CapMap": SEND_FILES} for grant in rule.cap_grant or ()]
    raw = tuple(msgspec.Raw(msgspec.json.encode(grant)) for grant in grants)
    return msgspec.structs.replace(rule, src_ips=WIDE, cap_grant=raw or None)


def _cut(module: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Let a function of a module answer otherwise."""
    sound = getattr(module, name)
    setattr(module, name, lambda *args, **given: change(sound(*args, **given)))


HOLES: Final[Mapping[str, Callable[[], None]]] = {"owner": _owner, "wide": _wide}


if __name__ == "__main__":
    HOLES[sys.argv.pop(1)]()
    netmap()
