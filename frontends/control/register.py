"""`POST /machine/register`: what a client asks, put to the engine, and the engine's word back.

    Expiry in the past      log-out
    Followup                wait for the pending login that its URL names
    anything else           register: refresh, rotate, join by key, or begin a login

Rule 1: only `Error` in a 200 reaches a person. A frontend that cannot reach the engine answers 503: the client comes
        back by itself.
Rule 2: a request whose outcome is unknown is sent again under the same command id (L2).
Rule 3: a login that nobody knows any more begins anew, without a word.
Rule 4: a machine that asks too often is told so before anything else is read (`rate.py`).
Rule 5: the URL is ours and is made from the login's id; of a Followup only the id at its end is read.
"""

import asyncio
import re
from typing import Final, TypeVar

import msgspec

from engine.contracts import registration, subjects
from engine.contracts.registration import RegisterReply, WaitRequest
from engine.contracts.requests import COMMAND_ID, ERROR_CODE, ErrorReply, Problem
from engine.domain.commands import LogOutNode
from engine.domain.routes import offered
from engine.domain.values import LoginId, MachineKey, Millis, NodeKey
from engine.ports import Fault, TimedOut
from frontends.control.exchange import JSON, Answer, Request, Stream, too_often, unavailable
from frontends.control.frontend import Frontend
from frontends.control.offers import tags_of
from frontends.control.profiles import TAGGED
from frontends.wire import timetext
from frontends.wire.capver import is_supported
from frontends.wire.codec import decode, encode
from frontends.wire.keytext import is_zero
from frontends.wire.tailcfg.hostinfo import Hostinfo
from frontends.wire.tailcfg.register import Login, RegisterRequest, RegisterResponse, User

ENGINE_SECONDS: Final = 5.0
"""How long the engine has for a command: a commit takes milliseconds, a failover seconds."""
ATTEMPTS: Final = 2
ROUNDS: Final = 15
"""Waits of `WAIT_SECONDS` before the client is given the same URL again: five minutes."""
PAUSE_SECONDS: Final = 2.0
"""At least so long from one wait to the next: the engine answers at once when it holds enough of them for this login,
and when it stops. Not longer, because after a failover the client needs another URL soon."""
MAX_HOSTNAME: Final = 253
MAX_VERSION: Final = 64
LOGIN_PATH: Final = "/register/"
_LOGIN: Final = re.compile(r"/register/([a-z2-7]{24})\Z")
_OLD: Final = "this client is too old: Tailscale 1.70 or newer is needed"
_NO_KEY: Final = "the request has no node key"

T = TypeVar("T")


class _Refused(Exception):  # noqa: N818 (the engine's answer)
    """The engine's answer is an error."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem: Final = problem


async def answer_register(frontend: Frontend, request: Request, _stream: Stream) -> Answer:
    """Answer `POST /machine/register`."""
    refused = too_often(frontend, request)
    if refused is not None:
        return refused
    wanted = decode(request.body, RegisterRequest)
    if not is_supported(wanted.version):
        return _json(RegisterResponse(error=_OLD))
    if is_zero(wanted.node_key):
        return _json(RegisterResponse(error=_NO_KEY))
    try:
        return _json(await _decide(frontend, request.machine, wanted))
    except _Refused as no:
        problem = no.problem
        return unavailable() if problem.retryable else _json(RegisterResponse(error=problem.message))
    except Fault:
        return unavailable()


async def _decide(frontend: Frontend, machine: MachineKey, wanted: RegisterRequest) -> RegisterResponse:
    expiry = timetext.parse(wanted.expiry)
    if expiry and expiry <= frontend.clock.now():
        return await _log_out(frontend, machine, wanted)
    login = _LOGIN.search(wanted.followup or "")
    if login is not None:
        reply = await _wait(frontend, machine, LoginId(login[1]))
        if reply is not None:
            return _response(frontend, reply)
    host = wanted.hostinfo or Hostinfo()
    question = registration.RegisterRequest(
        machine_key=machine,
        node_key=NodeKey(wanted.node_key.lower()),
        old_node_key=NodeKey(wanted.old_node_key.lower()) if wanted.rotates and wanted.old_node_key else None,
        auth_key=wanted.auth_key,
        hostname=(host.hostname or "")[:MAX_HOSTNAME],
        os=(host.os or "")[:MAX_HOSTNAME],
        ephemeral=bool(wanted.ephemeral),
        expiry=Millis(expiry),
        capver=wanted.version,
        os_version=(host.os_version or "")[:MAX_VERSION],
        client_version=(host.ipn_version or "")[:MAX_VERSION],
        request_tags=tags_of(host),
        routes=None if wanted.hostinfo is None else offered(host.routable_ips or ()),
    )
    return _response(frontend, await _ask(frontend, "register", question, RegisterReply))


async def _log_out(frontend: Frontend, machine: MachineKey, wanted: RegisterRequest) -> RegisterResponse:
    try:
        command = LogOutNode(machine_key=machine, node_key=NodeKey(wanted.node_key.lower()))
        await _ask(frontend, "log-out", command, msgspec.Raw)
    except _Refused as refused:
        if refused.problem.retryable:
            raise
    return RegisterResponse(node_key_expired=True)


async def _wait(frontend: Frontend, machine: MachineKey, login: LoginId) -> RegisterReply | None:
    """Return what became of a pending login, or that it is still pending; None if nobody knows it."""
    question = WaitRequest(machine_key=machine, login=login)
    reply = RegisterReply(outcome="login", login=login)
    for _ in range(ROUNDS):
        asked = frontend.clock.monotonic()
        try:
            reply = await _ask(frontend, "wait", question, RegisterReply)
        except _Refused as refused:
            if refused.problem.retryable:
                raise
            return None
        if reply.outcome != "login":
            break
        await asyncio.sleep(max(0.0, PAUSE_SECONDS - (frontend.clock.monotonic() - asked)))
    return reply


async def _ask(frontend: Frontend, verb: str, question: object, kind: type[T]) -> T:
    """Return the engine's answer.

    Raises:
        _Refused: it is an error.
        Fault: there is none, or it cannot be read.
    """
    identity = frontend.identity
    subject = subjects.registration(identity.tailnet, identity.name, verb)
    limit = ENGINE_SECONDS + (registration.WAIT_SECONDS if verb == "wait" else 0.0)
    headers = {COMMAND_ID: frontend.ids.command_id()}
    data = msgspec.json.encode(question)
    for attempt in range(ATTEMPTS):
        try:
            reply = await frontend.bus.request(subject, data, timeout=limit, headers=headers)
            break
        except TimedOut:
            if attempt + 1 == ATTEMPTS:
                raise
    else:
        raise Fault("the engine was not asked")
    try:
        if ERROR_CODE in reply.headers:
            raise _Refused(msgspec.json.decode(reply.data, type=ErrorReply).error)
        return msgspec.json.decode(reply.data, type=kind)
    except msgspec.MsgspecError as error:
        raise Fault("the engine's answer cannot be read") from error


def _response(frontend: Frontend, reply: RegisterReply) -> RegisterResponse:
    match reply.outcome:
        case "login":
            return RegisterResponse(auth_url=f"{frontend.identity.url}{LOGIN_PATH}{reply.login}")
        case "refused":
            return RegisterResponse(error=reply.message or "refused")
        case "expired":
            return RegisterResponse(node_key_expired=True, user=_user(reply), login=_login(reply))
        case "authorized":
            return RegisterResponse(machine_authorized=True, user=_user(reply), login=_login(reply))


def _user(reply: RegisterReply) -> User:
    return User(id=reply.user or TAGGED.id, display_name=reply.user_display_name or _name(reply))


def _login(reply: RegisterReply) -> Login:
    name = _name(reply)
    return Login(
        id=reply.user or TAGGED.id,
        provider="netmap",
        login_name=name,
        display_name=reply.user_display_name or name,
    )


def _name(reply: RegisterReply) -> str:
    return reply.user_name or TAGGED.name


def _json(response: RegisterResponse) -> Answer:
    return Answer(200, encode(response), JSON)
