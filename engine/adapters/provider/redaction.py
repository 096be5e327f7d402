"""What of a provider's words may be kept: an answer may repeat an account number, a token or a key.

Rule 1: what is known to be secret goes; so does every run of four digits and every word of sixteen characters, whatever it is.
Rule 2: a code of a provider's is a short word of its own alphabet, or it is not one.
"""

import re
from typing import Final

LONGEST: Final = 160
"""Characters of a provider's word."""
_DIGITS: Final = re.compile(r"\d[\d\s.-]{2,}\d")
_LONG: Final = re.compile(r"[^\s:,;'\"(){}\[\]]{16,}")
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,39}")


def redacted(text: str, *secrets: str) -> str:
    """Return the text on one line without anything that could be secret; `secrets` are those that are known."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    text = _LONG.sub("…", _DIGITS.sub("…", text))
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:LONGEST]


def code_of(text: object) -> str:
    """Return a code that a provider gave; empty when it is not one."""
    return text if isinstance(text, str) and _CODE.fullmatch(text) else ""
