"""Commands from the work queue: done at least once by the queue, exactly once by their receipts.

Rule 1: a command needs an id; its answer is kept under `res.<id>`, accepted or not, until the next day.
Rule 2: what was refused is also kept as a dead letter, with code and reason.
Rule 3: after a fault nothing is settled: the command comes again.
Rule 4: commands are decided in the order of the queue.
Rule 5: no secret is kept (S9): a new pre-auth key is told to who sends the same command, with its id, as a request;
        a command that was refused for what may be a secret is buried without its body.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from engine.application.answers import json_answer, problem_answer
from engine.application.decoding import command_id_of
from engine.application.sealing import SECRET_COMMANDS, refuse_queued
from engine.application.service import Commands
from engine.contracts import subjects
from engine.contracts.requests import COMMAND_ID, Accepted, problem_of
from engine.domain.errors import Invalid, Refusal
from engine.domain.values import CommandId, TailnetName
from engine.ports import Fault, Job, Message, WorkQueue

_LOG: Final = structlog.get_logger()
TAKE: Final = 256
"""Jobs at a time: below the engine's queue, so that the bus has room beside."""
TAKE_SECONDS: Final = 1.0
"""How long a stop may have to wait for an empty queue."""
AGAIN_SECONDS: Final = 1.0
"""After a fault; the queue's own acknowledgement wait is longer."""
DLQ_CODE: Final = "Netmap-Code"
DLQ_REASON: Final = "Netmap-Refusal"

_SECRET_RESULTS: Final[Mapping[str, str]] = {"authkey.create": "key", "apikey.create": "key"}
"""The field of a command's result that is a secret (`Decision.secret_result`)."""
_SECRET_BODIES: Final = frozenset(
    {"key.private", "extra.secret", "authkey.not_found", "apikey.not_found", "strict"}
)
"""Codes of refusals that may speak of a secret in the body; a warning may be that a public key looks like a private one."""

ALIASES: Final[Mapping[str, str]] = {
    "UserCreated": "user.create",
    "UserRoleSet": "user.set-role",
    "UserDeleted": "user.delete",
    "AuthKeyCreated": "authkey.create",
    "AuthKeyExpired": "authkey.expire",
    "ApiKeyCreated": "apikey.create",
    "ApiKeyExpired": "apikey.expire",
    "ApiKeyDeleted": "apikey.delete",
    "NodeExpired": "node.expire",
    "NodeExpirySet": "node.set-expiry",
    "NodeRenamed": "node.rename",
    "NodeTagged": "node.tag",
    "NodeRoutesApproved": "node.approve-routes",
    "NodeRemoved": "node.remove",
    "NodeDeleted": "node.remove",
    "PeerRegistered": "peer.register",
    "PeerRemoved": "peer.remove",
    "PeerDisabled": "peer.disable",
    "PeerExpired": "peer.expire",
    "PeerEnabled": "peer.enable",
    "PeerUpdated": "peer.update",
    "PeerRenamed": "peer.rename",
    "PeerTagged": "peer.set-tags",
    "PeerMoved": "peer.move",
    "PeerDrained": "peer.drain",
    "PeerUndrained": "peer.undrain",
    "PeerBackendSet": "peer.backend-set",
    "PeerBackendRemoved": "peer.backend-remove",
    "PeerSwitched": "peer.switch",
    "PeerPoolSet": "peer.set-masq-pool",
    "ConnectionAdded": "connection.add",
    "ConnectionsAdded": "connection.add-many",
    "ConnectionUpdated": "connection.update",
    "ConnectionRemoved": "connection.remove",
    "SelectorAdded": "connection.add-selector",
    "SelectorRemoved": "connection.remove-selector",
    "ConnectionExported": "connection.exported",
    "ProviderAdded": "provider.add",
    "ProviderUpdated": "provider.update",
    "ProviderRemoved": "provider.remove",
    "NodeEnrolled": "provider.enrol",
    "NodeWithdrawn": "provider.withdraw",
    "BaseDomainSet": "settings.set-domain",
    "PoolsSet": "settings.set-pools",
    "DomainsSet": "settings.set-domains",
    "AutoUpdatesSet": "settings.set-auto-updates",
    "WireGuardModeSet": "settings.set-wg-mode",
    "WireGuardDnsSet": "settings.set-wg-dns",
    "ResolversSet": "dns.set",
    "PolicySet": "policy.set",
    "PolicyReverted": "policy.revert",
    "DerpMapSet": "derp.set",
}
"""Past-tense names, as the design has them, submitted as commands (reference: ecosystem §3.2)."""


class DurableCommands:
    """The reader of the work queue."""

    def __init__(self, queue: WorkQueue, commands: Commands, tailnet: TailnetName) -> None:
        self._queue = queue
        self._commands = commands
        self._tailnet = tailnet

    async def run(self, stop: asyncio.Event) -> None:
        """Do what comes, until `stop`; a queue that cannot be read is tried again."""
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                try:
                    jobs = await self._queue.take(TAKE, timeout=TAKE_SECONDS)
                except Fault as fault:
                    _LOG.warning("queue.unreadable", fault=str(fault))
                    await _pause(stop)
                else:
                    self.start(group, jobs)

    def start(self, group: asyncio.TaskGroup, jobs: Sequence[Job]) -> None:
        """Start on the jobs; how many are unsettled is bounded by the queue."""
        for job in jobs:  # a task runs to its first wait before the next one starts: decisions keep the order
            group.create_task(self._settle(job))

    async def _settle(self, job: Job) -> None:
        message = job.message
        name = message.subject.rsplit(".cmdq.", 1)[-1]
        meant = ALIASES.get(name, name)
        command_id: CommandId | None = None
        try:
            try:
                command_id = _id_of(message)
                refuse_queued(meant)
                accepted = await self._commands.do(message, meant, command_id)
            except Refusal as refusal:
                await self._bury(message, name, refusal, command_id)
            else:
                await self._tell(command_id, _without_secret(accepted, meant))
            await job.done()
        except Fault as fault:
            _LOG.warning("queue.again", fault=type(fault).__name__, command=name)
            await job.again(AGAIN_SECONDS)

    async def _tell(self, command_id: CommandId, accepted: Accepted) -> None:
        result = json_answer(accepted)
        await self._queue.keep(subjects.durable_result(self._tailnet, command_id), result.data)

    async def _bury(
        self, message: Message, name: str, refusal: Refusal, command_id: CommandId | None
    ) -> None:
        if command_id is not None:
            told = problem_answer(problem_of(refusal, command_id))
            await self._queue.keep(
                subjects.durable_result(self._tailnet, command_id), told.data, told.headers
            )
        headers = {DLQ_CODE: refusal.code, DLQ_REASON: refusal.message[:256]}
        if command_id is not None:
            headers[COMMAND_ID] = command_id
        is_secret = refusal.code in _SECRET_BODIES or ALIASES.get(name, name) in SECRET_COMMANDS
        body = b"" if is_secret else message.data
        await self._queue.keep(subjects.dead_letter(self._tailnet, name), body, headers)


def _without_secret(accepted: Accepted, name: str) -> Accepted:
    secret = _SECRET_RESULTS.get(name)
    if secret is None:
        return accepted
    result = {key: value for key, value in accepted.result.items() if key != secret}
    return msgspec.structs.replace(accepted, result=result)


def _id_of(message: Message) -> CommandId:
    command_id = command_id_of(message)
    if command_id is None:
        raise Invalid(
            "command.id_missing",
            f"a durable command needs the header {COMMAND_ID}",
            field=COMMAND_ID,
            hint="choose an id of your own: a resend with the same id has no second effect",
        )
    return command_id


async def _pause(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)
    except TimeoutError:
        return
