"""`netmap auth`: machines that wait for somebody's word."""

import click

from frontends.cli import live
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.output import Column
from frontends.cli.text import ago, pick, reference, short_key

auth = noun("Logins: machines that wait for somebody's word.", {"register": "approve"})


def login_of(words: str) -> str:
    """Return the login of its id, or of the address that the client shows."""
    return words.rstrip("/").rpartition("/")[2]


@auth.command("list")
@reading
def list_(operator: Operator) -> None:
    """List the machines that wait."""
    now = operator.now()
    columns = (
        Column("LOGIN", lambda row: row.get("login")),
        Column("HOSTNAME", lambda row: row.get("hostname")),
        Column("OS", lambda row: row.get("os")),
        Column("NODE KEY", lambda row: short_key(pick(row, "nodeKey"))),
        Column("SINCE", lambda row: ago(row.get("since"), now)),
        Column("ENDS", lambda row: ago(row.get("until"), now)),
    )
    operator.rows(operator.listed("login", "logins"), columns, empty=("nobody waits",))


@auth.command("approve")
@click.argument("login", metavar="LOGIN|URL")
@click.option(
    "-u", "--user", required=True, metavar="USER", shell_complete=live.users, help="Whose node it becomes."
)
@changing
def approve(operator: Operator, login: str, user: str) -> None:
    """Let the machine in, as a node of the user."""
    from engine.domain.commands import ApproveLogin
    from engine.domain.values import LoginId

    accepted = operator.send(ApproveLogin(login=LoginId(login_of(login)), user=reference(user)))
    operator.done(accepted, {"user": user}, "netmap node list")


@auth.command("reject")
@click.argument("login", metavar="LOGIN|URL")
@changing
def reject(operator: Operator, login: str) -> None:
    """Turn the machine away."""
    from engine.domain.commands import RejectLogin
    from engine.domain.values import LoginId

    accepted = operator.send(RejectLogin(login=LoginId(login_of(login))))
    operator.done(accepted, {"login": login_of(login)})
