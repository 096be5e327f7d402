"""What somebody wants done with API keys; a part of `commands.py`."""

from typing import Final

from engine.domain.command import Command, Ref, Seconds, Text

DEFAULT_API_KEY_SECONDS: Final = 90 * 86_400
"""90 days, as Headscale's default."""


class CreateApiKey(Command, frozen=True, kw_only=True):
    """Make a key for the HTTP API; the secret is in the reply, once.

    `scope` is `admin`, or `export`: only what the far side of `peer` reads, and of `node` alone if one is named.
    """

    scope: Text = "admin"
    peer: Ref | None = None
    node: Ref | None = None
    expires_in_seconds: Seconds = DEFAULT_API_KEY_SECONDS


class ExpireApiKey(Command, frozen=True, kw_only=True):
    """End an API key now; `key` is its id, its prefix, or the key itself."""

    key: Ref

    def __repr__(self) -> str:
        """Return no more than an id: the key itself is a secret."""
        return f"ExpireApiKey(key={self.key if isinstance(self.key, int) else '…'})"


class DeleteApiKey(Command, frozen=True, kw_only=True):
    """Delete an API key; `key` is its id, its prefix, or the key itself."""

    key: Ref

    def __repr__(self) -> str:
        """Return no more than an id: the key itself is a secret."""
        return f"DeleteApiKey(key={self.key if isinstance(self.key, int) else '…'})"
