"""Who broke the protocol.

    ProtocolError
    ├── RemoteProtocolError   the other side; answer, hang up, forget
    └── LocalProtocolError    we ourselves; a bug, crash the connection and no more

Rule 1: the text is a constant of ours. It never repeats a byte that the other side sent.
Rule 2: `status` is what HTTP/1.1 or HTTP/2 says of it, where there is still somebody to hear it.
"""

from typing import Final


class ProtocolError(Exception):
    """The bytes are not the control protocol."""


class RemoteProtocolError(ProtocolError):
    """The other side has no right to what it sent; `status` is an HTTP status, 400 unless a better one is known."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status: Final = status


class LocalProtocolError(ProtocolError):
    """We asked for what the protocol does not allow: our bug."""
