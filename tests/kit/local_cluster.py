"""`make cluster`: what `docker-compose.yml` runs, as processes on loopback, for machines without Docker.

1. Everything is in one folder (`.cluster`), and stays there: a second start has it back. Logs are there too, one for each process.
2. A process that dies is said and started again after a pause, which doubles while it keeps dying.
3. Ctrl-C ends all, who reads before who writes; a second one ends at once. Processes of a parent that was killed end by themselves.
4. haproxy is the balancer where there is one, with the configuration of `deploy/haproxy`; else the tests' own.
"""

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.kit.cluster import WHOLE, Cluster
from tests.kit.lab.net import ROOT
from tests.kit.procs import Proc

FRONTENDS = 4
PORT = 8080
HAPROXY = ROOT / "deploy/haproxy/haproxy.cfg"
SHORTEST, LONGEST = 1.0, 30.0
"""Seconds before a process is started again: at first, at most."""
STEADY_SECONDS = 60.0
"""Who has run so long begins with the shortest pause again."""
LOOK_SECONDS = 0.2


class Local(Cluster):
    """The whole topology on fixed ports of loopback, in a folder that stays."""

    def __init__(self, folder: Path, port: int) -> None:
        size = WHOLE._replace(database=folder / "postgres")
        super().__init__(folder, frontends=FRONTENDS, balanced=True, size=size, base=port)
        self._haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")

    def balancer(self) -> Sequence[str]:
        """haproxy if there is one (rule 4)."""
        if self._haproxy is None:
            return super().balancer()
        conf = self.folder / "haproxy.cfg"
        conf.write_text(on_loopback(HAPROXY.read_text(), self.port, list(self.ports.values())))
        return [self._haproxy, "-W", "-db", "-f", str(conf)]

    def again(self, name: str) -> None:
        """Start a process that has ended; nothing is awaited."""
        self.procs[name] = self._spawn(name)

    def end(self) -> None:
        """End all (rule 3): those of a kind together."""
        kinds = (["balancer", "admin", *self.ports], self.projections, self.engines, ["postgres"], self.nats)
        for kind in kinds:
            running = [self.procs[name] for name in kind if name in self.procs and self.procs[name].running]
            for proc in running:
                proc.signal(signal.SIGINT if kind == ["postgres"] else signal.SIGTERM)  # its fast shutdown
            for proc in running:
                proc.terminate(timeout=15)

    def table(self) -> str:
        """What runs where."""
        assert self.brokers is not None
        assert self.postgres is not None
        where = {name: f"127.0.0.1:{port}" for name, port in {**self.brokers.ports, **self.ports}.items()}
        where |= {"postgres": str(self.folder / "postgres"), "admin": f"http://127.0.0.1:{self.http_port}"}
        where["balancer"] = (
            f"{self.url}  ({'haproxy' if self._haproxy else 'the tests’ own: no haproxy here'})"
        )
        rows = [(name, str(proc.pid), where.get(name, "")) for name, proc in self.procs.items()]
        return "\n".join(f"  {name:<12} {pid:>7}  {place}".rstrip() for name, pid, place in rows)

    def _proc(self, name: str, argv: Sequence[str]) -> Proc:
        ends_too = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
        environment = {**self._replicas(), "NETMAP_BALANCERS": "127.0.0.0/8"}
        return Proc(argv, self.folder / f"{name}.log", env=environment, cwd=ROOT, enter=ends_too)


class Watched(Protocol):
    """Processes by name, and how one is started again."""

    procs: dict[str, Proc]

    def again(self, name: str) -> None: ...


class Watch:
    """Looks after processes: who has ended is started again after a pause (rule 2)."""

    def __init__(self, cluster: Watched) -> None:
        self._cluster = cluster
        self._pauses: dict[str, float] = {}
        self._since: dict[str, float] = dict.fromkeys(cluster.procs, 0.0)
        self._due: dict[str, float] = {}

    def look(self, now: float) -> None:
        """Look at all once; `now` in seconds of any clock that goes on."""
        for name, proc in list(self._cluster.procs.items()):
            if name in self._due:
                if now >= self._due[name]:
                    del self._due[name]
                    self._since[name] = now
                    self._cluster.again(name)
            elif not proc.running:
                steady = now - self._since[name] > STEADY_SECONDS
                pause = SHORTEST if steady else min(LONGEST, 2 * self._pauses.get(name, SHORTEST / 2))
                self._pauses[name], self._due[name] = pause, now + pause
                say(f"{name} ended with {proc.returncode}, and is started again in {pause:g} s: {proc.log}")


def on_loopback(text: str, port: int, backends: Sequence[int]) -> str:
    """Return the containers' haproxy configuration with other ports and servers, no resolver and no numbers."""
    head, _, rest = text.partition("resolvers inside\n")
    body = rest.partition("frontend clients\n")[2].partition("\nfrontend numbers\n")[0]
    lines = [line for line in body.splitlines() if "server-template" not in line]
    lines = [f"  bind 127.0.0.1:{port}" if line.strip() == "bind :8080" else line for line in lines]
    servers = [f"  server f{i + 1} 127.0.0.1:{backend}" for i, backend in enumerate(backends)]
    return "\n".join([f"{head}frontend clients", *lines, *servers, ""])


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cluster")
    parser.add_argument("--dir", type=Path, default=ROOT / ".cluster")
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args()
    given.dir.mkdir(mode=0o711, parents=True, exist_ok=True)  # PostgreSQL's own user walks through
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    cluster, began = Local(given.dir.absolute(), given.port), time.monotonic()
    try:
        cluster.start()
        cluster.serve_http()
        cluster.wait_answers()
        say(f"up after {time.monotonic() - began:.0f} s; logs in {given.dir}\n\n{cluster.table()}\n")
        say(f"next:\n  export NETMAP_DIR={cluster.directory}\n  netmap health")
        say("  netmap user create alice && netmap preauthkey create --user alice")
        say(f"  tailscale up --login-server {cluster.url} --auth-key KEY\nCtrl-C ends all.")
        watch = Watch(cluster)
        while not stop.wait(LOOK_SECONDS):
            watch.look(time.monotonic())
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # a second one ends at once; the kernel tells the processes
        say("ending all")
        cluster.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
