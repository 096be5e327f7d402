"""What a responder raises, as an error reply.

Rule 1: every error has the JSON body and both headers (nats-py's own ServiceError leaves the body empty, and puts
        the repr of other exceptions into a header: nats-py 2.16 micro/service.py).
Rule 2: an unexpected exception is told as a fixed text and an id; the log has the id and the traceback, without local variables:
        a request's body may hold a secret.
"""

import secrets
import traceback
from typing import Final

import structlog

from engine.contracts.requests import (
    COMMAND_ID,
    MAX_COMMAND_ID,
    Problem,
    error_body,
    error_headers,
    problem_of,
)
from engine.domain.errors import Refusal
from engine.ports import Answer, Endpoint, Fault, Message

_LOG: Final = structlog.get_logger()


def error_answer(problem: Problem) -> Answer:
    """Return the reply that tells the problem."""
    return Answer(error_body(problem), error_headers(problem))


async def answer(endpoint: Endpoint, message: Message) -> tuple[Answer, bool]:
    """Return what the endpoint answers, and whether that is an error of ours (not a refusal)."""
    command_id = message.headers.get(COMMAND_ID, "")[:MAX_COMMAND_ID]
    try:
        return await endpoint.respond(message), False
    except Refusal as refusal:
        return error_answer(problem_of(refusal, command_id)), False
    except Fault as fault:
        # Who is asked to come again later is one of thousands a second.
        log = _LOG.debug if fault.retry_after else _LOG.warning
        log("request.fault", endpoint=endpoint.name, fault=type(fault).__name__)
        return error_answer(_unavailable(fault, command_id)), True
    except Exception:  # noqa: BLE001 (the top of a request)
        trace = secrets.token_hex(8)
        _LOG.error("request.failed", endpoint=endpoint.name, trace=trace, traceback=traceback.format_exc())
        return error_answer(_internal(trace)), True


BUSY: Final = Problem(
    code="service.overloaded",
    status=503,
    message="too many requests are being answered",
    hint="try again in a moment",
    retryable=True,
)


def _internal(trace: str) -> Problem:
    return Problem(
        code="service.internal",
        status=500,
        message="an error of the service itself",
        hint=f"its log has the details under {trace}",
    )


def _unavailable(fault: Fault, command_id: str) -> Problem:
    return Problem(
        code=fault.code,
        status=503,
        message=fault.told,
        hint=fault.hint,
        command_id=fault.command_id or command_id,
        retryable=True,
        retry_after=fault.retry_after,
    )
