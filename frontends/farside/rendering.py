"""The formats of an export, by name.

Rule 1: the same connections give the same text: nodes in the order of their ids, and no time in it.
Rule 2: the last line of every text is the checksum, as a comment.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from frontends.farside import fields, routeros, wgquick
from frontends.farside.remotes import CHECKSUM, Remote, Side, checksum, entries_of

TEXTS: Final[Mapping[str, Callable[[Sequence[Remote], Side], str]]] = {
    "wg-quick": wgquick.blocks,
    "wg-set": wgquick.commands,
    "routeros": routeros.commands,
    "opnsense": fields.opnsense,
    "unifi": fields.unifi,
}
QR: Final = "qr"
STYLES: Final = (*TEXTS, QR)
"""What `--format` takes; a QR code is of the wg-quick text."""


def render(remotes: Sequence[Remote], style: str, side: Side) -> str:
    """Return the text for the far side, in one of `TEXTS`."""
    ordered = sorted(remotes, key=lambda remote: remote.node)
    text = TEXTS[style](ordered, side)
    blank = "\n\n" if "\n\n" in text else "\n"
    return f"{text}{blank}{CHECKSUM}{checksum(entries_of(ordered))}"
