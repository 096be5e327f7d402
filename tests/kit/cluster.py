"""Our own processes, started as an operator starts them: nats-servers, engines, projections, frontends, PostgreSQL.

1. Every process is the real program (`netmap run …`) in a folder of its own test; a role is killed and started by name.
2. Outside a namespace it listens on loopback; inside one (`host`) on the control address.
3. One of a kind is called `nats`, `engine`, `projection`; several are `nats1`, `nats2`, …. Frontends are always f1, f2, ….
   A projection among several has a folder of its own, as on a host of its own; engines share one, for they share their keys.
4. `cli` runs the real `netmap` against it; `ask` gives its JSON.
"""

import contextlib
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, NamedTuple, Self

from engine.adapters.bus.context import CONTEXTS
from engine.adapters.bus.server import binary, prepare
from engine.config import Settings
from tests.kit.brokers import Brokers
from tests.kit.lab.net import CONTROL_IP, ROOT, Host, run
from tests.kit.postgres import Postgres
from tests.kit.procs import Proc, free_port, wait_until

NETMAP = str(Path(sys.executable).parent / "netmap")
READY_SECONDS = 30.0


def _names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}{i + 1}" for i in range(count)]


class Size(NamedTuple):
    """How many processes of a kind."""

    brokers: int = 1
    engines: int = 1
    projections: int = 1
    postgres: bool = False
    """Run PostgreSQL too, as the store."""
    tls: bool = False
    """Let everybody show certificates to the brokers, of which there are several."""
    database: Path | None = None
    """Where PostgreSQL's data stay; else they are in a new folder that goes with the cluster."""


SMALL = Size()
WHOLE = Size(brokers=3, engines=2, projections=2, postgres=True)
"""The topology of `docker-compose.yml`, with four frontends behind a balancer."""


class CliError(AssertionError):
    """The command line ended with another status than expected."""


class Cluster:
    """One tailnet's processes.

    Args:
        folder: the directory of the deployment (`NETMAP_DIR`), and of the logs.
        store: a store's URL; empty is SQLite in the folder.
        host: run inside this namespace.
        frontends: how many; they are called f1, f2, ….
        balanced: put a TCP balancer before the frontends; its port is `port`.
        settings: more variables for every role, `NETMAP_…`.
        size: how many of each other kind, and whether PostgreSQL is one of the processes.
        base: the port for clients; the others are as far from their usual ones as it is from 8080. 0 takes free ones.
    """

    def __init__(
        self,
        folder: Path,
        *,
        store: str = "",
        host: Host | None = None,
        frontends: int = 1,
        balanced: bool = False,
        settings: Mapping[str, str] | None = None,
        size: Size = SMALL,
        base: int = 0,
    ) -> None:
        self.folder = folder
        self.directory = folder / "netmap"
        self.host = host
        self.address = CONTROL_IP if host else "127.0.0.1"
        self._base = 8080 if host else base
        self.port = self._port(8080)
        self._nats_port = self._port(4222)
        self.http_port = self._port(8181)
        self.size = size
        self.engines = _names("engine", size.engines)
        self.projections = _names("projection", size.projections)
        self.nats = _names("nats", size.brokers)
        self.brokers = self._cluster_of_brokers() if size.brokers > 1 else None
        self.postgres = Postgres(size.database or Path(mkdtemp(prefix="pg-"))) if size.postgres else None
        self._store = self.postgres.url() if self.postgres else store
        self._balanced = balanced
        self._settings = settings or {}
        ports = [self._port(8081 + i) for i in range(frontends)]
        self.ports = {f"f{i + 1}": port for i, port in enumerate(ports)}
        if not balanced:
            self.ports["f1"] = self.port
        self.procs: dict[str, Proc] = {}
        self.frontend_program: Sequence[str] = (NETMAP,)
        """What frontends are started with: another program shows what a check finds (`tests.kit.unsafe`)."""
        self.role_settings: dict[str, Mapping[str, str]] = {}
        """More variables for one role, by its name: another way to NATS, through a proxy."""

    def _port(self, usual: int) -> int:
        return usual + self._base - 8080 if self._base else free_port()

    @property
    def url(self) -> str:
        """What clients are given as login server."""
        return f"http://{self.address}:{self.port}"

    @property
    def roles(self) -> list[str]:
        """Every process by name, in the order in which they start; the balancer and the HTTP API come beside."""
        database = ["postgres"] if self.postgres else []
        return [*self.nats, *database, *self.engines, *self.projections, *self.ports]

    def start(self, *names: str) -> None:
        """Start these, or all, and wait until every frontend that runs is ready."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        if self.brokers:
            self.brokers.write()
        names = names or tuple(self.roles)
        for name in names:
            self.procs[name] = self._spawn(name)
            self._wait_started(name)
            if self.brokers and name == self.nats[-1] and {*self.nats} <= {*names}:
                self.procs[name].wait_line("JetStream cluster (new )?metadata leader", timeout=READY_SECONDS)
        if self._balanced and "balancer" not in self.procs:
            self.procs["balancer"] = self._spawn("balancer")
            self.procs["balancer"].wait_port(self.port)
        self.wait_ready()

    def serve_http(self) -> str:
        """Start the HTTP API, unless it runs, and wait until it is well; return its URL."""
        if "admin" not in self.procs:
            self.procs["admin"] = self._spawn("admin")
            wait_until(partial(self._ready, self.http_port), "the HTTP API is ready", timeout=READY_SECONDS)
        return f"http://{self.address}:{self.http_port}"

    def balancer(self) -> Sequence[str]:
        """The command that runs the balancer."""
        backends = [f"{self.address}:{port}" for port in self.ports.values()]
        return [sys.executable, "-m", "tests.kit.proxy", f"{self.address}:{self.port}", *backends]

    def wait_ready(self) -> None:
        for name, port in self.ports.items():
            if name in self.procs and self.procs[name].running:
                wait_until(partial(self._ready, port), f"{name} is ready", timeout=READY_SECONDS)

    def wait_answers(self) -> None:
        """Return when the engine and the projection answer, which a port that is open does not say."""
        what = "`netmap health` is content"
        wait_until(
            lambda: self._run([NETMAP, "health"], timeout=READY_SECONDS).returncode == 0,
            what,
            timeout=READY_SECONDS,
        )

    def kill(self, name: str) -> None:
        """SIGKILL, as a power cut for one process; PostgreSQL's own crash, which ends its children too."""
        if name == "postgres":
            self.procs[name].signal(signal.SIGQUIT)
            self.procs[name].wait_exit()
        else:
            self.procs[name].kill()

    def stop(self) -> None:
        """Stop all, as a service manager does, the readers before the engine."""
        for name in reversed(self.roles):
            if name in self.procs:
                self.procs[name].terminate()

    def restart_frontends(self, program: Sequence[str] = (NETMAP,)) -> None:
        """Stop and start the frontends alone, as another program."""
        self.frontend_program = program
        for name in self.ports:
            self.procs[name].terminate()
        self.start(*self.ports)

    def restart(self) -> None:
        """Stop and start every process; the folder stays."""
        self.stop()
        self.start()

    def cli(self, *argv: str, status: int = 0, timeout: float = 30.0) -> str:
        """Run `netmap <argv>`; return its stdout.

        Raises:
            CliError: another exit status than `status`.
        """
        done = self._run([NETMAP, *argv], timeout=timeout)
        if done.returncode != status:
            said = f"netmap {' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            raise CliError(said)
        return done.stdout

    def ask(self, *argv: str) -> Any:
        """Run `netmap <argv> -o json`; return what it printed."""
        return json.loads(self.cli(*argv, "-o", "json"))

    def auth_key(self, *flags: str) -> str:
        """Make a reusable pre-auth key for alice, and alice if need be."""
        if not any(user["name"] == "alice" for user in self.ask("user", "list")):
            self.cli("user", "create", "alice")
        reply = self.ask("preauthkey", "create", "--user", "alice", "--reusable", *flags)
        key: str = reply["result"]["key"]
        return key

    def close(self) -> None:
        for proc in reversed(list(self.procs.values())):
            proc.close()
        if self.postgres and not self.size.database:
            self.postgres.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self, name: str) -> Proc:
        if name in self.nats:
            return self._proc(name, self._broker(name))
        if name == "balancer":
            return self._proc(name, self.balancer())
        if name == "admin":
            listen = f"{self.address}:{self.http_port}"
            return self._proc(name, [NETMAP, "run", "admin", "--admin-listen", listen, *self._common()])
        if self.postgres and name == "postgres":
            self.postgres.initialise()
            return Proc(self.postgres.argv, self.folder / f"{name}.log", cwd=Path("/"))
        if name in self.engines:
            return self._proc(name, [NETMAP, "run", "engine", *self._common()])
        if name in self.projections:
            return self._proc(name, [NETMAP, "run", "projection", *self._common(self._own_folder(name))])
        listen = f"{self.address}:{self.ports[name]}"
        argv = [
            *self.frontend_program,
            "run",
            "frontend",
            "--id",
            name,
            "--listen",
            listen,
            "--server-url",
            self.url,
        ]
        return self._proc(name, [*argv, *self._common()])

    def _broker(self, name: str) -> Sequence[str]:
        if self.brokers:
            return self.brokers.argv(name)
        conf = prepare(Settings(directory=str(self.directory), nats_port=self._nats_port))
        return [str(binary()), "-c", str(conf)]

    def _cluster_of_brokers(self) -> Brokers:
        clients = [self._port(4222 + i) for i in range(len(self.nats))]
        routes = [self._port(6222 + i) for i in range(len(self.nats))]
        ports, between = dict(zip(self.nats, clients, strict=True)), dict(zip(self.nats, routes, strict=True))
        return Brokers(self.directory, self.address, ports, between, tls=self.size.tls)

    def _wait_started(self, name: str) -> None:
        if name in self.nats:
            self.procs[name].wait_port(self.brokers.ports[name] if self.brokers else self._nats_port)
        if self.postgres and name == "postgres":
            wait_until(self.postgres.answers, "PostgreSQL answers", timeout=READY_SECONDS)

    def _own_folder(self, name: str) -> Path:
        """A projection's directory: the deployment's, or one of its own with the same contexts."""
        if len(self.projections) == 1:
            return self.directory
        folder = self.directory / name
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / CONTEXTS).exists():
            (folder / CONTEXTS).symlink_to(self.directory / CONTEXTS)
        return folder

    def _common(self, directory: Path | None = None) -> list[str]:
        store = self._store or f"sqlite://{self.directory.absolute()}/events.db"
        return ["--dir", str(directory or self.directory), "--store", store]

    def _proc(self, name: str, argv: Sequence[str]) -> Proc:
        enter = self.host.enter if self.host else ()
        settings = {**self._replicas(), **self._settings, **self.role_settings.get(name, {})}
        return Proc(argv, self.folder / f"{name}.log", env=settings, cwd=ROOT, enter=enter)

    def _replicas(self) -> dict[str, str]:
        return {"NETMAP_NATS_REPLICAS": str(self.size.brokers)} if self.brokers else {}

    def _run(self, argv: Sequence[str], *, timeout: float) -> "subprocess.CompletedProcess[str]":
        whole = ["env", f"NETMAP_DIR={self.directory}", *argv]
        if self.host:
            return self.host.run(whole, timeout=timeout, check=False)
        return run(whole, timeout=timeout, check=False)

    def _ready(self, port: int) -> bool:
        url = f"http://{self.address}:{port}/health"
        if self.host:
            return self.host.curl(url).status == 200
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
        return False
