"""URL, user and password of a role, as files of mode 0600 that the `nats` CLI reads too.

Rule 1: settings win over the file `<directory>/contexts/<role>.json`.
Rule 2: with an authority, or `tls://`, the handshake comes first: a server that cannot do it is not told a password.
Rule 3: every user has an inbox prefix of its own: who may read `_INBOX.>` reads everybody's answers.
"""

import ssl
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
    ca: str = ""
    """The authority's file in PEM (`Settings.nats_ca`); `cert` and `key` are what is shown to the server."""
    cert: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"Context(user={self.user!r}, …)"


def tls_of(context: Context) -> ssl.SSLContext | None:
    """Return how the servers are believed, and what is shown to them; None is in clear.

    Raises:
        Fault: a file cannot be read, or is not PEM.
    """
    if not context.ca and not any(url.startswith("tls://") for url in context.url.split(",")):
        return None
    try:
        made = ssl.create_default_context(cafile=context.ca or None)
        if context.cert:
            made.load_cert_chain(context.cert, context.key or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (context.ca, context.cert, context.key)))
        raise Fault(
            f"no TLS with {files}: {error.strerror or type(error).__name__}; `netmap admin nats certs` makes such files"
        ) from None
    return made


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
            ca=settings.nats_ca,
            cert=settings.nats_certificate,
            key=settings.nats_key,
        )
    path = context_path(settings.directory, role)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Context)
    except FileNotFoundError:
        raise Fault(f"no {path}: start `netmap serve` in this directory, or set nats_urls") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise Fault(f"{path} cannot be read: {type(error).__name__}") from error
