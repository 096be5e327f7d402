"""A role under cProfile: `python -m bench.profiled <file> <argv of netmap…>`; and the top costs of such files.

Rule 1: a profile makes Python two to three times slower and C not at all: it says where to look, and is no measurement.
"""

import cProfile
import io
import pstats
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TOP: Final = 45


class Profiles:
    """The profiles of one run's processes, written when each ends."""

    def __init__(self) -> None:
        self.folder: Final = Path(tempfile.mkdtemp(prefix="netmap-profiles-"))
        self._count = 0

    def wrap(self, name: str, argv: Sequence[str]) -> list[str]:
        """Return the command that runs the same role under the profiler."""
        self._count += 1
        out = self.folder / f"{self._count}-{name}.prof"
        return [sys.executable, "-m", "bench.profiled", str(out), *argv[1:]]

    def show(self) -> None:
        """Print the top costs of each process, by own time."""
        for file in sorted(self.folder.glob("*.prof")):
            text = io.StringIO()
            stats = pstats.Stats(str(file), stream=text)
            stats.strip_dirs().sort_stats("tottime").print_stats(TOP)
            print(f"== {file.stem}\n{text.getvalue()}")
        print(f"the files stay in {self.folder}, for pstats")


def main() -> None:
    from frontends.cli.main import main as netmap  # noqa: PLC0415 (the profiler is to see its imports)

    out, sys.argv = sys.argv[1], ["netmap", *sys.argv[2:]]
    profile = cProfile.Profile()
    try:
        profile.runcall(netmap)
    finally:
        profile.dump_stats(out)


if __name__ == "__main__":
    main()
