"""When the server has what was sent, and when a connection is let go of.

Rule 1: the library's `flush` sends its PING at once, but subscriptions wait in a buffer for a task of the library's own (nats-py 2.16,
        `Client._send_ping` and `_flusher`): the PING may overtake them, and its PONG then says nothing. By the time of the first PONG
        the buffer has been written, so a second PING comes after all of it.
Rule 2: the library's `close` waits for the transport's end, which after a failed TLS handshake never comes (asyncio 3.11,
        `StreamWriter.wait_closed`): it gets `CLOSE_SECONDS`.
"""

import asyncio
import contextlib
from typing import Final

from nats.aio.client import Client

CLOSE_SECONDS: Final = 2.0


async def ended(client: Client) -> None:
    """Close the connection, whatever state it is in (rule 2)."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.close(), CLOSE_SECONDS)


async def settled(client: Client) -> None:
    """Return when the server has taken in every subscription and message before this call.

    Raises:
        nats.errors.Error: the server does not answer.
    """
    await client.flush()
    await client.flush()
