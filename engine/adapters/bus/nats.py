"""The bus on a NATS server.

Rule 1: a lost connection is found within 10 s (a ping every 5 s, two may be missing) and retried for ever.
Rule 2: what the library raises becomes a `Fault`; its texts may hold subjects of others and are not passed on.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Self

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from engine.adapters.bus.barrier import ended, settled
from engine.adapters.bus.context import Context, context_of, tls_of
from engine.adapters.bus.inbox import Inbox
from engine.adapters.bus.micro import MicroService
from engine.adapters.bus.persistent import PersistentClient
from engine.config import Settings
from engine.ports import Endpoint, Fault, Headers, Message, NoResponders, TimedOut

_LOG: Final = structlog.get_logger()
logging.getLogger("asyncio").addFilter(lambda record: "eof_received() has no effect" not in record.msg)
"""asyncio says so whenever a stream that was made in clear ends as TLS (3.11, sslproto.py): nothing is the matter."""
PING_SECONDS: Final = 5
MISSING_PINGS: Final = 2
CONNECT_SECONDS: Final = 10.0
"""How long the first connection may take."""
FLUSH_SECONDS: Final = 2
"""How long a close may wait for the server to have what was published."""
RECONNECT_SECONDS: Final = 0.25
"""Between two tries at the same server."""


class NatsBus:
    """A connection to a NATS server or cluster."""

    def __init__(self, client: Client) -> None:
        self.client: Final = client
        """For `jetstream.py`; nobody else."""
        self._inboxes: list[Inbox] = []
        self._services: list[MicroService] = []

    @classmethod
    async def connect(
        cls,
        servers: Sequence[str],
        *,
        name: str,
        credentials: Context | None = None,
        within: float = CONNECT_SECONDS,
    ) -> Self:
        """Connect; the first connection must be there `within` seconds.

        Raises:
            Fault: no server answers, or it does not let us in.
        """
        login = credentials or Context(url="")
        tls = tls_of(login)
        client = PersistentClient()
        try:
            async with asyncio.timeout(within):
                await client.connect(
                    list(servers),
                    name=name,
                    user=login.user or None,
                    password=login.password or None,
                    inbox_prefix=login.inbox_prefix or "_INBOX",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # annotated int, used as seconds
                    connect_timeout=2,
                    tls=tls,
                    tls_handshake_first=tls is not None,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=MISSING_PINGS,
                    error_cb=_on_error,
                    disconnected_cb=_on_disconnected,
                    reconnected_cb=_on_reconnected,
                )
        except (nats.errors.Error, OSError, TimeoutError) as error:
            why = type(client.last_error or error).__name__
            await ended(client)
            raise Fault(f"no connection to a NATS server as {login.user or 'nobody'!r}: {why}") from None
        return cls(client)

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        """See `Bus.publish`."""
        with _faults():
            await self.client.publish(subject, data, headers=dict(headers) if headers else None)

    async def request(
        self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None
    ) -> Message:
        """See `Bus.request`."""
        with _faults():
            reply = await self.client.request(
                subject, data, timeout=timeout, headers=dict(headers) if headers else None
            )
        return _message(reply)

    async def subscribe(self, subject: str, *, limit: int = 65_536) -> AsyncIterator[Message]:
        """See `Bus.subscribe`."""
        inbox = Inbox(limit)

        async def take(message: Msg) -> None:
            inbox.put(_message(message))

        with _faults():
            await self.client.subscribe(subject, cb=take)
            await settled(self.client)
        self._inboxes.append(inbox)
        return inbox

    async def serve(
        self,
        name: str,
        version: str,
        description: str,
        endpoints: Sequence[Endpoint],
        *,
        metadata: dict[str, str] | None = None,
    ) -> None:
        """See `Bus.serve`."""
        service = MicroService(self.client, tuple(endpoints), metadata)
        self._services.append(service)
        with _faults():
            await service.start(name, version, description)

    async def close(self) -> None:
        """See `Bus.close`."""
        for service in self._services:
            await service.stop()
        # Not the library's drain: it waits for a pull subscription's status messages, which nobody takes, until its time is up.
        with contextlib.suppress(nats.errors.Error, OSError):
            await self.client.flush(timeout=FLUSH_SECONDS)
        await ended(self.client)
        for inbox in self._inboxes:
            inbox.close()


async def open_bus(settings: Settings, role: str, *, name: str) -> NatsBus:
    """Connect as the role: `engine`, `projection`, `frontend` or `operator`.

    Raises:
        Fault: nothing says how, no server answers, or it does not let us in.
    """
    context = context_of(settings, role)
    return await NatsBus.connect(context.url.split(","), name=name, credentials=context)


def _message(message: Msg) -> Message:
    return Message(message.subject, message.data, message.headers or {})


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except nats.errors.NoRespondersError:
        raise NoResponders("nobody listens on the subject") from None
    except nats.errors.TimeoutError:
        raise TimedOut("no answer in time") from None
    except (nats.errors.Error, OSError) as error:
        raise Fault(f"the bus failed: {type(error).__name__}") from error


async def _on_error(error: Exception) -> None:
    _LOG.warning("bus.error", error=type(error).__name__)


async def _on_disconnected() -> None:
    _LOG.info("bus.disconnected")


async def _on_reconnected() -> None:
    _LOG.info("bus.reconnected")
