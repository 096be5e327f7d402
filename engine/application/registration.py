"""What frontends ask for their clients: register, wait, log out, offer routes; and an operator's word on a login.

Rule 1: the machine key of a request is the frontend's word (it verified the Noise handshake); the actor is the frontend.
Rule 2: a refusal is an answer to the client, told as the outcome `refused`; faults stay errors: the frontend retries.
Rule 3: an approval registers the machine with the operator as actor, under the operator's command id.
Rule 4: of a machine that waits for somebody's word no routes are held: who is let in offers them again.
"""

from typing import Final, cast

import structlog
from msgspec.structs import replace

from engine.application.answers import digest_of, json_answer
from engine.application.decoding import command_id_of, deadline_of, decode, reason_of
from engine.application.engine import Engine
from engine.application.ledger import Order
from engine.application.logins import Logins
from engine.contracts.registration import (
    WAIT_SECONDS,
    LoginList,
    RegisterReply,
    RegisterRequest,
    WaitRequest,
)
from engine.contracts.requests import Accepted
from engine.domain.commands import (
    AdvertiseNode,
    ApproveLogin,
    Command,
    LogOutNode,
    RegisterNode,
    RejectLogin,
)
from engine.domain.decide import decide
from engine.domain.decision import Decision
from engine.domain.errors import NotAllowed, Refusal
from engine.domain.values import NodeId, UserId
from engine.ports import Answer, IdSource, Message

_LOG: Final = structlog.get_logger()
_REJECTED = RegisterReply(outcome="refused", message="this machine was turned away")


class Registration:
    """The conversation of clients that are not in yet."""

    def __init__(self, engine: Engine, logins: Logins, ids: IdSource) -> None:
        self._engine = engine
        self._logins = logins
        self._ids = ids

    async def register(self, message: Message) -> Answer:
        """Answer `reg.<frontend>.register`."""
        request = decode(message.data, RegisterRequest)
        order = self._order(message, _command(request), "node.register")
        try:
            accepted = await self._engine.handle(order)
        except Refusal as refusal:
            return json_answer(RegisterReply(outcome="refused", message=refusal.message))
        if accepted.result.get("outcome") != "login":
            return json_answer(_reply(accepted))
        login = self._logins.add(replace(request, routes=None))
        return json_answer(
            RegisterReply(outcome="login", position=accepted.position, login=login.shown.login)
        )

    async def wait(self, message: Message) -> Answer:
        """Answer `reg.<frontend>.wait`: held until somebody decides, or `WAIT_SECONDS`."""
        request = decode(message.data, WaitRequest)
        login = self._logins.get(request.login)
        if login is None or login.request.machine_key != request.machine_key:
            raise NotAllowed("login.unknown", "no login of this machine waits here")
        reply = await login.wait(WAIT_SECONDS)
        return json_answer(reply or RegisterReply(outcome="login", login=request.login))

    async def log_out(self, message: Message) -> Answer:
        """Answer `reg.<frontend>.log-out`."""
        command = decode(message.data, LogOutNode)
        return json_answer(await self._engine.handle(self._order(message, command, "node.log-out")))

    async def advertise(self, message: Message) -> Answer:
        """Answer `reg.<frontend>.advertise`."""
        command = decode(message.data, AdvertiseNode)
        accepted = await self._engine.handle(self._order(message, command, "node.advertise"))
        if accepted.result.get("refused"):
            _LOG.info("node.tags_not_granted", node=accepted.result.get("node"))
        return json_answer(accepted)

    async def head(self, _message: Message) -> Answer:
        """Answer `reg.<frontend>.head`."""
        return json_answer(self._engine.head())

    async def list(self, _message: Message) -> Answer:
        """Answer `q.login.list`."""
        return json_answer(LoginList(position=self._engine.head().position, logins=self._logins.list()))

    async def approve(self, order: Order, command: ApproveLogin) -> Accepted:
        """Let the machine behind the login in.

        Raises:
            Refusal: `login.unknown`, or what `RegisterNode` refuses.
            Fault: see `Engine.handle`.
        """
        before = await self._engine.told_before(order)
        if before is not None:
            return before
        login = self._logins.undecided(command.login)

        def decider() -> Decision:
            register = _command(login.request, user=command.user)
            return decide(self._engine.tailnet, register, self._engine.given(order))

        accepted = await self._engine.settle(order, decider)
        login.decide(_reply(accepted), self._engine.now())
        return accepted

    async def reject(self, order: Order, command: RejectLogin) -> Accepted:
        """Turn the machine behind the login away.

        Raises:
            Refusal: `login.unknown`.
            Fault: see `Engine.handle`.
        """
        before = await self._engine.told_before(order)
        if before is not None:
            return before
        login = self._logins.undecided(command.login)
        accepted = await self._engine.settle(order, Decision)
        login.decide(_REJECTED, self._engine.now())
        return accepted

    def _order(self, message: Message, command: Command, name: str) -> Order:
        actor = f"frontend:{message.subject.split('.')[4]}"
        return Order(
            command=command,
            name=name,
            command_id=command_id_of(message) or self._ids.command_id(),
            actor=actor,
            digest=digest_of(actor, name, message.data),
            reason=reason_of(message),
            deadline=deadline_of(message),
            receipt_always=False,
        )


def _command(request: RegisterRequest, user: int | str | None = None) -> RegisterNode:
    return RegisterNode(
        machine_key=request.machine_key,
        node_key=request.node_key,
        old_node_key=request.old_node_key,
        auth_key="" if user is not None else request.auth_key,
        user=user,
        hostname=request.hostname,
        os=request.os,
        ephemeral=request.ephemeral,
        expiry=request.expiry,
        capver=request.capver,
        os_version=request.os_version,
        client_version=request.client_version,
        request_tags=request.request_tags,
        routes=request.routes,
    )


def _reply(accepted: Accepted) -> RegisterReply:
    result = accepted.result
    return RegisterReply(
        outcome="expired" if result.get("outcome") == "expired" else "authorized",
        position=accepted.position,
        node=cast("NodeId | None", result.get("node")),
        user=cast("UserId | None", result.get("user")),
        user_name=str(result.get("user_name", "")),
        user_display_name=str(result.get("user_display_name", "")),
    )
