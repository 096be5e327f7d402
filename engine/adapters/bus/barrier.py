"""When the server has what was sent.

Rule 1: the library's `flush` sends its PING at once, but subscriptions wait in a buffer for a task of the library's own (nats-py 2.16,
        `Client._send_ping` and `_flusher`): the PING may overtake them, and its PONG then says nothing. By the time of the first PONG
        the buffer has been written, so a second PING comes after all of it.
"""

from nats.aio.client import Client


async def settled(client: Client) -> None:
    """Return when the server has taken in every subscription and message before this call.

    Raises:
        nats.errors.Error: the server does not answer.
    """
    await client.flush()
    await client.flush()
