"""A QR code of a text, for a terminal or as SVG (ISO/IEC 18004, by segno).

Rule 1: the same text gives the same code, octet for octet: no time, no name of a program in it.
"""

import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import segno

MOST_OCTETS: Final = 2_953
"""What the largest code holds at the lowest error correction (ISO/IEC 18004 table 7, version 40-L)."""


def terminal(text: str) -> str:
    """Return the code in half blocks, dark on light as scanners want it.

    Raises:
        ValueError: the text is longer than `MOST_OCTETS` in UTF-8.
    """
    out = io.StringIO()
    _made(text).terminal(out, compact=True)
    return out.getvalue().rstrip("\n")


def svg(text: str) -> str:
    """Return the code as an SVG document.

    Raises:
        ValueError: as `terminal`.
    """
    out = io.BytesIO()
    _made(text).save(out, kind="svg", scale=4, nl=True)
    return out.getvalue().decode()


def _made(text: str) -> "segno.QRCode":
    import segno  # noqa: PLC0415 (heavy: imported when a code is made)

    if len(text.encode()) > MOST_OCTETS:
        raise ValueError(f"{len(text.encode())} octets do not fit into a QR code, which holds {MOST_OCTETS}")
    return segno.make_qr(text, error="l", boost_error=False, encoding="utf-8")
