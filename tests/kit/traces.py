"""Where a word is in what a server has written: in plain, as base64, and in what is packed."""

import base64
import contextlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

ZSTD = b"\x28\xb5\x2f\xfd"
"""The magic number of a zstd frame (RFC 8878 §3.1.1)."""
GZIP = b"\x1f\x8b\x08"


def forms_of(word: str) -> list[bytes]:
    """The word as it may be written: any case, UTF-16, hex, and base64 at each of its three alignments."""
    octets = word.encode()
    found = [
        octets,
        word.lower().encode(),
        word.upper().encode(),
        word.encode("utf-16-le"),
        octets.hex().encode(),
    ]
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + octets)
        inner = whole[(shift * 8 + 5) // 6 : (shift + len(octets)) * 8 // 6]
        found += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return found


def unpacked(octets: bytes) -> Iterator[bytes]:
    """The octets, and all that is packed in them."""
    yield octets
    at = octets.find(ZSTD)
    while at >= 0:
        with contextlib.suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(octets[at:])
        at = octets.find(ZSTD, at + 1)
    at = octets.find(GZIP)
    while at >= 0:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj(31).decompress(octets[at:])
        at = octets.find(GZIP, at + 1)
    if zipfile.is_zipfile(io.BytesIO(octets)):
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            for name in archive.namelist():
                yield from unpacked(archive.read(name))


def says(octets: bytes, word: str) -> bool:
    """Whether the word is in it in any form."""
    forms = forms_of(word)
    return any(form in part for part in unpacked(octets) for form in forms)


def traces(folder: Path, *words: str) -> list[str]:
    """The files below a folder that say one of the words, or are called so."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        octets = path.read_bytes()
        if any(says(octets, word) or word in path.name for word in words):
            found.append(str(path.relative_to(folder)))
    return found
