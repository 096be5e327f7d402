"""`netmap provider`: accounts at VPN providers, and the nodes that are registered there.

Rule 1: an account number is read from a file or typed where nobody sees it, never taken from the command line: that is in the
        shell's history, and in every list of processes.
"""

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.groups import noun
from frontends.cli.node import sure
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment, only, subject
from frontends.cli.output import Column, Row
from frontends.cli.text import ago, reference

provider = noun("Providers: VPN accounts at which nodes are registered.")
_provider = subject("provider", "-i", "--provider", complete=live.providers)
_url = click.option("--url", default=None, metavar="URL", help="Where it is; of mullvad it is known.")
_quota = click.option(
    "--quota",
    type=click.IntRange(1, 10_000),
    default=None,
    metavar="N",
    help="Devices that the account may have.",
)
_file = click.option(
    "--account-file",
    type=click.Path(dir_okay=False, allow_dash=True),
    default=None,
    metavar="FILE|-",
    help="Where the account number is; else it is asked for, unseen.",
)
_MAX_FILE = 1_024
"""Octets of a file with an account number in it."""


@provider.command("add")
@click.argument("name")
@click.option("--kind", required=True, metavar="mullvad|http", help="How it is spoken to.")
@_url
@_quota
@_file
@changing
def add(
    operator: Operator, name: str, *, kind: str, url: str | None, quota: int | None, account_file: str | None
) -> None:
    """Let nodes be registered at a provider; the account number is kept sealed, and never shown again."""
    from engine.domain.providercommands import AddProvider

    given = {} if quota is None else {"quota": quota}
    command = AddProvider(name=name, kind=kind, base_url=url or "", account=_account(account_file), **given)
    following = (
        f"netmap provider enrol {name} NODE",
        f"netmap wg import-relays FILE --user USER --enrol-at {name}",
    )
    operator.done(operator.send(command), {"name": name}, *following)


@provider.command("update")
@_provider
@click.option("--name", default=None, help="Another name.")
@_url
@_quota
@_file
@click.option("--ask-account", is_flag=True, help="Ask for another account number.")
@changing
def update(
    operator: Operator,
    *,
    words: tuple[str, ...],
    provider_by_flag: str | None,
    name: str | None,
    url: str | None,
    quota: int | None,
    account_file: str | None,
    ask_account: bool,
) -> None:
    """Change what is given; another URL needs the account number again. What had failed is tried again."""
    from engine.domain.providercommands import UpdateProvider

    (which,) = only(words, provider_by_flag)
    account = _account(account_file) if account_file is not None or ask_account else None
    command = UpdateProvider(provider=reference(which), name=name, base_url=url, quota=quota, account=account)
    operator.done(operator.send(command), {})


@provider.command("remove")
@_provider
@click.option(
    "--cascade", is_flag=True, help="With its devices, connections and relays; nothing is revoked there."
)
@click.option("--force", is_flag=True, help="Do not ask.")
@changing
def remove(
    operator: Operator, *, words: tuple[str, ...], provider_by_flag: str | None, cascade: bool, force: bool
) -> None:
    """Remove a provider; while nodes are registered there, or relays are its, only with --cascade."""
    from engine.domain.providercommands import RemoveProvider

    (which,) = only(words, provider_by_flag)
    sure(f"Remove {which}{', and forget who is registered there' if cascade else ''}?", force=force)
    operator.done(operator.send(RemoveProvider(provider=reference(which), cascade=cascade)), {})


@provider.command("list")
@AT
@reading
def list_(operator: Operator, at: Moment) -> None:
    """List the providers."""
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("NAME", lambda row: row.get("name")),
        Column("KIND", lambda row: row.get("kind")),
        Column("URL", lambda row: row.get("baseUrl")),
        Column("PLACES", lambda row: f"{row.get('used')} of {row.get('quota')}"),
        Column("WAITING", lambda row: row.get("waiting")),
        Column("FAILING", lambda row: row.get("failing")),
        Column("RELAYS", lambda row: row.get("relays")),
    )
    rows = operator.listed("provider", "providers", at=at)
    operator.rows(rows, columns, empty=("no providers", "netmap provider add NAME --kind mullvad"))


@provider.command("get")
@_provider
@AT
@reading
def get(operator: Operator, words: tuple[str, ...], provider_by_flag: str | None, at: Moment) -> None:
    """Show a provider, and what is the matter with each node there."""
    (which,) = only(words, provider_by_flag)
    rows = operator.listed("provider", "providers", provider=reference(which), at=at)
    if len(rows) != 1:
        trouble = Trouble(
            "provider.not_found", f"no provider {which!r}", "provider", hint="netmap provider list"
        )
        raise Failure(Exit.NOT_FOUND, trouble)
    devices = operator.listed("device", "devices", provider=reference(which), at=at)
    if operator.form != "table":
        output.emit(operator.form, {**rows[0], "devices": list(devices)})
        return
    now = operator.now()
    output.emit_facts({**rows[0], "created": ago(rows[0].get("created"), now)})
    columns = (
        Column("NODE", lambda row: f"{row.get('node')}({row.get('nodeName')})"),
        Column("STATE", state),
        Column("IPV4", lambda row: row.get("ipv4")),
        Column("IPV6", lambda row: row.get("ipv6")),
        Column("BECAUSE OF", lambda row: row.get("selector")),
        Column("TROUBLE", lambda row: trouble_of(row, now)),
    )
    operator.rows(
        devices, columns, empty=("nobody is registered there", f"netmap provider enrol {which} NODE")
    )


def state(row: Row) -> str:
    """Return where a device is in its life, with who waits before it."""
    ahead = row.get("ahead")
    return f"waiting ({ahead} before it)" if row.get("state") == "waiting" else str(row.get("state"))


def trouble_of(row: Row, now: int) -> str:
    """Return what went wrong last with a device, and when it is tried again."""
    failure = str(row.get("failure") or "")
    if not failure:
        return ""
    again = f"again {ago(row.get('nextTry'), now)}" if row.get("nextTry") else "stopped"
    word = f": {row.get('word')}" if row.get("word") else ""
    return f"{failure} ({row.get('attempts')}×, {again}){word}"


@provider.command("enrol")
@_provider
@changing
def enrol(operator: Operator, words: tuple[str, ...], provider_by_flag: str | None) -> None:
    """Register a node: `netmap provider enrol PROVIDER NODE`; what failed is tried again now."""
    from engine.domain.providercommands import EnrolNode

    which, node = only(words, provider_by_flag, "NODE")
    accepted = operator.send(EnrolNode(provider=reference(which), node=reference(node)))
    operator.done(accepted, {}, f"netmap provider get {which}   # whether it is registered")


@provider.command("withdraw")
@_provider
@click.option("--cascade", is_flag=True, help="End the connections that live by it.")
@changing
def withdraw(operator: Operator, words: tuple[str, ...], provider_by_flag: str | None, cascade: bool) -> None:
    """Revoke a node's registration: `netmap provider withdraw PROVIDER NODE`."""
    from engine.domain.providercommands import WithdrawNode

    which, node = only(words, provider_by_flag, "NODE")
    command = WithdrawNode(provider=reference(which), node=reference(node), cascade=cascade)
    operator.done(operator.send(command), {})


def _account(file: str | None) -> str:
    """Return the account number of a file, or what is typed unseen (rule 1)."""
    if file is None:
        typed: str = click.prompt("Account number", hide_input=True, err=True)
        return typed
    try:
        with click.open_file(file, "rb") as opened:
            data = opened.read(_MAX_FILE + 1)
        text = data.decode("ascii").strip() if len(data) <= _MAX_FILE else ""
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{file} cannot be read: {type(error).__name__}") from None
    if not text:
        raise usage(f"{file} holds no account number", "a file with the number alone in it")
    return text
