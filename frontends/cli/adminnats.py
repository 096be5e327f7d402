"""`netmap admin nats`: the servers, the streams, the certificates of a deployment.

Rule 1: these run with the engine's credentials (settings as for `netmap run engine`): an operator has no rights to JetStream.
Rule 2: exit 1 if something is left that is not as it should be; a script may go on at 0.
"""

from pathlib import Path
from typing import Any, Final

import click

from frontends.cli import output, setup
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.groups import Nouns
from frontends.cli.output import Column
from frontends.cli.text import next_step, note

nats = Nouns(
    help="The NATS servers: streams and rights as they should be, certificates.", aliases={"check": "ensure"}
)
_FORM = output.form_option()
_NATS = click.option(
    "--nats",
    envvar="NETMAP_NATS_URL",
    metavar="URL,…",
    help="The NATS servers, as the user engine.  [default: the directory's context of the engine]",
)
SERVERS: Final = ("nats-1", "nats-2", "nats-3")


@nats.command("ensure")
@setup.shared
@_NATS
@click.option(
    "--replicas",
    "nats_replicas",
    type=click.IntRange(1, 5),
    metavar="N",
    help="On how many servers each stream is.  [default: the setting nats_replicas, 1]",
)
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if something is not as it should be.")
@_FORM
def ensure(*, check: bool, form: str, **given: Any) -> None:
    """Look at every server, its version and rights, and make the streams as they should be."""
    import asyncio

    from engine.adapters import log
    from engine.adapters.bus.ensure import ensure as bring
    from engine.ports import Fault

    log.configure("critical")
    try:
        found = asyncio.run(bring(setup.settings_of(given), change=not check))
    except Fault as fault:
        failure = Failure(
            Exit.UNREACHABLE, Trouble("unreachable", str(fault), hint="netmap admin nats ensure --nats URL")
        )
        failure.form = form
        raise failure from None
    rows = [{"what": each.what, "state": each.state.value, "says": each.says} for each in found]
    if form == "table":
        _write_whole(rows)
    else:
        output.emit(form, rows)
    if not all(each.is_well for each in found):
        raise click.exceptions.Exit(Exit.FAILED)


def _write_whole(rows: list[dict[str, str]]) -> None:
    """Write a line for each thing, whole: what is wrong is not to be cut off."""
    widths = [max(len(row[name]) for row in rows) for name in ("what", "state")]
    for row in rows:
        click.echo(f"{row['what']:<{widths[0]}}  {row['state']:<{widths[1]}}  {row['says']}")


@nats.command("certs")
@click.option("--into", required=True, metavar="DIR", help="Where they are, or are to be.")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME[=HOST,…]",
    help="A server, and the names and addresses by which it is reached.  [default: nats-1 to nats-3]",
)
@_FORM
def certs(into: str, servers: tuple[str, ...], form: str) -> None:
    """Make an authority, and certificates for servers and roles; what is there and good stays."""
    from engine.adapters.bus.certificates import make, utc
    from engine.adapters.bus.server_config import ROLES
    from engine.adapters.clock import SystemClock
    from engine.ports import Fault

    wanted = dict(map(_server, servers or SERVERS))
    try:
        made = make(Path(into), wanted, ROLES, utc(SystemClock().now()))
    except Fault as fault:
        failure = Failure(Exit.FAILED, Trouble("fault", str(fault)))
        failure.form = form
        raise failure from None
    rows = [
        {
            "name": each.name,
            "state": each.state,
            "until": each.until.isoformat(timespec="seconds"),
            "hosts": list(each.hosts),
        }
        for each in made
    ]
    columns = (
        Column("NAME", lambda row: row["name"]),
        Column("STATE", lambda row: row["state"]),
        Column("UNTIL", lambda row: row["until"]),
        Column("HOSTS", lambda row: row["hosts"]),
    )
    output.emit_rows(form, rows, columns)
    if form == "table":
        note(f"{into}/ca/ca.key signs more of them: keep it off the servers")
        next_step(
            "give each host its own folder; NETMAP_NATS_CA, NETMAP_NATS_CERTIFICATE, NETMAP_NATS_KEY name the files"
        )


def _server(text: str) -> tuple[str, tuple[str, ...]]:
    from engine.adapters.bus.server_config import ROLES

    name, _, hosts = text.partition("=")
    known = tuple(filter(None, hosts.split(","))) or (name,)
    if not name or "/" in name or name in (*ROLES, "ca"):
        raise usage(
            f"--server {text!r} is not NAME=HOST,…",
            hint="a name that is none of a role, such as nats-1=10.0.0.1",
        )
    return name, known
