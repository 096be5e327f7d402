"""`netmap serve` and `netmap run`: all roles from one directory, or one role, for scale."""

from typing import Any

import click

from frontends.cli import setup
from frontends.cli.groups import Nouns


@click.command("serve")
@setup.shared
@setup.LISTEN
@setup.ADMIN
@setup.SERVER_URL
@click.option(
    "--derp-map",
    metavar="FILE|URL",
    help="The relays that clients are told of.  [default: the one set last, at first a dummy without a relay]",
)
@click.option(
    "--nats-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Of the bundled nats-server; 0 takes a free one.  [default: 4222]",
)
@click.option(
    "--frontends",
    type=click.IntRange(0, 256),
    metavar="N",
    help="How many, on one port; several are processes of their own.  [default: one for each core]",
)
@click.option("--quiet", is_flag=True, help="Do not say what to type next.")
def serve(derp_map: str | None, quiet: bool, **given: Any) -> None:
    """Serve every role from one directory: SQLite, a bundled nats-server, nothing else."""
    from frontends.cli.serve import run_all

    run_all(setup.settings_of(given), derp_map=derp_map, quiet=quiet)


run = Nouns(help="Run one role, for scale: with PostgreSQL and a NATS server of your own.")
_nats = click.option(
    "--nats",
    envvar="NETMAP_NATS_URL",
    metavar="URL,…",
    help="The NATS servers.  [default: the directory's context of the role]",
)


def _go(role: str, given: dict[str, Any]) -> None:
    from frontends.cli.serve import run_role

    run_role(role, setup.settings_of(given))


@run.command("engine")
@setup.shared
@_nats
@click.option("--derp-map", metavar="FILE", help="A DERP map in JSON, set at the start when it differs.")
def engine(**given: Any) -> None:
    """Decide commands and append events; only one is active on a store."""
    _go("engine", given)


@run.command("projection")
@setup.shared
@_nats
def projection(**given: Any) -> None:
    """Fold events into netmaps, send what changes, answer questions; any number."""
    _go("projection", given)


@run.command("frontend")
@setup.shared
@_nats
@setup.LISTEN
@setup.SERVER_URL
@click.option(
    "--id", "frontend", metavar="ID", help="This frontend's name among all.  [default: HOST-PROCESS]"
)
@click.option("--share-port", is_flag=True, default=None, help="Let others listen on the same port.")
@click.option(
    "--drain",
    "drain_seconds",
    type=click.FloatRange(0, 300),
    metavar="SECONDS",
    help="Over how long sessions are closed at the end.  [default: 5]",
)
def frontend(**given: Any) -> None:
    """Serve Tailscale clients; any number."""
    _go("frontend", given)


@run.command("admin")
@setup.shared
@_nats
@setup.ADMIN
def admin(**given: Any) -> None:
    """Serve the HTTP API to other tools and to routers; any number."""
    _go("admin", given)
