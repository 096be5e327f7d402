"""What everybody may ask: `/health`, `/version`."""

from typing import Final

from starlette.responses import Response

from frontends.admin.asking import Asking
from frontends.admin.visit import answer

VERSION: Final = "0.29.1+netmap.0.1.0"
"""The dialect of Headscale that is spoken here, and ours: tools choose their ways by the first part."""


def health(asking: Asking) -> Response:
    """Say whether the engine was heard lately: 200, or 503."""
    well = asking.is_well
    return answer({"status": "pass" if well else "fail"}, 200 if well else 503)


def version() -> Response:
    """Say which dialect is spoken."""
    return answer({"version": VERSION, "commit": "", "buildTime": "", "go": "", "dirty": False})
