"""A cluster of real nats-servers on one address, with the accounts, users and rights that our own server has.

1. Server i listens for clients on its own port and for the other servers on another; all know all.
2. The files are written into the deployment's directory as the bundled server writes its own: one configuration for each
   server, one context for each role with every server's address.
3. `wipe` takes a stopped server's JetStream data away: a broker is a cache.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from engine.adapters.bus.certificates import make, utc
from engine.adapters.bus.context import Context, context_path, inbox_of
from engine.adapters.bus.server import binary
from engine.adapters.bus.server_config import ROLES, ROUTE_USER, Member, Plan, Tls, render
from engine.adapters.clock import SystemClock
from engine.domain.values import DEFAULT_TAILNET

ROUTE_PASSWORD = "route-password"


class Brokers:
    """The servers of a cluster.

    Args:
        directory: configurations, contexts and data go here.
        address: all listen on it.
        ports: where clients come in, by the server's name.
        routes: where the other servers come in.
        tls: with certificates of an authority of their own, for clients and among themselves.
    """

    def __init__(
        self,
        directory: Path,
        address: str,
        ports: Mapping[str, int],
        routes: Mapping[str, int],
        *,
        tls: bool = False,
    ) -> None:
        self.directory = directory
        self.ports = ports
        self._address = address
        self._routes = routes
        self._tls = tls

    @property
    def url(self) -> str:
        """Every server's, with commas between."""
        scheme = "tls" if self._tls else "nats"
        return ",".join(f"{scheme}://{self._address}:{port}" for port in self.ports.values())

    @property
    def certificates(self) -> Path:
        """Where the authority's and everybody's folder is, with TLS."""
        return self.directory / "certificates"

    def write(self) -> None:
        """Write the files."""
        if self._tls:
            servers = dict.fromkeys(self.ports, (self._address,))
            make(self.certificates, servers, ROLES, utc(SystemClock().now()))
        passwords = {role: f"password-of-{role}" for role in ROLES}
        context_path(str(self.directory), ROLES[0]).parent.mkdir(mode=0o700, exist_ok=True)
        for role in ROLES:
            context = Context(
                url=self.url,
                user=role,
                password=passwords[role],
                inbox_prefix=inbox_of(role),
                **self._files(role),
            )
            context_path(str(self.directory), role).write_bytes(msgspec.json.encode(context))
        for name in self.ports:
            self._conf(name).write_text(render(self._plan(name, passwords)))

    def argv(self, name: str) -> Sequence[str]:
        """The command that runs one server."""
        return [str(binary()), "-c", str(self._conf(name))]

    def wipe(self, name: str) -> None:
        """Take a server's data away; it must not run."""
        shutil.rmtree(self._data(name), ignore_errors=True)

    def _files(self, role: str) -> dict[str, str]:
        if not self._tls:
            return {}
        files = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
        return {field: str((self.certificates / role / file).absolute()) for field, file in files.items()}

    def _plan(self, name: str, passwords: Mapping[str, str]) -> Plan:
        known = [
            f"nats://{ROUTE_USER}:{ROUTE_PASSWORD}@{self._address}:{port}" for port in self._routes.values()
        ]
        own = (self.certificates / name).absolute()
        tls = Tls(ca=f"{own}/ca.pem", certificate=f"{own}/cert.pem", key=f"{own}/key.pem")
        return Plan(
            tailnet=DEFAULT_TAILNET,
            listen=f"{self._address}:{self.ports[name]}",
            store_dir=str(self._data(name)),
            passwords=passwords,
            member=Member(
                name=name,
                listen=f"{self._address}:{self._routes[name]}",
                password=ROUTE_PASSWORD,
                routes=tuple(known),
            ),
            tls=tls if self._tls else None,
        )

    def _conf(self, name: str) -> Path:
        return self.directory / f"{name}.conf"

    def _data(self, name: str) -> Path:
        return self.directory / f"{name}-jetstream"
