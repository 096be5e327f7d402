"""URL, user and password of a role, as files of mode 0600 that the `nats` CLI reads too.

Rule 1: settings win over the file `<directory>/contexts/<role>.json`.
Rule 2: every user has an inbox prefix of its own: who may read `_INBOX.>` reads everybody's answers.
"""

from pathlib import Path
from typing import Final

import msgspec

from engine.config import Settings
from engine.ports import Fault

CONTEXTS: Final = "contexts"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """How to connect, with the field names of a `nats` context."""

    url: str
    """One URL, or several with commas between."""
    user: str = ""
    password: str = ""
    inbox_prefix: str = ""
    description: str = ""

    def __repr__(self) -> str:
        return f"Context(user={self.user!r}, …)"


def inbox_of(user: str) -> str:
    """Return the user's private inbox prefix."""
    return f"_INBOX_{user}" if user else "_INBOX"


def context_path(directory: str, role: str) -> Path:
    """Return where a role's context is."""
    return Path(directory) / CONTEXTS / f"{role}.json"


def context_of(settings: Settings, role: str) -> Context:
    """Return how the role connects: `engine`, `projection`, `frontend` or `operator`.

    Raises:
        Fault: neither the settings nor the directory say.
    """
    if settings.nats_urls:
        return Context(
            url=",".join(settings.nats_urls),
            user=settings.nats_user,
            password=settings.nats_password,
            inbox_prefix=settings.nats_inbox or inbox_of(settings.nats_user),
        )
    path = context_path(settings.directory, role)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Context)
    except FileNotFoundError:
        raise Fault(f"no {path}: start `netmap serve` in this directory, or set nats_urls") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise Fault(f"{path} cannot be read: {type(error).__name__}") from error
