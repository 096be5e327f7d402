"""`netmap apikey`: keys with which other tools and routers use the HTTP API."""

from typing import Final

import click

from frontends.cli import live
from frontends.cli.failure import usage
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, DURATION, Moment
from frontends.cli.output import Column, Row
from frontends.cli.text import ago, next_step, note, pick, reference, span

apikey = noun(
    "API keys: other tools and routers use the HTTP API with them.", {"rm": "delete", "remove": "delete"}
)
PREFIX_DIGITS: Final = 12
"""Of a key (`engine/domain/apikeys.py`): such a text is a prefix, also if it is all digits."""
_KEY = click.argument("words", nargs=-1, metavar="ID|PREFIX|KEY")
_PREFIX = click.option(
    "-p", "--prefix", "by_flag", metavar="PREFIX", help="The key: id, prefix or the key itself."
)


@apikey.command("create")
@click.option(
    "--scope",
    type=click.Choice(("admin", "export")),
    default="admin",
    show_default=True,
    help="export: only what the far side of --peer reads.",
)
@click.option("--peer", metavar="PEER", shell_complete=live.peers, help="The peer of an export key.")
@click.option("--node", metavar="NODE", shell_complete=live.nodes, help="Only this node's connection.")
@click.option(
    "-e", "--expiration", type=DURATION, default="90d", show_default=True, help="How long it may be used."
)
@changing
def create(operator: Operator, *, scope: str, peer: str | None, node: str | None, expiration: int) -> None:
    """Make an API key; the table form writes the key alone to stdout, once, and nothing of it to stderr."""
    from engine.domain.commands import CreateApiKey

    accepted = operator.send(
        CreateApiKey(
            scope=scope,
            peer=None if peer is None else reference(peer),
            node=None if node is None else reference(node),
            expires_in_seconds=expiration,
        )
    )
    if operator.form != "table":
        operator.done(accepted, {})
        return
    click.echo(str(pick(accepted.result, "key")))
    good = f"good for {span(expiration)}" if expiration else "good for ever"
    note(f"key {accepted.id}, {good}, position {accepted.position}; it is not shown again")
    path = "api/v1/node" if scope == "admin" else f"wg/export/{peer}"
    next_step(f"curl -H 'Authorization: Bearer KEY' http://127.0.0.1:8081/{path}")


@apikey.command("list")
@AT
@reading
def list_(operator: Operator, at: Moment) -> None:
    """List the API keys, without their secrets."""
    now = operator.now()
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("PREFIX", lambda row: row.get("prefix")),
        Column("SCOPE", lambda row: row.get("scope")),
        Column("PEER", lambda row: row.get("peerName") or row.get("peer")),
        Column("NODE", lambda row: row.get("nodeName") or row.get("node")),
        Column("EXPIRES", lambda row: _until(row, now)),
    )
    rows = operator.listed("apikey", "apiKeys", at=at)
    operator.rows(rows, columns, empty=("no API keys", "netmap apikey create"))


def _until(row: Row, now: int) -> str:
    return "ended" if row.get("expired") else ago(row.get("expiry"), now, unset="never")


@apikey.command("expire")
@_KEY
@_PREFIX
@changing
def expire(operator: Operator, words: tuple[str, ...], by_flag: str | None) -> None:
    """End an API key now: what it opened is closed at once."""
    from engine.domain.commands import ExpireApiKey

    operator.done(operator.send(ExpireApiKey(key=_one(words, by_flag))), {})


@apikey.command("delete")
@_KEY
@_PREFIX
@changing
def delete(operator: Operator, words: tuple[str, ...], by_flag: str | None) -> None:
    """Delete an API key."""
    from engine.domain.commands import DeleteApiKey

    operator.done(operator.send(DeleteApiKey(key=_one(words, by_flag))), {})


def _one(words: tuple[str, ...], by_flag: str | None) -> int | str:
    """Return the one key that is named; a wrong count is told without repeating what may be a key.

    Raises:
        Failure: none, or more than one (exit 2).
    """
    given = words if by_flag is None else (by_flag, *words)
    if len(given) != 1:
        raise usage("one ID, PREFIX or KEY expected", "netmap apikey list shows all")
    return given[0] if len(given[0]) == PREFIX_DIGITS else reference(given[0])
