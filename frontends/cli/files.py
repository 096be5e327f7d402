"""Files that commands read: whole, within a bound, or not at all."""

import sys
from pathlib import Path

from frontends.cli.failure import Exit, Failure, Trouble, usage


def read_bounded(source: str, most: int, *, why: str = "", hint: str = "") -> bytes:
    """Return the octets of a file, or of stdin (`-`); no more than `most` and one are ever read.

    Raises:
        Failure: it cannot be read (exit 1), or has more (exit 2): `why` that is too much, and what helps.
    """
    try:
        if source == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(most + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Failure(Exit.FAILED, Trouble("file", f"{source}: {why}", "file")) from None
    if len(data) > most:
        raise usage(f"{source} has more than {most} octets{why}", hint=hint)
    return data
