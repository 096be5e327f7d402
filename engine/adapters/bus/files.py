"""Files that only their owner may read: configurations, contexts, keys."""

import os
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Write the file whole or not at all, readable by its owner alone.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_suffix(".new")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 (with a mode)
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
    aside.replace(path)
