"""A `nats.micro` service that answers many requests at a time.

nats-py handles the messages of one subscription one after another (2.16, aio/subscription.py), so a request that waits for
its commit would hold up the next one and there would be nothing to group. Here each request is a task.

Rule 1: all endpoints share one queue group. The server picks one member of a group across overlapping subjects
        (seen with nats-server 2.15.1), so a request comes once; which endpoint answers is decided here.
Rule 2: a request that comes while `MAX_TASKS` are being answered is refused at once.
"""

import asyncio
import contextlib
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.micro.request import Request
from nats.micro.service import Service, ServiceConfig, ServiceStats

from engine.adapters.bus.answering import BUSY, answer, error_answer
from engine.adapters.bus.barrier import settled
from engine.adapters.bus.matching import matcher
from engine.contracts.requests import ERROR_TEXT
from engine.ports import Answer, Endpoint, Message

MAX_TASKS: Final = 8_192
"""Requests being answered at a time in one service: 1,000 commands and held waits fit; more is an attack."""
DRAIN_SECONDS: Final = 5.0


class _Count:
    """What `nats micro stats` shows of one endpoint."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.nanoseconds = 0


class _CountingService(Service):
    """The library's service with our counts: the library counts what its handlers do, and ours only start tasks."""

    def __init__(self, client: Client, config: ServiceConfig, counts: dict[str, _Count]) -> None:
        super().__init__(client, config)
        self._counts = counts

    def stats(self) -> ServiceStats:
        """Return the statistics with the numbers of requests that were answered."""
        stats = super().stats()
        for endpoint in stats.endpoints:
            count = self._counts[endpoint.name]
            endpoint.num_requests = count.requests
            endpoint.num_errors = count.errors
            endpoint.processing_time = count.nanoseconds
            endpoint.average_processing_time = count.nanoseconds // max(count.requests, 1)
        return stats


class MicroService:
    """One service of one connection."""

    def __init__(
        self, client: Client, endpoints: tuple[Endpoint, ...], metadata: dict[str, str] | None = None
    ) -> None:
        self._client = client
        self._endpoints = endpoints
        self._metadata = metadata  # told as it is when somebody asks
        self._endpoint_of: Final = matcher(endpoints)
        self._counts = {endpoint.name: _Count() for endpoint in endpoints}
        self._tasks: set[asyncio.Task[None]] = set()
        self._service: _CountingService | None = None

    async def start(self, name: str, version: str, description: str) -> None:
        """Listen; the server has every subscription when this returns."""
        config = ServiceConfig(name=name, version=version, description=description, metadata=self._metadata)
        self._service = _CountingService(self._client, config, self._counts)
        await self._service.start()
        for endpoint in self._endpoints:
            await self._service.add_endpoint(
                name=endpoint.name,
                subject=endpoint.subject,
                handler=self._take,
                metadata=dict(endpoint.metadata),
            )
        await settled(self._client)

    async def stop(self) -> None:
        """Listen no more, and let what is being answered finish within `DRAIN_SECONDS`."""
        if self._service is not None:
            with contextlib.suppress(NatsError):
                await self._service.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        for task in self._tasks:
            task.cancel()

    async def _take(self, request: Request) -> None:
        endpoint = self._endpoint_of(request.subject)
        if endpoint is None:
            return
        if len(self._tasks) >= MAX_TASKS:
            await _reply(request, error_answer(BUSY))
            return
        task = asyncio.get_running_loop().create_task(self._answer(endpoint, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, endpoint: Endpoint, request: Request) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        reply, failed = await answer(endpoint, Message(request.subject, request.data, request.headers or {}))
        count = self._counts[endpoint.name]
        count.requests += 1
        count.errors += failed or ERROR_TEXT in reply.headers
        count.nanoseconds += int((loop.time() - started) * 1e9)
        await _reply(request, reply)


async def _reply(request: Request, reply: Answer) -> None:
    # Without a reply subject nobody asked; a lost connection is the requester's time-out.
    with contextlib.suppress(ValueError, NatsError):
        await request.respond(reply.data, dict(reply.headers) or None)
