"""Commands as a NATS service: one endpoint each, one for those that do not exist.

Rule 1: the actor is a token of the subject that only the server's account rules can put there. The short subjects are
        there to be found (`nats micro req` publishes to them; an account's import rewrites them); heard as they are,
        they are refused, or with `open_commands` done by `anonymous`.
Rule 2: an actor that is an API key is looked at for each command: what has ended does nothing, from that moment on.
Rule 3: every request has one answer: the catch-all is the last endpoint, and `Bus.serve` asks them in order.
"""

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from engine.application.answers import digest_of, json_answer
from engine.application.checkpoints import Checkpoints
from engine.application.decoding import cause_of, command_id_of, deadline_of, decode, reason_of, strict_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.application.registration import Registration
from engine.contracts import subjects
from engine.contracts.requests import BY_KEY, Accepted
from engine.domain.aggregates import ApiKey
from engine.domain.apikeys import ADMIN, key_by_prefix
from engine.domain.commands import BY_NAME, COMMANDS, ApproveLogin, Command, RecordExport, RejectLogin
from engine.domain.errors import NotAllowed, NotFound
from engine.domain.values import CommandId, TailnetName
from engine.ports import Answer, Bus, Endpoint, IdSource, Message

VERSION: Final = "0.1.0"
ANONYMOUS: Final = "anonymous"
MAX_SCHEMA: Final = 2_048
"""Octets of a JSON Schema inside the metadata; a larger one is left out (reference: ecosystem §3.1)."""


class Commands:
    """Everything that an operator may tell the engine, on the bus or from the work queue."""

    def __init__(
        self, engine: Engine, registration: Registration, ids: IdSource, *, open_commands: bool
    ) -> None:
        self._engine = engine
        self._registration = registration
        self._ids = ids
        self._open = open_commands

    async def respond(self, message: Message) -> Answer:
        """Answer a request on `…cmd.<entity>.<verb>`."""
        name = ".".join(message.subject.rsplit(".cmd.", 1)[-1].split(".")[:2])
        return json_answer(await self.do(message, name, command_id_of(message) or self._ids.command_id()))

    async def do(self, message: Message, name: str, command_id: CommandId) -> Accepted:
        """Do the command `name` (`peer.register`) of the message.

        Raises:
            Refusal: the answer is no.
            Fault: see `Engine.handle`.
        """
        actor = self._actor(message.subject)
        self._engine.must_have_room(actor, command_id)
        kind = BY_NAME.get(name)
        if kind is None:
            raise _unknown(name)
        command = decode(message.data, kind)
        self._must_be_good(actor, command)
        open_order = Order(
            command=command,
            name=name,
            command_id=command_id,
            actor=actor,
            digest=digest_of(actor, name, message.data),
            reason=reason_of(message),
            cause=cause_of(message),
            deadline=deadline_of(message),
            strict=strict_of(message),
            receipt_always=not isinstance(command, RecordExport),  # routers ask every minute
        )
        order = self._engine.sealed(open_order)
        match command:
            case ApproveLogin():
                return await self._registration.approve(order, command)
            case RejectLogin():
                return await self._registration.reject(order, command)
            case _:
                return await self._engine.handle(order)

    async def refuse(self, message: Message) -> Answer:
        """Answer a request on a command subject that is no command's."""
        self._actor(message.subject)
        raise _unknown(message.subject.rsplit(".cmd.", 1)[-1])

    def _must_be_good(self, actor: str, command: Command) -> None:
        """See that an actor that is an API key still is a good one, and may do this (rule 2).

        Raises:
            NotAllowed: `apikey.ended`, `apikey.scope`.
        """
        prefix = subjects.prefix_of(actor)
        if prefix is None:
            return
        key = key_by_prefix(self._engine.tailnet, prefix)
        if key is None or not key.is_good(self._engine.now()):
            raise NotAllowed("apikey.ended", "the API key opens nothing any more")
        if key.scope != ADMIN and not _is_told(key, command):
            raise NotAllowed("apikey.scope", "a key of this scope only notes what its own far side was told")

    def _actor(self, subject: str) -> str:
        actor = subjects.actor_of(subject)
        if actor is not None:
            return actor
        if self._open:
            return ANONYMOUS
        raise NotAllowed(
            "command.no_actor",
            "the short subject says nobody's name",
            hint="connect as a user of an account whose import rewrites it, as `operator`",
        )


async def serve(
    bus: Bus, tailnet: TailnetName, commands: Commands, registration: Registration, checkpoints: Checkpoints
) -> None:
    """Answer commands, frontends' registrations, and who asks what only the engine knows, until the bus closes.

    Raises:
        Fault: the bus is not connected.
    """
    found = [*_command_endpoints(tailnet, commands)]
    await bus.serve(subjects.COMMAND_SERVICE, VERSION, f"Commands to tailnet {tailnet}", found)
    verbs = {
        "register": registration.register,
        "wait": registration.wait,
        "log-out": registration.log_out,
        "advertise": registration.advertise,
        "head": registration.head,
    }
    asked = [
        Endpoint(name=verb, subject=subjects.registration(tailnet, "*", verb), respond=respond)
        for verb, respond in verbs.items()
    ]
    known = {
        ("login", "list"): (registration.list, "Machines that wait for somebody's word."),
        ("log", "checkpoint"): (checkpoints.respond, "What the log is now, signed."),
    }
    asked += [
        Endpoint(
            name="-".join(name),
            subject=subjects.query(tailnet, *name),
            respond=respond,
            metadata={"description": what},
        )
        for name, (respond, what) in known.items()
    ]
    await bus.serve(subjects.REGISTRATION_SERVICE, VERSION, f"Registrations in tailnet {tailnet}", asked)


def _command_endpoints(tailnet: TailnetName, commands: Commands) -> Iterator[Endpoint]:
    for entity, verb in COMMANDS:
        metadata = metadata_of(entity, verb)
        short = subjects.command(tailnet, entity, verb)
        yield Endpoint(name=f"{entity}-{verb}", subject=short, respond=commands.respond, metadata=metadata)
        heard = subjects.command_as(tailnet, "*", entity, verb)
        yield Endpoint(name=f"{entity}-{verb}-as", subject=heard, respond=commands.respond)
    for entity, verb in BY_KEY:
        heard = subjects.command_by_key(tailnet, "*", entity, verb)
        yield Endpoint(name=f"{entity}-{verb}-by-key", subject=heard, respond=commands.respond)
    short, heard = subjects.commands(tailnet), subjects.commands_as(tailnet, "*")
    yield Endpoint(name="unknown", subject=short, respond=commands.refuse)
    yield Endpoint(name="unknown-as", subject=heard, respond=commands.refuse)


@functools.cache
def metadata_of(entity: str, verb: str) -> Mapping[str, str]:
    """Return what `nats micro info` shows of a command: what it does, and the JSON Schema of its body."""
    kind = COMMANDS[entity, verb]
    schema = json.dumps(msgspec.json.schema(kind, schema_hook=_any_json), separators=(",", ":"))
    summary = (kind.__doc__ or "").strip().split("\n")[0]
    return {"description": summary} | ({"schema": schema} if len(schema) <= MAX_SCHEMA else {})


def _any_json(kind: type) -> dict[str, object]:
    if kind is object:
        return {"description": "any JSON"}
    raise NotImplementedError


def _is_told(key: ApiKey, command: Command) -> bool:
    """Return whether the command notes what the far side was told that the key is for, and nothing else."""
    if not isinstance(command, RecordExport) or command.peer != key.peer or command.connections is None:
        return False
    return key.node is None or all(told.node == key.node for told in command.connections)


def _unknown(name: str) -> NotFound:
    known = list(BY_NAME)
    close = difflib.get_close_matches(name[:80], known, n=1, cutoff=0.5)
    hint = f"perhaps {close[0]!r}?" if close else "commands: " + ", ".join(known)
    return NotFound("command.unknown", "there is no such command", hint=hint)
