"""`netmap schema`: what events, commands and queries look like, for other systems; no server is asked."""

import difflib
from collections.abc import Iterable
from typing import Any, Final

import click

from frontends.cli import output
from frontends.cli.failure import Exit, Failure, Trouble
from frontends.cli.groups import Nouns
from frontends.cli.output import Column

schema = Nouns(help="Schemas: what events, commands and queries look like, for other systems.", aliases={})
_FORM: Final = output.form_option("; a single schema as a table is JSON")


def _events(_ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
    from engine.schemas.kinds import events

    return [tag for tag in events() if tag.startswith(start)]


def _commands(_ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
    from engine.schemas.kinds import commands

    return [name for name in commands() if name.startswith(start)]


def _queries(_ctx: click.Context, _param: click.Parameter, start: str) -> list[str]:
    from engine.schemas.kinds import queries

    return [name for name in queries() if name.startswith(start)]


@schema.command("events")
@click.argument("name", required=False, shell_complete=_events)
@_FORM
def events_(name: str | None, form: str) -> None:
    """List the events, or write the JSON Schema of one: `PeerRegistered.v1`, or without `.v1`."""
    from engine.schemas import kinds, origins

    found = kinds.events()
    if name is not None:
        wanted = name if "." in name else f"{name}.v1"
        _document(form, kinds.schema_of(found[_known(wanted, found, "event")]))
        return
    if form != "table":
        _document(form, {tag: kinds.schema_of(kind) for tag, kind in found.items()})
        return
    who = origins.emitters()
    rows = [
        {"type": tag, "since": origins.since(tag), "by": who[tag], "what": kinds.summary_of(kind)}
        for tag, kind in found.items()
    ]
    columns = (
        Column("TYPE", lambda row: row["type"]),
        Column("SINCE", lambda row: row["since"]),
        Column("BY", lambda row: row["by"]),
        Column("WHAT", lambda row: row["what"]),
    )
    output.emit_rows(form, rows, columns)


@schema.command("commands")
@click.argument("name", required=False, shell_complete=_commands)
@_FORM
def commands_(name: str | None, form: str) -> None:
    """List the commands, or write the JSON Schema of one: `peer.register`."""
    from engine.schemas import kinds

    found = kinds.commands()
    if name is not None:
        _document(form, kinds.schema_of(found[_known(name, found, "command")]))
        return
    if form != "table":
        _document(form, {each: kinds.schema_of(kind) for each, kind in found.items()})
        return
    rows = [{"name": each, "what": kinds.summary_of(kind)} for each, kind in found.items()]
    _named(rows)


@schema.command("queries")
@click.argument("name", required=False, shell_complete=_queries)
@_FORM
def queries_(name: str | None, form: str) -> None:
    """List the queries, or write the JSON Schema of what they may be asked with."""
    from engine.schemas import kinds

    if name is not None:
        _known(name, kinds.queries(), "query")
        _document(form, kinds.query_schema())
    elif form != "table":
        _document(form, dict.fromkeys(kinds.queries(), kinds.query_schema()))
    else:
        for each in kinds.queries():
            click.echo(each)


@schema.command("asyncapi")
@_FORM
def asyncapi_(form: str) -> None:
    """Write one AsyncAPI 3.0 document of all of it: subjects, headers, schemas, examples."""
    from importlib.metadata import version

    from engine.schemas.asyncapi import document
    from frontends.cli.version import DISTRIBUTION

    _document(form, document(version(DISTRIBUTION)))


def _document(form: str, value: Any) -> None:
    """Write a schema as it is: what `output` knows of times is of rows, not of this."""
    output.emit_verbatim("json" if form == "table" else form, value)


def _named(rows: list[dict[str, Any]]) -> None:
    columns = (Column("NAME", lambda row: row["name"]), Column("WHAT", lambda row: row["what"]))
    output.emit_rows("table", rows, columns)


def _known(name: str, names: Iterable[str], what: str) -> str:
    known = list(names)
    if name in known:
        return name
    close = difflib.get_close_matches(name[:80], known, n=1, cutoff=0.5)
    hint = f"perhaps {close[0]!r}?" if close else f"netmap schema {what}s".replace("querys", "queries")
    raise Failure(Exit.NOT_FOUND, Trouble("schema.not_found", f"there is no {what} {name[:80]!r}", hint=hint))
