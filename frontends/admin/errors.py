"""Refusals as HTTP tells them: one body that old and new clients of Headscale read, and ours.

Rule 1: the body is both a gRPC gateway's (`code`, `message`, `details`) and RFC 9457's (`type`, `title`, `status`,
        `detail`, `errors`); our stable code is in `type`, as `urn:netmap:error:peer.not_found`.
Rule 2: a value that cannot be is 400, as Headscale has it; our own 422 is for the bus.
Rule 3: who is not let in hears `Unauthorized` in plain text: headscale-admin compares with that.
"""

import http
from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import PlainTextResponse, Response

from engine.contracts.requests import Problem

JSON: Final = "application/json"
_GRPC: Final[Mapping[int, int]] = {400: 3, 403: 7, 404: 5, 405: 12, 409: 6, 413: 3, 500: 13, 503: 14, 504: 4}
"""Statuses as gRPC numbers them (google.rpc.Code)."""
_UNKNOWN: Final = 2


class Refused(Exception):  # noqa: N818 (a refusal is an answer, not an error)
    """The answer is no."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem: Final = problem


class Unauthorized(Exception):  # noqa: N818 (a refusal is an answer, not an error)
    """Nobody whom we know; `wait` is how many seconds to wait before the next try, if that is asked."""

    def __init__(self, wait: float = 0.0) -> None:
        super().__init__("unauthorized")
        self.wait: Final = wait


def no(status: int, code: str, message: str, *, field: str = "", hint: str = "") -> Refused:
    """Return a refusal of our own."""
    return Refused(Problem(code=code, status=status, message=message, field=field, hint=hint))


def not_found() -> Refused:
    """Return what is said of everything that is not there, or not for this key."""
    return no(404, "http.not_found", "there is nothing here")


def problem_response(problem: Problem) -> Response:
    """Return the answer that tells the problem."""
    status = 400 if problem.status == 422 else problem.status  # noqa: PLR2004
    message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    body = {
        "code": _GRPC.get(status, _UNKNOWN),
        "message": message,
        "details": [],
        "type": f"urn:netmap:error:{problem.code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "errors": [{"message": problem.message, "location": problem.field}],
    }
    headers = {"Retry-After": "1"} if problem.retryable else None
    return Response(msgspec.json.encode(body), status, headers, JSON)


def unauthorized_response(error: Unauthorized) -> Response:
    """Return the answer to somebody who is not let in (rule 3)."""
    if error.wait:
        return PlainTextResponse("Too Many Requests", 429, {"Retry-After": str(int(error.wait) + 1)})
    return PlainTextResponse("Unauthorized", 401, {"WWW-Authenticate": 'Basic realm="netmap", Bearer'})
