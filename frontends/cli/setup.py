"""The settings of roles, from flags, a file and the environment.

Rule 1: flags win over `NETMAP_*`, those over the file: `--config`, else `netmap.toml` in the directory.
Rule 2: `NETMAP_DIR` and `NETMAP_NATS_URL` mean the same as for every other command.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from frontends.cli.failure import usage
from frontends.cli.place import DEFAULT_DIRECTORY, from_url

if TYPE_CHECKING:
    from engine.config import Settings

CONFIG_FILE: Final = "netmap.toml"
LISTEN = click.option(
    "--listen", metavar="HOST:PORT", help="Where clients are served.  [default: 127.0.0.1:8080]"
)
SERVER_URL = click.option("--server-url", metavar="URL", help="How clients reach it, if by another address.")
ADMIN = click.option(
    "--admin-listen", metavar="HOST:PORT", help="Where the HTTP API is served.  [default: 127.0.0.1:8081]"
)
SHARED: Final = (
    click.option(
        "--dir",
        "directory",
        envvar="NETMAP_DIR",
        default=DEFAULT_DIRECTORY,
        show_default=True,
        metavar="DIR",
        help="Where the store, the keys and the contexts are.",
    ),
    click.option(
        "--config", metavar="FILE", help="Settings in TOML.  [default: netmap.toml in the directory]"
    ),
    click.option(
        "--store", metavar="URL", help="sqlite:///PATH or postgresql://…  [default: in the directory]"
    ),
    click.option("--tailnet", metavar="NAME", help="[default: default]"),
    click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.  [default: info]"),
)


def shared(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every role has."""
    for option in reversed(SHARED):
        function = option(function)
    return function


def settings_of(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> "Settings":
    """Return the settings; the directory is absolute.

    Raises:
        Failure: something is not as it should be (exit 2).
    """
    from engine.config import ConfigError, parse

    values = dict(given)
    directory = str(Path(values.pop("directory")).expanduser().absolute())
    text = _file(values.pop("config", None), Path(directory))
    listen = values.pop("listen", None)
    admin = values.pop("admin_listen", None)
    nats = values.pop("nats", None)
    overrides = {**values, "directory": directory}
    for name, text_ in (("listen", listen), ("admin", admin)):
        if text_:
            overrides |= dict(zip((f"{name}_host", f"{name}_port"), host_and_port(text_), strict=True))
    if nats:
        context = from_url(nats)
        overrides |= {"nats_urls": tuple(context.url.split(","))}
        overrides |= {"nats_user": context.user or None, "nats_password": context.password or None}
    try:
        return parse(text, os.environ if environment is None else environment, overrides)
    except ConfigError as error:
        raise usage(str(error)) from None


def host_and_port(text: str) -> tuple[str, int]:
    """Return the parts of `127.0.0.1:8080`, `[::1]:8080` or `:8080` (every address).

    Raises:
        Failure: it is neither (exit 2).
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise usage(f"--listen {text!r} is not HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (by the person's word: no host is every address)


def _file(path: str | None, directory: Path) -> str:
    wanted = Path(path) if path else directory / CONFIG_FILE
    if not path and not wanted.is_file():
        return ""
    try:
        return wanted.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{wanted} cannot be read: {type(error).__name__}") from None
