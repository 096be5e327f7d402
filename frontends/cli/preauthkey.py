"""`netmap preauthkey`: keys with which machines log in without a person."""

import click

from frontends.cli import live
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, DURATION, Moment
from frontends.cli.output import Column, Row
from frontends.cli.text import ago, listed, next_step, note, pick, reference, short_key, span

preauthkey = noun("Pre-auth keys: machines log in with them without a person.")


@preauthkey.command("create")
@click.option(
    "-u", "--user", required=True, metavar="USER", shell_complete=live.users, help="Id or name of the user."
)
@click.option("--reusable", is_flag=True, help="More than one machine may use it.")
@click.option("--ephemeral", is_flag=True, help="Its nodes are deleted when they log out.")
@click.option("--tags", multiple=True, metavar="TAG,…", help="Tags of its nodes.")
@click.option(
    "-e", "--expiration", type=DURATION, default="1h", show_default=True, help="How long it may be used."
)
@changing
def create(
    operator: Operator, *, user: str, reusable: bool, ephemeral: bool, tags: tuple[str, ...], expiration: int
) -> None:
    """Make a pre-auth key; the table form writes the key alone to stdout, once, and nothing of it to stderr."""
    from engine.domain.commands import CreateAuthKey

    accepted = operator.send(
        CreateAuthKey(
            user=reference(user),
            reusable=reusable,
            ephemeral=ephemeral,
            tags=listed(tags),
            expires_in_seconds=expiration,
        )
    )
    if operator.form != "table":
        operator.done(accepted, {})
        return
    key = str(pick(accepted.result, "key", "secret", "authKey"))
    click.echo(key)
    note(
        f"key {accepted.id}, good for {span(expiration)}, position {accepted.position}; it is not shown again"
    )
    next_step("tailscale up --login-server http://SERVER:8080 --auth-key KEY")


@preauthkey.command("list")
@click.option("-u", "--user", metavar="USER", shell_complete=live.users, help="Only this user's.")
@AT
@reading
def list_(operator: Operator, user: str | None, at: Moment) -> None:
    """List the pre-auth keys, without their secrets."""
    now = operator.now()
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("KEY", lambda row: f"{row.get('prefix', '')}…"),
        Column("USER", lambda row: pick(row, "userName", "user")),
        Column("REUSABLE", lambda row: bool(row.get("reusable"))),
        Column("EPHEMERAL", lambda row: bool(row.get("ephemeral"))),
        Column("USED", lambda row: pick(row, "used", default=0)),
        Column("TAGS", lambda row: row.get("tags")),
        Column("EXPIRES", lambda row: _until(row, now)),
    )
    wanted = None if user is None else reference(user)
    rows = operator.listed("authkey", "authKeys", user=wanted, at=at)
    operator.rows(rows, columns, empty=("no pre-auth keys", "netmap preauthkey create --user USER"))


def _until(row: Row, now: int) -> str:
    if row.get("expired") or row.get("spent"):
        return "ended" if row.get("expired") else "spent"
    return ago(row.get("expiry"), now, unset="never")


@preauthkey.command("expire")
@click.argument("key", metavar="ID|KEY")
@changing
def expire(operator: Operator, key: str) -> None:
    """End a pre-auth key now; nodes that came in with it stay."""
    from engine.domain.commands import ExpireAuthKey

    accepted = operator.send(ExpireAuthKey(key=reference(key)))
    operator.done(accepted, {"key": short_key(key)})
