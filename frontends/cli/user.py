"""`netmap user`: who nodes and peers belong to."""

import click

from frontends.cli import live
from frontends.cli.groups import noun
from frontends.cli.node import sure
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment
from frontends.cli.output import Column
from frontends.cli.text import ago, pick, reference

ROLES = "owner, admin, it-admin, network-admin, billing-admin, auditor or member."
user = noun("Users: who nodes and WireGuard-only peers belong to.")


@user.command("create")
@click.argument("name")
@click.option("--display-name", default="", help="As other people see it.")
@click.option("--email", default="")
@click.option("--role", default="", metavar="ROLE", help=ROLES)
@changing
def create(operator: Operator, name: str, display_name: str, email: str, role: str) -> None:
    """Make a user."""
    from engine.domain.commands import CreateUser

    accepted = operator.send(CreateUser(name=name, display_name=display_name, email=email, role=role))
    operator.done(accepted, {"name": name}, f"netmap preauthkey create --user {name}")


@user.command("set-role")
@click.argument("which", metavar="USER", shell_complete=live.users)
@click.argument("role")
@changing
def set_role(operator: Operator, which: str, role: str) -> None:
    """Give a user a role: owner, admin, it-admin, network-admin, billing-admin, auditor or member."""
    from engine.domain.commands import SetUserRole

    operator.done(operator.send(SetUserRole(user=reference(which), role=role)), {})


@user.command("delete")
@click.argument("which", metavar="USER", shell_complete=live.users)
@click.option("--cascade", is_flag=True, help="Remove its nodes and WireGuard-only peers too.")
@click.option("--force", is_flag=True, help="Do not ask.")
@changing
def delete(operator: Operator, which: str, *, cascade: bool, force: bool) -> None:
    """Delete a user; while nodes or WireGuard-only peers belong to it, only with --cascade."""
    from engine.domain.commands import DeleteUser

    sure(f"Delete {which}{' and all that belongs to it' if cascade else ''}?", force=force)
    operator.done(operator.send(DeleteUser(user=reference(which), cascade=cascade)), {})


@user.command("list")
@AT
@reading
def list_(operator: Operator, at: Moment) -> None:
    """List the users."""
    now = operator.now()
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("NAME", lambda row: row.get("name")),
        Column("DISPLAY NAME", lambda row: pick(row, "displayName")),
        Column("EMAIL", lambda row: row.get("email")),
        Column("ROLE", lambda row: row.get("role")),
        Column("CREATED", lambda row: ago(pick(row, "created", "createdAt"), now)),
    )
    rows = operator.listed("user", "users", at=at)
    operator.rows(rows, columns, empty=("no users yet", "netmap user create NAME"))
