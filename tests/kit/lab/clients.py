"""A real tailscaled in a host, driven by its own command line.

1. Never a word outside: logs are off, and a daemon that would speak to the vendor's control server panics instead.
2. `tun` changes the routes of its host as on a user's machine; `userspace` changes nothing and is used by its SOCKS5
   port. One client per host.
3. State is read from the LocalAPI socket: the command line costs as much processor time as a poll may not.
"""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from tests.kit.lab import localapi
from tests.kit.lab.net import CONTROL_IP, ROOT, Fetched, Host, LabError
from tests.kit.procs import DeadlineError, Proc, wait_until

CLIENTS = ROOT / ".clients"
"""Where build-clients.sh puts the binaries, a folder per version."""

LATEST = "1.102.3"
VERSIONS = (LATEST, "1.92.5", "1.82.0")
"""The generations that most tests use, newest first."""
OLDEST = "1.70.0"
"""The oldest that we serve; built too. It has no capability names in filters, these three have."""

SOCKS = "127.0.0.1:1055"
PORT = 41641
"""UDP port of WireGuard; the default of tailscaled, said aloud so that far sides can expect it."""

QUIET = {
    "TS_NO_LOGS_NO_SUPPORT": "true",
    "TS_DISABLE_PORTMAPPER": "1",
    "TS_PANIC_IF_HIT_MAIN_CONTROL": "1",
    "TS_DEBUG_LOG_RATE": "all",
}

_URL = r"^\s*(https?://\S+)"


def binary(version: str, name: Literal["tailscale", "tailscaled"]) -> Path:
    """Path of a built client, whether it exists or not."""
    return CLIENTS / f"v{version}" / name


class TailscaleClient:
    """A client of one version on one host; not started yet.

    Args:
        version: one of VERSIONS.
        host: where it runs.
        mode: "tun" or "userspace".
        state: "file" survives a restart, "mem" is an ephemeral node that logs out on SIGTERM.
        firewall: what it writes its rules with, nftables or iptables.
        env: more variables for the daemon.
    """

    def __init__(
        self,
        version: str,
        host: Host,
        *,
        mode: Literal["tun", "userspace"] = "tun",
        state: Literal["file", "mem"] = "file",
        firewall: Literal["nftables", "iptables"] = "nftables",
        env: dict[str, str] | None = None,
    ) -> None:
        self.version = version
        self.host = host
        self.mode = mode
        self.state = state
        self.socket = host.folder / "ts.sock"
        self.statedir = host.folder / "state"
        self.daemon: Proc | None = None
        self._env = QUIET | {"TS_DEBUG_FIREWALL_MODE": firewall} | (env or {})
        self._login: Proc | None = None

    def start(self, *, timeout: float = 20.0) -> None:
        """Start the daemon and wait until its socket answers."""
        if self.daemon and self.daemon.running:
            raise LabError(f"{self.host.name}: a daemon runs already")
        self.daemon = self.host.spawn(self._command(), "tailscaled", env=self._env)
        self._wait(self._answers, "answers on its socket", timeout)

    def stop(self, *, timeout: float = 15.0) -> int:
        """SIGTERM; return the exit status (0 = in order, −9 = had to be killed)."""
        return self._daemon().terminate(timeout=timeout)

    def kill(self) -> None:
        """SIGKILL: no good-bye to the server, nothing tidied up."""
        self._daemon().kill()

    def restart(self) -> None:
        """Stop and start with the same state."""
        self.stop()
        self.start()

    def argv(self, *words: str) -> list[str]:
        """The command `tailscale <words>`, to be run on its host."""
        return [str(binary(self.version, "tailscale")), f"--socket={self.socket}", *words]

    def cli(self, *argv: str, timeout: float = 30.0, check: bool = True) -> str:
        """Run `tailscale <argv>`; return what it wrote to stdout, then stderr.

        Raises:
            LabError: it failed (with `check`) or took too long.
        """
        done = self.host.run(self.argv(*argv), timeout=timeout, check=check)
        return done.stdout + done.stderr

    def up(self, login_server: str, auth_key: str | None = None, *extra: str, timeout: float = 30.0) -> None:
        """`tailscale up` to its end, under the name of the host.

        Args:
            login_server: `login_url(port)`.
            auth_key: without one the node must be known already.
            extra: more flags, "--hostname=a", "--reset".
            timeout: seconds.

        Raises:
            LabError: the server refused, or the client was not running in time.
        """
        key = [f"--auth-key=file:{self._keep(auth_key)}"] if auth_key else []
        self.cli(*self._up(login_server), *key, f"--timeout={timeout:g}s", *extra, timeout=timeout + 5)

    def up_interactive(self, login_server: str, *extra: str, timeout: float = 20.0) -> str:
        """Begin `tailscale up` without a key; return the AuthURL printed. It goes on waiting: see `wait_login`."""
        self._login = self.host.spawn(self.argv(*self._up(login_server), *extra), "tailscale-up")
        return self._login.wait_line(_URL, timeout=timeout)[1]

    def wait_login(self, *, timeout: float = 30.0) -> None:
        """Wait until the interactive `up` has ended well.

        Raises:
            LabError: it ended with an error.
            DeadlineError: it still waits.
        """
        if self._login is None:
            raise LabError(f"{self.host.name}: no login was begun")
        if self._login.wait_exit(timeout=timeout):
            raise LabError(self._login.text())

    def down(self) -> None:
        self.cli("down")

    def logout(self) -> None:
        self.cli("logout")

    def set(self, *flags: str) -> None:
        """`tailscale set`: "--exit-node=berlin", "--accept-routes"."""
        self.cli("set", *flags)

    def status(self) -> dict[str, Any]:
        """What `tailscale status --json` shows (ipnstate.Status)."""
        found: dict[str, Any] = localapi.call(self.socket, "GET", "status")
        return found

    def backend_state(self) -> str:
        """NoState, NeedsLogin, NeedsMachineAuth, Stopped, Starting or Running."""
        return str(self.status()["BackendState"])

    def netmap(self) -> dict[str, Any]:
        """The netmap as the client has it (netmap.NetworkMap); before 1.102 without patches, there read `status`."""
        if self._before(1, 94):
            found: dict[str, Any] = json.loads(self.cli("debug", "netmap"))
        else:
            found = localapi.call(self.socket, "POST", "debug?action=current-netmap")
        return found

    def filter(self) -> list[dict[str, Any]]:
        """The packet filter as the client has compiled it: `Srcs`, `SrcCaps`, `Dsts`, `IPProto` of each rule."""
        return self.netmap()["PacketFilter"] or []

    def map_sessions(self) -> int:
        """How many map sessions the daemon has begun since it was last started."""
        return self.log().count("PollNetMap: stream=true")

    def peers(self) -> dict[str, dict[str, Any]]:
        """The peers of `status` by the first label of their DNS name (or host name)."""
        peers = (self.status().get("Peer") or {}).values()
        return {(peer.get("DNSName") or peer["HostName"]).split(".")[0]: peer for peer in peers}

    def node_key(self) -> str:
        """Its public key, "nodekey:<64 hex>"; `wireguard.key_base64` turns it into the far side's form."""
        return str(self.status()["Self"]["PublicKey"])

    def ip4(self) -> str:
        """Its IPv4 address in the tailnet."""
        return next(address for address in self._addresses() if ":" not in address)

    def ip6(self) -> str:
        """Its IPv6 address in the tailnet."""
        return next(address for address in self._addresses() if ":" in address)

    def exit_node_list(self, *extra: str) -> str:
        """The table of `tailscale exit-node list`; empty table and error text alike are returned, not raised."""
        return self.cli("exit-node", "list", *extra, check=False)

    def exit_node_suggest(self) -> str:
        """What `tailscale exit-node suggest` says, "no suggestion" included."""
        return self.cli("exit-node", "suggest", check=False)

    def curl(self, url: str, *options: str, timeout: float = 5.0) -> Fetched:
        """Fetch a URL the way a program of the user would: plainly in `tun`, through SOCKS5 in `userspace`."""
        proxy = ["--socks5-hostname", SOCKS] if self.mode == "userspace" else []
        return self.host.curl(url, *proxy, *options, timeout=timeout)

    def ping(
        self,
        target: str,
        kind: Literal["disco", "icmp", "tsmp", "peerapi"] = "disco",
        *,
        timeout: float = 5.0,
    ) -> bool:
        """Whether `tailscale ping` gets an answer; only `icmp` obeys packet filters."""
        flags = ["--c=1", f"--timeout={timeout:g}s", "--until-direct=false"]
        flags += [] if kind == "disco" else [f"--{kind}"]
        return "pong from" in self.cli("ping", *flags, target, timeout=timeout + 10, check=False)

    def wait_path(self, other: "TailscaleClient", *, timeout: float = 60.0) -> None:
        """Wait until WireGuard carries between the two, whatever the filters say.

        Both look for a direct path first: a handshake that is sent before goes to the relay, which is none, and the
        next one follows 5 s later.
        """
        self._wait(lambda: self.ping(other.ip4()) and other.ping(self.ip4()), "has a path", timeout)
        self._wait(lambda: self.ping(other.ip4(), "tsmp"), "has a session", timeout)

    def wait_running(self, *, timeout: float = 20.0) -> None:
        self.wait_state("Running", timeout=timeout)

    def wait_state(self, state: str, *, timeout: float = 20.0) -> None:
        """Wait for a BackendState.

        Raises:
            DeadlineError: with the end of the daemon's log.
        """
        self._wait(lambda: self.backend_state() == state, f"is {state}", timeout)

    def wait_peer(
        self, label: str, condition: Callable[[dict[str, Any]], Any] = bool, *, timeout: float = 10.0
    ) -> None:
        """Wait until `peers()[label]` exists and meets the condition."""
        self._wait(lambda: condition(self.peers().get(label) or {}), f"has {label} as awaited", timeout)

    def wait_no_peer(self, label: str, *, timeout: float = 10.0) -> None:
        """Wait until no peer has that label."""
        self._wait(lambda: label not in self.peers(), f"has lost {label}", timeout)

    def wait_no_peers(self, *, timeout: float = 10.0) -> None:
        """Wait until it has no peer at all."""
        self._wait(lambda: not self.peers(), "has lost all peers", timeout)

    def log(self) -> str:
        """What the daemon has written since it was last started."""
        return self._daemon().text()

    def _command(self) -> list[str]:
        state = "mem:" if self.state == "mem" else str(self.statedir / "tailscaled.state")
        argv = [
            str(binary(self.version, "tailscaled")),
            f"--socket={self.socket}",
            f"--statedir={self.statedir}",
            f"--state={state}",
            f"--port={PORT}",
            "--no-logs-no-support",
            "--verbose=1",
        ]
        if self.mode == "tun":
            return [*argv, "--tun=tailscale0"]
        proxies = [f"--socks5-server={SOCKS}", f"--outbound-http-proxy-listen={SOCKS}"]
        return [*argv, "--tun=userspace-networking", *proxies]

    def _up(self, login_server: str) -> list[str]:
        return ["up", f"--login-server={login_server}", f"--hostname={self.host.name}"]

    def _keep(self, auth_key: str) -> Path:
        """A file with the key: a command line is repeated in errors."""
        path = self.host.folder / "auth-key"
        path.touch(mode=0o600)
        path.write_text(auth_key)
        return path

    def _daemon(self) -> Proc:
        if self.daemon is None:
            raise LabError(f"{self.host.name}: the daemon was never started: {shlex.join(self._command())}")
        return self.daemon

    def _answers(self) -> bool:
        try:
            return bool(self.status())
        except (OSError, ValueError):
            return False

    def _addresses(self) -> list[str]:
        found: list[str] = self.status()["TailscaleIPs"] or []
        return found

    def _before(self, *version: int) -> bool:
        return tuple(int(part) for part in self.version.split(".")) < version

    def _wait(self, condition: Callable[[], Any], what: str, timeout: float) -> None:
        def alive_and_so() -> Any:
            if not self._daemon().running:
                raise LabError(f"{self.host.name}: tailscaled ended\n{self.log()[-3000:]}")
            return condition()

        try:
            wait_until(alive_and_so, f"{self.host.name} ({self.version}) {what}", timeout=timeout, every=0.1)
        except DeadlineError as error:
            raise DeadlineError(f"{error}\n{self.log()[-3000:]}") from None


def login_url(port: int = 8080) -> str:
    """The address that a client is told: plain HTTP at the private address of ctl."""
    return f"http://{CONTROL_IP}:{port}"
