"""`netmap wg import`: WireGuard-only peers from wg-quick files of a far side or a provider.

Rule 1: all files are read before anything is sent; one that cannot be taken stops the whole.
Rule 2: a private key is not kept, sent or repeated: see `farside/wgfile.py`.
Rule 3: done again, nothing changes; with --id, each command has an id of its own made of it, by its peer's place.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, changing
from frontends.cli.output import Column, Row
from frontends.cli.session import Session
from frontends.cli.text import clean, next_step, note, reference, short_key, warn
from frontends.farside.plan import Known, Located, Source, Step, label, steps
from frontends.farside.wgfile import Fault, read

if TYPE_CHECKING:
    from engine.contracts.requests import Accepted
    from engine.domain.commands import Command

_COLUMNS: Final = (
    Column("FILE", lambda row: f"{row['file']}:{row['line']}"),
    Column("PEER", lambda row: row["name"]),
    Column("PUBLIC KEY", lambda row: short_key(row["publicKey"])),
    Column("ENDPOINT", lambda row: row["endpoints"]),
    Column("ALLOWED IPS", lambda row: row["allowedIps"]),
    Column("PEER IS", lambda row: row["peer"]),
    Column("CONNECTION", lambda row: row["connection"]),
)


@click.command("import")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE…", type=click.Path(dir_okay=False, allow_dash=True)
)
@click.option(
    "--user", required=True, metavar="USER", shell_complete=live.users, help="The owner: id or name."
)
@click.option("--name", metavar="NAME", help="The peer's, instead of the file's.")
@click.option(
    "--node",
    metavar="NODE",
    shell_complete=live.nodes,
    help="Connect this node, with the file's Address as masquerade address.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@changing
def import_(
    operator: Operator,
    files: tuple[str, ...],
    *,
    user: str,
    name: str | None,
    node: str | None,
    dry_run: bool,
) -> None:
    """Register the peers of wg-quick files; with --node, connect a node to them."""
    if name and len(files) > 1:
        raise usage("--name is for one file", "leave it out: peers are named as their files")
    sources = [_source(file, name) for file in files]
    if operator.form == "table":
        for source in sources:
            for line in source.read.ignored:
                note(f"{clean(source.file)}:{line.line}: {line.name} is ignored: {line.why}")

    async def work(tailnet: Session) -> list[Step]:
        plan = _planned(sources, await _known(tailnet, node))
        if dry_run:
            return plan
        return await _carried_out(_Sender(operator, tailnet), plan, user, node)

    done = operator.talk(work)
    _show(operator, sources, done, dry_run=dry_run)


def _source(file: str, name: str | None) -> Source:
    try:
        with click.open_file(file, encoding="utf-8", errors="replace") as opened:
            text = opened.read()
        found = read(text)
    except OSError as error:
        trouble = Trouble("file.unreadable", f"{file}: {error.strerror}", "FILE")
        raise Failure(Exit.USAGE, trouble) from None
    except Fault as fault:
        raise _failure(Located(file, fault)) from None
    called = label(Path(file).name.removesuffix(".conf")) if name is None else name
    if not called or (file == "-" and name is None):
        raise usage(f"{file} has no name that a peer could have", "--name NAME")
    return Source(file, called, found)


def _planned(sources: Sequence[Source], known: Known) -> list[Step]:
    try:
        return steps(sources, known)
    except Located as located:
        raise _failure(located) from None


def _failure(located: Located) -> Failure:
    fault = located.fault
    message = f"{located.file}:{fault.line}: {fault.message}"
    return Failure(Exit.USAGE, Trouble(fault.code, message, fault.field, fault.hint))


async def _known(tailnet: Session, node: str | None) -> Known:
    peers = await tailnet.ask_all("peer", "list", "peers")
    if node is None:
        return Known(peers["peers"])
    rows = await tailnet.ask_all("connection", "list", "connections", node=reference(node))
    return Known(peers["peers"], rows["connections"], connects=True)


class _Sender:
    """Sends the commands of one import, one after the other."""

    def __init__(self, operator: Operator, tailnet: Session) -> None:
        self._operator: Final = operator
        self._tailnet: Final = tailnet
        self._id: Final = operator.command_id or operator.world.fresh_id()

    async def __call__(self, step: Step, command: "Command", suffix: str) -> "Accepted":
        try:
            accepted = await self._tailnet.send(
                command, command_id=f"{self._id}-{suffix}", reason=self._operator.reason
            )
        except Failure as failure:
            where = f"{step.file}:{step.line}: {failure.trouble.message}"
            raise Failure(Exit(int(failure.exit_code)), failure.trouble._replace(message=where)) from None
        for warning in accepted.warnings:
            warn(f"{step.name}: {warning}")
        return accepted


async def _carried_out(send: _Sender, plan: Sequence[Step], user: str, node: str | None) -> list[Step]:
    done: list[Step] = []
    for number, step in enumerate(plan, start=1):
        try:
            done.append(await _one(send, step, str(number), user, node))
        except Failure:
            if done:
                note(f"done before: {', '.join(one.name for one in done)}; the same line goes on from there")
            raise
    return done


async def _one(send: _Sender, step: Step, suffix: str, user: str, node: str | None) -> Step:
    from engine.domain.commands import AddConnection, RegisterPeer

    peer = step.id
    if step.peer == "register":
        resolvers = list(step.exitNodeDNSResolvers)
        command = RegisterPeer(
            name=step.name,
            user=reference(user),
            public_key=step.publicKey,
            allowed_ips=step.allowedIps,
            endpoints=step.endpoints,
            extra_config={"exitNodeDNSResolvers": resolvers} if resolvers else {},
        )
        accepted = await send(step, command, suffix)
        peer = int(accepted.id) if accepted.id is not None else None
    if step.connection == "add" and node is not None:
        connection = AddConnection(
            node=reference(node),
            peer=step.name if peer is None else peer,
            ipv4_masq_addr=step.ipv4MasqAddr,
            ipv6_masq_addr=step.ipv6MasqAddr,
        )
        await send(step, connection, f"{suffix}-connection")
    return step._replace(id=peer)


def _show(operator: Operator, sources: Sequence[Source], done: Sequence[Step], *, dry_run: bool) -> None:
    rows: list[Row] = [step._asdict() for step in done]
    if operator.form != "table":
        ignored = [
            {"file": source.file, **one._asdict()} for source in sources for one in source.read.ignored
        ]
        output.emit(operator.form, {"dryRun": dry_run, "peers": rows, "ignored": ignored})
        return
    click.echo(output.table(rows, _COLUMNS))
    for step in done:
        for difference in step.differences:
            note(f"{clean(step.name)} is left as it is: {clean(difference)}")
    if dry_run:
        note("nothing was done: --dry-run")
    elif any(step.connection == "add" for step in done):
        next_step(*(f"netmap wg export {clean(step.name)}   # what the far side needs" for step in done))
