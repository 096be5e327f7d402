"""`netmap wg import-relays`: a provider's whole list of relays, as WireGuard-only peers.

Rule 1: many commands are in flight at once: the engine writes those that wait together (`IN_FLIGHT`).
Rule 2: one relay that fails does not stop the others; all failures are told, and the exit status is the first's.
Rule 3: who is gone is dealt with before anybody is registered: names become free.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from frontends.cli import live, output
from frontends.cli.failure import Exit, Failure, Trouble, usage
from frontends.cli.operator import Operator, changing
from frontends.cli.options import only
from frontends.cli.output import Column, Row
from frontends.cli.session import Session
from frontends.cli.text import clean, listed, next_step, note, reference, warn
from frontends.farside import plan, relayplan
from frontends.farside.relaylist import ListFault, RelayList
from frontends.farside.relayplan import Choice, Filter, Gone, Manner, Plan

if TYPE_CHECKING:
    from engine.domain.commands import Command

IN_FLIGHT: Final = 128
"""Commands that are sent before the first is answered."""
_TOLD: Final = 5
"""Failures that are told one by one."""
_WHAT: Final = ("register", "known", "rekey")
_COLUMNS: Final = (
    Column("COUNTRY", lambda row: row["country"]),
    Column("RELAYS", lambda row: row["relays"]),
    Column("REGISTER", lambda row: row["register"]),
    Column("KNOWN", lambda row: row["known"]),
    Column("REKEY", lambda row: row["rekey"]),
    Column("OTHERWISE", lambda row: row["differs"]),
)

_filters: Final = (
    click.option(
        "--country", "countries", multiple=True, metavar="COUNTRY,…", help="Only these: SE or Sweden."
    ),
    click.option("--city", "cities", multiple=True, metavar="CITY,…", help="Only these: got or Gothenburg."),
    click.option(
        "--provider", "providers", multiple=True, metavar="NAME,…", help="Only those hosted by these."
    ),
    click.option("--owned", is_flag=True, help="Only those that the provider owns."),
)


class _Job(NamedTuple):
    """A command to send, its id's suffix, and whom it is about."""

    name: str
    suffix: str
    command: "Command"


class _Outcome:
    """What became of all jobs."""

    def __init__(self) -> None:
        self.warnings: Final[Counter[str]] = Counter()
        self.examples: Final[dict[str, str]] = {}
        self.failed: Final[dict[str, Failure]] = {}
        self.done = 0


def _filtering(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_filters):
        function = option(function)
    return function


@click.command("import-relays")
@click.argument("files", nargs=-1, metavar="FILE|-", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--user", required=True, metavar="USER", shell_complete=live.users, help="The owner: id or name."
)
@_filtering
@click.option(
    "--label",
    type=click.Choice(relayplan.LABELS),
    default="host",
    show_default=True,
    help="What apps show: `Sweden: Gothenburg (se-got-wg-001)`, each server apart, or the city alone.",
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=51_820, show_default=True, help="Of the endpoints."
)
@click.option(
    "--source",
    default="mullvad",
    show_default=True,
    metavar="NAME",
    help="Whose list it is; kept in a tag of peers.",
)
@click.option(
    "--enrol-at",
    metavar="PROVIDER",
    shell_complete=live.providers,
    help="They are relays of this provider of ours, where nodes are registered (`netmap provider`).",
)
@click.option("--prune", is_flag=True, help="Remove who is gone from the list and not connected, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@changing
def import_relays(
    operator: Operator,
    files: tuple[str, ...],
    *,
    user: str,
    countries: tuple[str, ...],
    cities: tuple[str, ...],
    providers: tuple[str, ...],
    owned: bool,
    label: str,
    port: int,
    source: str,
    enrol_at: str | None,
    prune: bool,
    dry_run: bool,
) -> None:
    """Register the relays of Mullvad's list as exits; done again, it adds the new ones and disables those gone."""
    (file,) = only(files, None)
    chosen = Filter(listed(countries), listed(cities), listed(providers), owned)
    if plan.label(source) != source:
        raise usage(f"{source!r} cannot be a part of a tag", f"--source {plan.label(source) or 'NAME'}")
    manner = Manner(source, port, label, prune, enrol_at)
    found = _read(file)
    if not found.listens_on(port):
        ranges = ", ".join(f"{low}-{high}" for low, high in found.ports)
        raise usage(f"no relay of this list listens on port {port}", f"--port one of {ranges}")

    async def work(tailnet: Session) -> tuple[Plan, _Outcome]:
        peers = await tailnet.ask_all("peer", "list", "peers")
        whole = relayplan.plan(found, chosen, manner, peers["peers"])
        outcome = _Outcome()
        if not dry_run:
            await _carry_out(operator, tailnet, _jobs(whole, found, manner, user), outcome)
        return whole, outcome

    whole, outcome = operator.talk(work)
    _show(operator, whole, outcome, dry_run=dry_run)
    _tell(whole, outcome, file)


def _read(file: str) -> RelayList:
    from frontends.farside.relays import read

    try:
        with click.open_file(file, "rb") as opened:
            return read(opened.read())
    except OSError as error:
        raise Failure(Exit.USAGE, Trouble("file.unreadable", f"{file}: {error.strerror}", "FILE")) from None
    except ListFault as fault:
        hint = "the shapes are those of the provider's application: see docs/wireguard-only-peers.md"
        raise Failure(Exit.USAGE, Trouble("relays.unreadable", f"{file}: {fault}", "FILE", hint)) from None


def _jobs(whole: Plan, found: RelayList, manner: Manner, user: str) -> tuple[list[_Job], list[_Job]]:
    """Return what is sent first, and what is sent then (rule 3)."""
    from engine.domain.commands import DisablePeer, RemovePeer, UpdatePeer

    kinds: dict[str, type[DisablePeer | RemovePeer]] = {"disable": DisablePeer, "remove": RemovePeer}
    leaving = [
        _Job(one.name, f"{one.what}-{one.id}", kinds[one.what](peer=one.id))
        for one in whole.gone
        if one.what in kinds
    ]
    coming = [
        _Job(one.name, one.name, _coming(one, found, manner, reference(user)))
        for one in whole.relays
        if one.what != "known"
    ]
    coming += [
        _Job(one.name, f"join-{one.name}", UpdatePeer(peer=one.id, provider=reference(manner.provider)))
        for one in whole.relays
        if one.joins and one.id is not None and manner.provider is not None
    ]
    return leaving, coming


def _coming(one: Choice, found: RelayList, manner: Manner, user: int | str) -> "Command":
    from engine.domain.commands import RegisterPeer, UpdatePeer

    where = relayplan.endpoints(one.relay, manner.port)
    if one.id is not None:
        return UpdatePeer(peer=one.id, public_key=one.relay.key, endpoints=where)
    return RegisterPeer(
        name=one.name,
        user=user,
        public_key=one.relay.key,
        allowed_ips=relayplan.EVERYTHING,
        endpoints=where,
        extra_config=relayplan.extra_config(one.relay, found, manner),
        provider=None if manner.provider is None else reference(manner.provider),
    )


async def _carry_out(
    operator: Operator, tailnet: Session, jobs: tuple[list[_Job], list[_Job]], outcome: _Outcome
) -> None:
    import asyncio

    base = operator.command_id or operator.world.fresh_id()
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def one(job: _Job, step: Callable[[], None]) -> None:
        async with turns:
            try:
                accepted = await tailnet.send(
                    job.command, command_id=f"{base}-{job.suffix}", reason=operator.reason
                )
            except Failure as failure:
                outcome.failed[job.name] = failure
            else:
                outcome.done += 1
                for warning in accepted.warnings:
                    outcome.warnings[warning.partition(":")[0]] += 1
                    outcome.examples.setdefault(warning.partition(":")[0], f"{job.name}: {warning}")
            step()

    with progress(operator.form, sum(map(len, jobs))) as step:
        for part in jobs:
            await asyncio.gather(*(one(job, step) for job in part))


@contextmanager
def progress(form: str, total: int) -> Iterator[Callable[[], None]]:
    """Give what is called after each job; a person who watches sees a bar."""
    if not total or form != "table" or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("relays", total=total)
        yield lambda: bar.advance(task)


def _show(operator: Operator, whole: Plan, outcome: _Outcome, *, dry_run: bool) -> None:
    counts = {what: sum(one.what == what for one in whole.relays) for what in _WHAT}
    gone = {what: sum(one.what == what for one in whole.gone) for what in ("disable", "remove", "disabled")}
    if operator.form != "table":
        document = {
            "dryRun": dry_run,
            "counts": {**counts, "gone": gone},
            "relays": [_choice(one) for one in whole.relays],
            "gone": [one._asdict() for one in whole.gone],
            "failed": {name: failure.trouble.code for name, failure in sorted(outcome.failed.items())},
        }
        output.emit(operator.form, document)
        return
    click.echo(output.table(_by_country(whole.relays), _COLUMNS))
    for farewell in map(_farewell, whole.gone):
        note(farewell)
    for one in whole.relays:
        for difference in one.differences:
            note(f"{clean(one.name)} is left as it is: {clean(difference)}")
    for code, number in outcome.warnings.items():
        warn(f"{outcome.examples[code]}" + (f" (and {number - 1} more)" if number > 1 else ""))
    if dry_run:
        note("nothing was done: --dry-run")
    elif outcome.done:
        next_step("netmap node add-wg-connection --node-id NODE --wg-peer-id RELAY --ipv4-masq-addr ADDRESS")


def _choice(one: Choice) -> Row:
    return {
        "name": one.name,
        "what": one.what,
        "id": one.id,
        "publicKey": one.relay.key,
        "country": one.relay.country,
        "city": one.relay.city,
        "differences": list(one.differences),
    }


def _by_country(choices: Sequence[Choice]) -> list[Row]:
    countries = sorted({one.relay.country for one in choices})
    rows = [_counted(name, [one for one in choices if one.relay.country == name]) for name in countries]
    return [*rows, _counted("all", choices)]


def _counted(name: str, choices: Sequence[Choice]) -> Row:
    counts = {what: sum(one.what == what for one in choices) for what in _WHAT}
    differs = sum(bool(one.differences) for one in choices)
    return {"country": name, "relays": len(choices), **counts, "differs": differs}


def _farewell(one: Gone) -> str:
    whom = f" ({len(one.connected)} connected: {', '.join(one.connected)})" if one.connected else ""
    return f"{clean(one.name)} is gone from the list: {one.what}{clean(whom)}"


def _tell(whole: Plan, outcome: _Outcome, file: str) -> None:
    """Tell the failures; end as the first of them does (rule 2)."""
    if not outcome.failed:
        return
    names = sorted(outcome.failed)
    for name in names[:_TOLD]:
        note(f"{name} failed: {outcome.failed[name].trouble.message}")
    first = outcome.failed[names[0]]
    wanted = len(whole.relays) + len(whole.gone)
    message = f"{file}: {len(names)} of {wanted} failed, {outcome.done} done; the first is {names[0]}: "
    raise Failure(Exit(int(first.exit_code)), first.trouble._replace(message=message + first.trouble.message))
