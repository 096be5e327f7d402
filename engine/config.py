"""Settings of every role, parsed from a TOML file, the environment and overrides; no file is read here.

Rule 1: later sources win: the defaults, the file, `NETMAP_<NAME>`, the overrides.
Rule 2: in the file a table's name is a prefix: `[nats] port = 4222` is `nats_port = 4222`.
Rule 3: an unknown key in the file or the overrides is an error; an unknown variable is not ours to judge.
Rule 4: `repr` tells no secret: URLs and passwords may hold one.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Token = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,62}\Z")]
"""One token of a NATS subject."""
TokenOrNone = Annotated[str, msgspec.Meta(pattern=r"\A([a-z0-9][a-z0-9_-]{0,62})?\Z")]

ENVIRONMENT_PREFIX: Final = "NETMAP_"
_LISTS: Final = ("nats_urls", "name_servers", "outside_hosts", "balancers")
"""Settings whose variable is a list with commas."""


class ConfigError(ValueError):
    """A setting is unknown or not of its type; the text names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a role needs to know before it starts."""

    tailnet: Token = "default"
    directory: str = ".netmap"
    """Where the store, the keys, the contexts and the bundled server's data are."""
    store: str = ""
    """`memory:`, `sqlite:///abs/path.db` or `postgresql://…`; empty is `events.db` in the directory."""
    nats_urls: tuple[str, ...] = ()
    """Empty: what `<directory>/contexts/<role>.json` says."""
    nats_user: str = ""
    nats_password: str = ""
    nats_inbox: str = ""
    """The private inbox prefix of the user; empty is `_INBOX_<user>`."""
    nats_ca: str = ""
    """A file with the authority whose NATS servers are believed, in PEM; then TLS comes before anything else is said. Empty: the
    system's authorities for `tls://`, and no TLS for `nats://`."""
    nats_certificate: str = ""
    """A file with the certificate that is shown to the NATS servers, in PEM."""
    nats_key: str = ""
    """The file with its key."""
    nats_replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    """On how many servers of the cluster each JetStream stream is; 3 in a cluster of three."""
    nats_port: Port = 4222
    """Where the bundled server listens on loopback; 0 takes a free port."""
    listen_host: str = "127.0.0.1"
    listen_port: Port = 8080
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8081
    """Where the HTTP API is served; 0 takes a free port."""
    server_url: str = ""
    """How clients reach the frontends; empty is http:// and the two above."""
    frontend: TokenOrNone = ""
    """This frontend's id: unique among the frontends of the tailnet. Empty: made from the names of host and process."""
    frontends: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    """How many frontends `netmap serve` runs: one in its own process, several in processes of their own; 0 is one for each core."""
    share_port: bool = False
    """Whether other frontends of the tailnet may listen on the same address and port of this host (SO_REUSEPORT)."""
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=300)] = 5.0
    """Over how long a frontend that stops closes its sessions, so that their clients do not come back all at once."""
    balancers: tuple[str, ...] = ()
    """Addresses and networks of TCP balancers before the frontends: limits that hold for one address do not hold for them."""
    derp_map: str = ""
    """A file with a DERP map in JSON, set at the start when it differs; empty keeps the log's."""
    ephemeral_seconds: Annotated[float, msgspec.Meta(ge=1)] = 1_800.0
    """How long an ephemeral node may be offline before it is deleted; 30 minutes, as Headscale's default."""
    lookup_seconds: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    """The shortest time between two lookups of a host name that WireGuard-only peers have; its server says how long else."""
    name_servers: tuple[str, ...] = ()
    """Which name servers are asked, `address` or `address:port`; empty: the system's."""
    metrics_port: Port = 0
    """Where Prometheus metrics are served on `listen_host`; 0 is nowhere."""
    outside_calls: bool = False
    """Whether the engine may call VPN providers, to register nodes there."""
    outside_hosts: tuple[str, ...] = ()
    """Whom it may call: `api.mullvad.net` (port 443), `vpn.example:8443`."""
    outside_loopback: bool = False
    """Whether these may be on a loopback address, and spoken to by plain http there; for tests."""
    event_stream: bool = True
    """Whether events are told to other systems, in the JetStream stream `NETMAP_EVENTS`."""
    event_days: Annotated[float, msgspec.Meta(ge=0, le=36_500)] = 30.0
    """How many days the stream keeps an event; 0 is for ever. The log keeps all."""
    event_octets: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How large the stream may be before the oldest go; 0 is without bound."""
    open_commands: bool = False
    """Answer short command subjects too, with actor `anonymous`: for servers without accounts, never in production."""
    log_level: str = "info"

    def __repr__(self) -> str:
        return f"Settings(tailnet={self.tailnet!r}, directory={self.directory!r}, …)"

    def store_url(self) -> str:
        """Return the store's URL, with the default of an empty one filled in."""
        return self.store or f"sqlite://{Path(self.directory).absolute()}/events.db"

    def public_url(self) -> str:
        """Return the URL that clients are told, without a slash at the end."""
        return (self.server_url or f"http://{self.listen_host}:{self.listen_port}").rstrip("/")


def parse(
    text: str = "",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Return the settings of a TOML text, an environment and overrides (rule 1).

    Raises:
        ConfigError: not TOML, an unknown key, or a value of the wrong type.
    """
    values = _from_toml(text)
    values |= _from_environment(environment or {})
    values |= {key: value for key, value in (overrides or {}).items() if value is not None}
    _refuse_unknown(values)
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None


def _from_toml(text: str) -> dict[str, object]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the configuration file is not TOML: {error}") from None
    values: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            values |= {f"{key}_{inner}": entry for inner, entry in value.items()}
        else:
            values[key] = value
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in Settings.__struct_fields__:
        value = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if value is not None:
            values[name] = tuple(filter(None, value.split(","))) if name in _LISTS else value
    return values


def _refuse_unknown(values: Mapping[str, object]) -> None:
    for key in values:
        if key not in Settings.__struct_fields__:
            close = difflib.get_close_matches(key, Settings.__struct_fields__, n=1)
            raise ConfigError(f"unknown setting {key!r}" + (f"; perhaps {close[0]!r}?" if close else ""))
