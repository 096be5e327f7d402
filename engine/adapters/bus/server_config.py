"""The configuration of a nats-server for one tailnet: accounts, users, rights.

Rule 1: denied unless allowed; no user without a password, no anonymous one.
Rule 2: the operator has an account of its own. What it publishes on short command subjects arrives as
        `…as.operator.cmd.…`: only the account's import can put that name there (reference: ecosystem §3.4).
Rule 3: an answer may be sent to whoever asked, `ANSWERS` times within `ANSWER_SECONDS`, and nowhere else.
Rule 4: only `admin` says `…as.api.<prefix>.cmd.…`, for the commands that it has endpoints for, and asks whether an API
        key is good; it answers nobody.
Rule 5: a client that is stopped, or out of reach, is let go of within 9 to 12 s: until then a share of the requests goes to it.
Rule 6: nothing listens but the client port and, in a cluster, the port for the other servers: these show a password, and
        between hosts a certificate of our own authority. A cluster may be asked on loopback whether it is well.
Rule 7: of the stream of events an operator reads messages by number or subject, on `…js.>`: `$JS.API` is its own account's. Who may make a consumer may have the server
        say its messages on any subject, so nobody but the engine may.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from engine.adapters.bus.context import inbox_of
from engine.contracts import subjects
from engine.contracts.queries import ADMIN_QUERIES
from engine.contracts.requests import BY_KEY
from engine.domain.values import TailnetName

ROLES: Final = ("engine", "projection", "frontend", "admin", "operator")
OPERATOR: Final = "operator"
SILENT: Final = ("admin", OPERATOR)
"""Who answers nobody."""
ANSWERS: Final = 16
"""Every service of a connection answers the same `$SRV.PING`."""
ANSWER_SECONDS: Final = 120
CLUSTER: Final = "netmap"
"""The cluster's name, which its servers must agree on."""
ROUTE_USER: Final = "route"
HANDSHAKE_SECONDS: Final = 5
"""How long a TLS handshake may take; the server's own default of 2 is short on a busy machine."""

JETSTREAM: Final = "$JS.API"
EVENT_READS: Final = tuple(
    f"{verb}.{subjects.EVENT_STREAM}" for verb in ("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET")
)
"""What is asked of JetStream by who reads the stream of events (rule 7)."""


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Files in PEM: the authority, and what this server shows. Whoever connects must show a certificate of that authority too."""

    ca: str
    certificate: str
    key: str


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One server of a cluster; texts as they stand in the file (`$VARIABLE` too)."""

    name: str
    """Unique in the cluster: JetStream knows the server by it."""
    listen: str
    """Where the other servers come in: `127.0.0.1:6222`."""
    password: str
    routes: tuple[str, ...]
    """Where the servers are: `nats://route:PASSWORD@host:6222`; its own among them does no harm."""
    health: str = ""
    """Where it says whether it is well, `127.0.0.1:8222`: for a probe on the same host, never another."""

    def __repr__(self) -> str:
        return f"Member(name={self.name!r}, listen={self.listen!r}, …)"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration is made from; passwords by role, as they stand in the file (`$VARIABLE` too)."""

    tailnet: TailnetName
    listen: str
    """`127.0.0.1:4222`."""
    store_dir: str
    passwords: Mapping[str, str]
    extra: str = ""
    """Lines for the top: pid file, log file."""
    member: Member | None = None
    """Alone if absent."""
    tls: Tls | None = None
    """For clients and, in a cluster, the other servers; in clear if absent."""

    def __repr__(self) -> str:
        return f"Plan(listen={self.listen!r}, …)"


class Rights(msgspec.Struct, frozen=True):
    """What a role may publish and subscribe to, besides answers and its own inbox."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    denied: tuple[str, ...] = ()
    """What it may not publish, though `publish` speaks of it."""


def rights_of(role: str, tailnet: TailnetName) -> Rights:
    """Return a role's rights; a frontend's are those of all frontends, which share one user."""
    own = f"{subjects.ROOT}.{tailnet}"
    match role:
        case "engine":
            return Rights(
                publish=(
                    f"{own}.log.*",
                    f"{own}.res.*",
                    f"{own}.dlq.>",
                    f"{own}.ev.>",
                    f"{own}.adv.>",
                    "$JS.API.>",
                    "$JS.ACK.>",
                ),
                subscribe=(
                    f"{own}.cmd.>",
                    f"{own}.as.*.cmd.>",
                    f"{own}.as.{subjects.API}.*.cmd.>",
                    f"{own}.reg.>",
                    f"{own}.q.login.list",
                    f"{own}.q.log.checkpoint",
                    f"{own}.q.stream.*",
                    f"{own}.soft.>",
                    "$SRV.>",
                ),
            )
        case "projection":
            return Rights(
                publish=(f"{own}.map.>", f"{own}.soft.*.hello"),
                subscribe=(f"{own}.log.head", f"{own}.soft.>", f"{own}.q.>", f"{own}.map.>", "$SRV.>"),
            )
        case "frontend":
            return Rights(
                publish=(f"{own}.reg.*.*", f"{own}.soft.*.*", f"{own}.q.snapshot.get", f"{own}.q.head.get"),
                subscribe=(f"{own}.map.>", f"{own}.soft.>", f"{own}.log.head", f"{own}.node.>", "$SRV.>"),
            )
        case "admin":
            asked = [subjects.query(tailnet, *names) for names in ADMIN_QUERIES]
            said = [subjects.command_by_key(tailnet, "*", *names) for names in BY_KEY]
            return Rights(publish=(*said, *asked), subscribe=(f"{own}.log.head",))
        case _:
            return Rights(
                publish=(f"{own}.cmd.>", f"{own}.cmdq.>", f"{own}.q.>", "$SRV.>", f"{own}.js.>"),
                subscribe=(f"{own}.map.>", f"{own}.ev.>", f"{own}.res.*", f"{own}.log.*"),
                denied=(subjects.query(tailnet, "apikey", "check"),),
            )


def render(plan: Plan) -> str:
    """Return the configuration file."""
    users = [_user(role, plan) for role in ROLES if role != OPERATOR]
    return f"""# Written by `netmap serve`; changes are overwritten at the next start.
listen: {_quoted(plan.listen)}
{plan.extra}jetstream {{ store_dir: {_quoted(plan.store_dir)}, sync_interval: always }}
max_payload: 1MB
write_deadline: "10s"
ping_interval: "3s"
ping_max: 2
{_together(plan)}accounts {{
  NETMAP {{
    jetstream: enabled
    users: {_list(users)}
    exports: {_list(_exports(plan.tailnet))}
  }}
  OPERATOR {{
    users: {_list([_user(OPERATOR, plan)])}
    imports: {_list(_imports(plan.tailnet))}
  }}
}}
"""


def _together(plan: Plan) -> str:
    """Return the lines of a server that is not alone, or not in clear."""
    tls = _tls(plan.tls) if plan.tls else ""
    # Ours begin with the handshake, so that a password never goes in clear; who does not is greeted after a moment.
    lines = [f"tls {{ {tls}, handshake_first: auto }}"] if tls else []
    if member := plan.member:
        lines += [f"server_name: {_secret(member.name)}"]
        lines += [f"http: {_quoted(member.health)}"] if member.health else []
        lines += ["cluster {", f"  name: {CLUSTER}", f"  listen: {_quoted(member.listen)}"]
        lines += [
            f"  authorization {{ user: {ROUTE_USER}, password: {_secret(member.password)}, timeout: 5 }}"
        ]
        lines += [f"  routes: [{', '.join(map(_secret, member.routes))}]"]
        # Clients have every server's address from their settings; what a server makes of its own may not be in its certificate.
        lines += ["  no_advertise: true", *([f"  tls {{ {tls} }}"] if tls else []), "}"]
    return "".join(f"{line}\n" for line in lines)


def _tls(files: Tls) -> str:
    texts = f"ca_file: {_quoted(files.ca)}, cert_file: {_quoted(files.certificate)}, key_file: {_quoted(files.key)}"
    return f"{texts}, verify: true, timeout: {HANDSHAKE_SECONDS}"


def _user(role: str, plan: Plan) -> str:
    rights = rights_of(role, plan.tailnet)
    subscribe = (*rights.subscribe, f"{inbox_of(role)}.>")
    answers = "" if role in SILENT else f", allow_responses: {{ max: {ANSWERS}, expires: {ANSWER_SECONDS}s }}"
    denied = f", deny: {json.dumps(rights.denied)}" if rights.denied else ""
    return (
        f"{{ user: {role}, password: {_secret(plan.passwords[role])}, permissions: {{ "
        f"publish: {{ allow: {json.dumps(rights.publish)}{denied} }}, subscribe: {{ allow: {json.dumps(subscribe)} }}{answers} }} }}"
    )


def _services(tailnet: TailnetName) -> Sequence[tuple[str, str]]:
    """Pairs of what the engine hears and what the operator says."""
    return (
        (subjects.commands_as(tailnet, OPERATOR), subjects.commands(tailnet)),
        (subjects.durable_as(tailnet, OPERATOR, ">"), subjects.durable(tailnet, ">")),
        (f"{subjects.ROOT}.{tailnet}.q.>", ""),
        ("$SRV.>", ""),
        *((f"{JETSTREAM}.{verb}", subjects.jetstream(tailnet, verb)) for verb in EVENT_READS),
    )


def _streams(tailnet: TailnetName) -> Sequence[str]:
    return tuple(f"{subjects.ROOT}.{tailnet}.{name}" for name in ("map.>", "ev.>", "res.*", "log.*"))


def _exports(tailnet: TailnetName) -> list[str]:
    response = {"$SRV.>": ", response_type: stream"}
    services = [
        f"{{ service: {_quoted(heard)}, accounts: [OPERATOR]{response.get(heard, '')} }}"
        for heard, _ in _services(tailnet)
    ]
    return services + [f"{{ stream: {_quoted(name)}, accounts: [OPERATOR] }}" for name in _streams(tailnet)]


def _imports(tailnet: TailnetName) -> list[str]:
    services = [
        f"{{ service: {{ account: NETMAP, subject: {_quoted(heard)} }}{f', to: {_quoted(said)}' if said else ''} }}"
        for heard, said in _services(tailnet)
    ]
    streams = [f"{{ stream: {{ account: NETMAP, subject: {_quoted(name)} }} }}" for name in _streams(tailnet)]
    return services + streams


def _list(entries: Sequence[str]) -> str:
    return "[\n      " + "\n      ".join(entries) + "\n    ]"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _secret(text: str) -> str:
    return text if text.startswith("$") else _quoted(text)
