"""A frontend that takes nothing away from anybody, to show that the checker finds it. Script: `python -m tests.soak.broken run frontend …`.

The hole is cut into a process of the test run alone, by this script; no setting and no import of the product leads here.
"""

import sys
from typing import Final

from frontends.cli.main import main as netmap
from frontends.control import session
from frontends.control.difference import Difference
from frontends.control.relayed import moved

PROGRAM: Final = (sys.executable, "-m", "tests.soak.broken")
"""What takes the place of `netmap`."""


if __name__ == "__main__":
    Difference.removed = lambda *_: []  # type: ignore[method-assign]
    vars(session)["moved"] = lambda before, now: ([], moved(before, now)[1])
    netmap()
