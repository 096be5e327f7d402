"""Which path is whose.

Rule 1: `/health` and `/version` are everybody's; of everything else only `/wg/export/…` is not for keys of everything
        alone: for a key of the scope `export` there is nothing else.
Rule 2: a request is over within `REQUEST_SECONDS`; what goes wrong is told as a fixed text and an id that the log has too.
Rule 3: nothing of a request is repeated but as JSON, or as a file's plain text.
"""

import asyncio
import secrets
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine.contracts.requests import Problem
from frontends.admin import export, health, nodes, wireguard
from frontends.admin.asking import Asking
from frontends.admin.errors import (
    Refused,
    Unauthorized,
    not_found,
    problem_response,
    unauthorized_response,
)
from frontends.admin.gate import Gate
from frontends.admin.visit import Visit

REQUEST_SECONDS: Final = 30.0

Page = Callable[[Visit], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]

_LOG: Final = structlog.get_logger()
_PAGES: Final[tuple[tuple[str, str, Page], ...]] = (
    ("GET", "/api/v1/node", nodes.listed),
    ("GET", "/api/v1/node/{id}", nodes.one),
    ("DELETE", "/api/v1/node/{id}", nodes.deleted),
    ("GET", "/api/v1/user", nodes.users),
    ("GET", "/api/v1/wireguard-only-peer", wireguard.peers),
    ("POST", "/api/v1/wireguard-only-peer/register", wireguard.registered),
    ("GET", "/api/v1/wireguard-only-peer/{id}", wireguard.peer),
    ("GET", "/api/v1/wireguard/connection", wireguard.connections),
    ("POST", "/api/v1/wireguard/connection", wireguard.connected),
    ("DELETE", "/api/v1/wireguard/connection/{node}/{peer}", wireguard.disconnected),
)


def app(asking: Asking, gate: Gate) -> Starlette:
    """Return the application."""

    def guarded(page: Page, *, everything: bool = True) -> Handler:
        async def handle(request: Request) -> Response:
            holder = await gate.admit(request.headers.get("authorization", ""), _address(request))
            if everything and not holder.is_admin:
                raise not_found()
            return await page(Visit(request, holder, asking))

        return _within(handle)

    async def is_well(_request: Request) -> Response:
        return health.health(asking)

    async def version(_request: Request) -> Response:
        return health.version()

    routes = [
        Route("/health", is_well, methods=["GET"]),
        Route("/version", version, methods=["GET"]),
        Route("/wg/export/{peer}", guarded(export.exported, everything=False), methods=["GET"]),
    ]
    routes += [Route(path, guarded(page), methods=[method]) for method, path, page in _PAGES]
    made = Starlette(routes=routes, exception_handlers={HTTPException: _plain})
    made.router.redirect_slashes = False
    return made


def _within(handle: Handler) -> Handler:
    async def bounded(request: Request) -> Response:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await handle(request)
        except Unauthorized as error:
            return unauthorized_response(error)
        except Refused as refused:
            return problem_response(refused.problem)
        except TimeoutError:
            return problem_response(
                _problem("http.too_slow", 503, "this took too long", "try again in a moment")
            )
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:  # noqa: BLE001 (the top of a request)
            trace = secrets.token_hex(8)
            _LOG.error("request.failed", trace=trace, traceback=traceback.format_exc())
            hint = f"its log has the details under {trace}"
            return problem_response(_problem("service.internal", 500, "an error of the service itself", hint))

    return bounded


async def _plain(_request: Request, error: Exception) -> Response:
    """Tell that a path or a method is nobody's."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 404:  # noqa: PLR2004
        return problem_response(not_found().problem)
    return problem_response(_problem("http.method", status, "this cannot be done here", ""))


def _problem(code: str, status: int, message: str, hint: str) -> Problem:
    return Problem(code=code, status=status, message=message, hint=hint)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
