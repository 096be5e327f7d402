"""The network of a run: a switch in a namespace of its own, and a host per namespace.

    ctl .10   n1 .21 … n8 .28   wg .50 and .51   wg2 .60   web .80      in 203.0.113.0/24 and 2001:db8:1::/64

1. Nothing leads outside: no interface stands in the namespace of the machine, the switch forwards nothing. Hosts have
   default routes (to the switch, where they end) because a client without one considers the network down.
2. Control is spoken to at CONTROL_IP, an address of ctl that the others reach by a route: clients from 1.80 on take
   plain HTTP for good only from private addresses, and 203.0.113.10 is none (control/ts2021/client.go, 1.80).
   10.99.0.0/24 is clear of the masquerade ranges, 10.64.0.0/24 and fc00:bbbb::/64.
3. Each process sees a copy of /etc (without secrets) and a /run of its host: a client may rewrite resolv.conf, ask
   dbus, take the lock of xtables, and the machine does not notice.
4. Hosts are made when first asked for.
"""

import atexit
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.kit.lab.claims import Claim
from tests.kit.procs import Proc, environment

ROOT = Path(__file__).resolve().parents[3]
"""The checkout: working directory of what the lab runs in Python."""

CONTROL_IP = "10.99.0.10"
CONTROL_NET = "10.99.0.0/24"

PLAN: Mapping[str, tuple[int, ...]] = {
    "ctl": (10,),
    **{f"n{i}": (20 + i,) for i in range(1, 9)},
    "wg": (50, 51),
    "wg2": (60,),
    "web": (80,),
}
"""Last numbers of the addresses of each host."""

_SWITCH = 1
_SYSCTL = (
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
)
_ENTER = 'mount --bind "$0/etc" /etc && mount --bind "$0/run" /run && exec "$@"'
_SECRET = shutil.ignore_patterns("*shadow*", "gshadow*", "ssh", "private", "sudoers*", "*.key", "polkit-1")


class LabError(AssertionError):
    """A command of the lab failed."""


class Fetched(NamedTuple):
    """Outcome of a curl: HTTP status (0 = no answer at all), body, and curl's own words."""

    status: int
    body: str
    error: str


def ip4(number: int) -> str:
    """The IPv4 address with this last number."""
    return f"203.0.113.{number}"


def ip6(number: int) -> str:
    """The IPv6 address with these last digits."""
    return f"2001:db8:1::{number}"


def run(
    argv: Sequence[str], *, timeout: float = 20.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Raises:
        LabError: it failed (with `check`) or took longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment(),
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(argv)}: not within {timeout:g} s") from late
    if check and done.returncode:
        raise LabError(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Host:
    """A host on the switch: interface e0, its own /etc and /run."""

    def __init__(self, lab: "Lab", name: str, numbers: Sequence[int]) -> None:
        self.lab = lab
        self.name = name
        self.namespace = f"{lab.prefix}-{name}"
        self.folder = lab.folder / name
        self.addresses = [ip4(number) for number in numbers] + [ip6(number) for number in numbers]
        self.ip4 = ip4(numbers[0])
        self.ip6 = ip6(numbers[0])
        self._furnish()
        _make_namespace(self.namespace)
        self._connect()

    @property
    def enter(self) -> list[str]:
        """Command prefix that leads inside; execs, so that the pid is the command's."""
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", _ENTER, str(self.folder)]

    def run(
        self, argv: Sequence[str], *, timeout: float = 20.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end; see `run`."""
        return run([*self.enter, *argv], timeout=timeout, check=check)

    def spawn(
        self,
        argv: Sequence[str],
        log: str = "",
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Proc:
        """Start a command inside; it ends with the lab. The log is `<logs>/<host>-<log or command>.log`."""
        path = self.lab.logs / f"{self.name}-{log or Path(argv[0]).name}.log"
        return self.lab.owns(Proc(argv, path, env=env, cwd=cwd, enter=self.enter))

    def spawn_module(self, module: str, *argv: str, log: str = "") -> Proc:
        """Start a Python module of this checkout inside."""
        command = [sys.executable, "-m", module, *argv]
        return self.spawn(command, log or module.rsplit(".", 1)[1], cwd=ROOT)

    def curl(self, url: str, *options: str, timeout: float = 5.0) -> Fetched:
        """Fetch a URL from here; never raises for a refused or lost connection."""
        argv = ["curl", "-sS", "-m", f"{timeout:g}", "-w", "\n%{http_code}", *options, url]
        done = self.run(argv, timeout=timeout + 10, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return Fetched(int(status or 0), body, done.stderr.strip())

    def ping(self, address: str, *, timeout: float = 2.0) -> bool:
        """Whether one ICMP echo is answered within `timeout` seconds (rounded up)."""
        argv = ["ping", "-n", "-q", "-c", "1", "-W", str(int(timeout + 0.999)), address]
        return self.run(argv, timeout=timeout + 10, check=False).returncode == 0

    def route_device(self, address: str) -> str:
        """The interface that a packet to the address would leave by; empty if there is no route."""
        words = self.run(["ip", "-o", "route", "get", address], check=False).stdout.split()
        return words[words.index("dev") + 1] if "dev" in words else ""

    def cut(self) -> None:
        """Pull the cable: no FIN, no RST; the interface of the host stays up."""
        self.lab.on_switch("link", "set", self.name, "nomaster")

    def heal(self) -> None:
        """Put the cable back."""
        self.lab.on_switch("link", "set", self.name, "master", "br0")

    def _furnish(self) -> None:
        self.folder.mkdir(mode=0o700)
        (self.folder / "run").mkdir()
        shutil.copytree(
            "/etc", self.folder / "etc", symlinks=True, ignore=_SECRET, ignore_dangling_symlinks=True
        )
        resolv = self.folder / "etc" / "resolv.conf"
        resolv.unlink(missing_ok=True)
        resolv.write_text(f"nameserver {ip4(PLAN['web'][0])}\n")

    def _connect(self) -> None:
        here = ("ip", "-n", self.namespace)
        self.lab.on_switch(
            "link", "add", self.name, "type", "veth", "peer", "name", "e0", "netns", self.namespace
        )
        self.lab.on_switch("link", "set", self.name, "master", "br0", "up")
        for address in self.addresses:
            _address(self.namespace, "e0", address, deprecated=address not in (self.ip4, self.ip6))
        run([*here, "link", "set", "e0", "up"])
        if self.name == "ctl":
            run([*here, "address", "add", f"{CONTROL_IP}/32", "dev", "e0"])
        else:
            run([*here, "route", "add", CONTROL_NET, "via", ip4(PLAN["ctl"][0])])
        run([*here, "route", "add", "default", "via", ip4(_SWITCH)])
        run([*here, "-6", "route", "add", "default", "via", ip6(_SWITCH)])


class Lab:
    """A run of the lab: `with Lab(tmp_path) as lab: lab.host("n1")`.

    Args:
        logs: folder for the logs of all that runs inside; without one they vanish with the lab.
    """

    def __init__(self, logs: Path | None = None) -> None:
        self._claim = Claim()
        atexit.register(self.close)
        self.prefix = self._claim.prefix
        self.folder = self._claim.folder
        self.logs = logs or self.folder / "logs"
        self._hosts: dict[str, Host] = {}
        self._procs: list[Proc] = []
        _make_namespace(f"{self.prefix}-sw")
        self.on_switch("link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        for address in (ip4(_SWITCH), ip6(_SWITCH)):
            _address(f"{self.prefix}-sw", "br0", address)
        self.on_switch("link", "set", "br0", "up")

    def host(self, name: str) -> Host:
        """The host of that name in PLAN, made when first asked for."""
        if name not in self._hosts:
            self._hosts[name] = Host(self, name, PLAN[name])
        return self._hosts[name]

    def on_switch(self, *argv: str) -> None:
        """Run `ip` in the namespace of the switch."""
        run(["ip", "-n", f"{self.prefix}-sw", *argv])

    def owns(self, proc: Proc) -> Proc:
        """Let the lab end the process when it closes."""
        self._procs.append(proc)
        return proc

    def close(self) -> None:
        """End all processes, remove all namespaces and the folder; a second call does nothing."""
        atexit.unregister(self.close)
        while self._procs:
            self._procs.pop().kill()
        self._claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _make_namespace(name: str) -> None:
    run(["ip", "netns", "add", name])
    run(["ip", "netns", "exec", name, "sysctl", "-qw", *_SYSCTL])
    run(["ip", "-n", name, "link", "set", "lo", "up"])


def _address(namespace: str, device: str, address: str, *, deprecated: bool = False) -> None:
    # A deprecated address is answered for but not chosen as a source, as a secondary IPv4 address is by itself.
    six = ["nodad", *(["preferred_lft", "0"] if deprecated else [])]
    end = ["/64", *six] if ":" in address else ["/24"]
    run(["ip", "-n", namespace, "address", "add", address + end[0], "dev", device, *end[1:]])
