"""The library's client, for a process that needs its server for ever.

Rule 1: whatever a server says, it is tried again: the library closes for good at any error but two (nats-py 2.16, `_process_err`),
        for instance when passwords change under a connection or a server is out of memory.
Rule 2: a connection that is given up is cut: the library closes it politely, and waits until what was written is taken, which a
        server that stands still never does.
"""

from typing import Final

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error

PERMISSIONS: Final = "permissions violation"
"""What only concerns one message or subscription; the connection stays."""


class PersistentClient(Client):
    """A `Client` that reconnects until it is closed by us."""

    async def _process_err(self, err_msg: str) -> None:
        if PERMISSIONS in err_msg.lower():
            await super()._process_err(err_msg)
            return
        error = Error(f"nats: {err_msg.strip(chr(39))}")
        self._err = error
        await self._error_cb(error)
        await self._process_op_err(error)

    async def _attempt_reconnect(self) -> None:
        if isinstance(self._transport, TcpTransport) and self._transport._io_writer is not None:  # noqa: SLF001 (it has no other way)
            self._transport._io_writer.transport.abort()  # noqa: SLF001
        await super()._attempt_reconnect()
