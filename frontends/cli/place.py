"""Where the tailnet is, and how this person gets there.

Rule 1: flags win over the environment, the environment over the directory's context.
Rule 2: a password of the directory is sent only to the server that the directory names: `--nats` without `--context`
        connects with what the URL says.
Rule 3: a context is `<dir>/contexts/NAME.json`, a file, or one of the `nats` CLI's own (NATS ADR-21).
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from frontends.cli.failure import Exit, Failure, Trouble

if TYPE_CHECKING:
    from engine.adapters.bus.context import Context

OPERATOR: Final = "operator"
DEFAULT_DIRECTORY: Final = ".netmap"
DEFAULT_TIMEOUT: Final = 5.0
"""Seconds for the connection, and for each answer."""


class Place(NamedTuple):
    """What the flags and the environment say."""

    directory: str = DEFAULT_DIRECTORY
    nats: str = ""
    context: str = ""
    tailnet: str = "default"
    timeout: float = DEFAULT_TIMEOUT


def context_at(place: Place) -> "Context":
    """Return how to connect.

    Raises:
        Failure: nothing says how, or the file cannot be read (exit 6).
    """
    import msgspec

    if place.nats and not place.context:
        return msgspec.structs.replace(from_url(place.nats), **_files(os.environ))
    found = _read(place)
    if not place.nats:
        return found
    return msgspec.structs.replace(found, url=place.nats)


def from_url(text: str) -> "Context":
    """Return the URLs, and the user and password that one of them may carry."""
    from engine.adapters.bus.context import Context, inbox_of

    urls, user, password = [], "", ""
    for part in text.split(","):
        split = urlsplit(part if "://" in part else f"nats://{part}")
        user, password = unquote(split.username or user), unquote(split.password or password)
        urls.append(urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2])))
    return Context(url=",".join(urls), user=user, password=password, inbox_prefix=inbox_of(user))


def _files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the files of TLS that roles are told of by the same variables."""
    names = {"ca": "NETMAP_NATS_CA", "cert": "NETMAP_NATS_CERTIFICATE", "key": "NETMAP_NATS_KEY"}
    return {field: environment.get(name, "") for field, name in names.items()}


def unreachable(place: Place, message: str) -> Failure:
    """Return the failure that says how to get a server."""
    where = "" if place.directory == DEFAULT_DIRECTORY else f" --dir {place.directory}"
    hint = f"start one with `netmap serve{where}`, or name one with --dir, --context or --nats"
    return Failure(Exit.UNREACHABLE, Trouble("unreachable", message, hint=hint))


def _read(place: Place) -> "Context":
    import msgspec

    from engine.adapters.bus.context import Context, inbox_of

    path = next((path for path in _candidates(place) if path.is_file()), None)
    if path is None:
        what = (
            f"no context {place.context!r}" if place.context else f"nothing is served from {place.directory}"
        )
        raise unreachable(place, what)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Context)
    except (OSError, msgspec.MsgspecError) as error:
        raise unreachable(place, f"{path} cannot be read: {type(error).__name__}") from None
    return found if found.inbox_prefix else msgspec.structs.replace(found, inbox_prefix=inbox_of(found.user))


def _candidates(place: Place) -> Iterator[Path]:
    name = place.context or OPERATOR
    yield Path(place.directory) / "contexts" / f"{name}.json"
    if place.context:
        yield Path(place.context).expanduser()
        config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
        yield config / "nats" / "context" / f"{name}.json"
