"""Every NATS subject, one function each; nobody else spells one.

Rule 1: shape is `netmap.v1.<tailnet>.<class>.…`; tokens are `[a-z0-9_-]`, ids decimal.
Rule 2: `cmd` is request–reply and never in a stream (JetStream's acknowledgement would answer the requester);
        `cmdq` is durable.
Rule 3: an operator's short subject is rewritten by its account's import into the `as.<actor>` form; the actor of
        an event comes from there, never from a payload.
Rule 4: the role `admin` speaks for the holder of an API key in the form `as.api.<prefix>`, which only its user may
        publish; its actor is `api-<prefix>`.
"""

import re
from typing import Final

from engine.domain.values import CommandId, TailnetName

ROOT: Final = "netmap.v1"
ENGINE_SERVICE: Final = "netmap-engine"
COMMAND_SERVICE: Final = "netmap-commands"
REGISTRATION_SERVICE: Final = "netmap-registration"
EVENT_SERVICE: Final = "netmap-events"
QUERY_SERVICE: Final = "netmap-queries"
CMDQ_STREAM: Final = "NETMAP_CMDQ"
RES_STREAM: Final = "NETMAP_RES"
DLQ_STREAM: Final = "NETMAP_DLQ"
EVENT_STREAM: Final = "NETMAP_EVENTS"
API: Final = "api"
_API_ACTOR: Final = re.compile(r"api-([0-9a-f]{12})")
_API_SUBJECT: Final = re.compile(r"[^.]+\.[^.]+\.[^.]+\.as\.api\.([0-9a-f]{12})\.cmd\..+")


def command(tailnet: TailnetName, entity: str, verb: str) -> str:
    """Return the subject that a person types: `netmap.v1.default.cmd.peer.register`."""
    return f"{ROOT}.{tailnet}.cmd.{entity}.{verb}"


def command_as(tailnet: TailnetName, actor: str, entity: str, verb: str) -> str:
    """Return the subject that the engine hears; `actor` may be `*`."""
    return f"{ROOT}.{tailnet}.as.{actor}.cmd.{entity}.{verb}"


def commands(tailnet: TailnetName) -> str:
    """Return the wildcard over all that a person types."""
    return f"{ROOT}.{tailnet}.cmd.>"


def commands_as(tailnet: TailnetName, actor: str) -> str:
    """Return the wildcard over all that the engine hears from an actor; `actor` may be `*`."""
    return f"{ROOT}.{tailnet}.as.{actor}.cmd.>"


def actor_of(subject: str) -> str | None:
    """Return the actor in a subject of the `as.<actor>` form, or of `as.api.<prefix>`, else None."""
    tokens = subject.split(".")
    if tokens[3:5] == ["as", API]:
        found = _API_SUBJECT.fullmatch(subject)
        return f"{API}-{found.group(1)}" if found else None
    return tokens[4] if len(tokens) > 4 and tokens[3] == "as" else None  # noqa: PLR2004


def command_by_key(tailnet: TailnetName, prefix: str, entity: str, verb: str) -> str:
    """Return the subject on which the engine hears the holder of an API key; `prefix` may be `*`."""
    return f"{ROOT}.{tailnet}.as.{API}.{prefix}.cmd.{entity}.{verb}"


def prefix_of(actor: str) -> str | None:
    """Return the prefix of the API key that the actor is, else None."""
    found = _API_ACTOR.fullmatch(actor)
    return found.group(1) if found else None


def durable(tailnet: TailnetName, name: str) -> str:
    """Return a durable command's subject; `name` is `peer.register`, or an alias as `PeerRegistered`."""
    return f"{ROOT}.{tailnet}.cmdq.{name}"


def durable_as(tailnet: TailnetName, actor: str, name: str) -> str:
    """Return a durable command's subject as the engine hears it; `actor` may be `*`."""
    return f"{ROOT}.{tailnet}.as.{actor}.cmdq.{name}"


def durable_result(tailnet: TailnetName, command_id: CommandId) -> str:
    """Return where the answer to a durable command is published; the id must be one token."""
    return f"{ROOT}.{tailnet}.res.{command_id}"


def dead_letter(tailnet: TailnetName, name: str) -> str:
    """Return where a refused durable command is kept."""
    return f"{ROOT}.{tailnet}.dlq.cmd.{name}"


def registration(tailnet: TailnetName, frontend: str, verb: str) -> str:
    """Return a frontend's request to the engine for one of its clients; `frontend` may be `*`."""
    return f"{ROOT}.{tailnet}.reg.{frontend}.{verb}"


def query(tailnet: TailnetName, resource: str, verb: str) -> str:
    """Return a query's subject: `netmap.v1.default.q.netmap.get`."""
    return f"{ROOT}.{tailnet}.q.{resource}.{verb}"


def log_head(tailnet: TailnetName) -> str:
    """Return where the engine says that the log has grown: a wake-up, not the truth."""
    return f"{ROOT}.{tailnet}.log.head"


def log_checkpoint(tailnet: TailnetName) -> str:
    """Return where the engine says, signed, what the log is: for witnesses to keep."""
    return f"{ROOT}.{tailnet}.log.checkpoint"


def event(tailnet: TailnetName, stream: str, tag: str) -> str:
    """Return where an event is told: `netmap.v1.default.ev.peer.100000001.PeerRegistered`; `stream` is as `peer/100000001`."""
    return f"{ROOT}.{tailnet}.ev.{stream.replace('/', '.')}.{tag.partition('.')[0]}"


def events(tailnet: TailnetName) -> str:
    """Return the wildcard over all events of a tailnet."""
    return f"{ROOT}.{tailnet}.ev.>"


def jetstream(tailnet: TailnetName, verb: str) -> str:
    """Return the subject on which an operator asks JetStream about the events; the client's prefix is all before `verb`."""
    return f"{ROOT}.{tailnet}.js.{verb}"


def map_delta(tailnet: TailnetName) -> str:
    """Return the one stream of netmap changes of a tailnet."""
    return f"{ROOT}.{tailnet}.map.delta"


def projection_status(tailnet: TailnetName, name: str) -> str:
    """Return where a projection says how it is; `name` may be `*`."""
    return f"{ROOT}.{tailnet}.map.projection.{name}"


def projection(tailnet: TailnetName, name: str, verb: str) -> str:
    """Return where one projection is asked about itself, no other: `netmap.v1.default.q.projection.host-7.verify`."""
    return f"{ROOT}.{tailnet}.q.projection.{name}.{verb}"


def soft(tailnet: TailnetName, frontend: str, kind: str) -> str:
    """Return a frontend's soft-state subject; kinds are `state` and `hello`; both may be `*`."""
    return f"{ROOT}.{tailnet}.soft.{frontend}.{kind}"


def frontend_of(subject: str) -> str | None:
    """Return the frontend in the subject of its soft state or of a registration, else None."""
    tokens = subject.split(".")
    return tokens[4] if len(tokens) == 6 and tokens[3] in ("soft", "reg") else None  # noqa: PLR2004
