"""Reads a run's folder, judges all of it, and says what was found."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.domain.values import FIRST_PEER_ID
from engine.ports import Recorded
from tests.soak.check import Client, Finding, Floors, courses, judge_frames, node_ids
from tests.soak.ledger import Command, commands, judge_commands, judge_joins
from tests.soak.records import (
    Answered,
    Closed,
    Done,
    Ended,
    Fault,
    Framed,
    Late,
    Opened,
    Run,
    Seen,
    Told,
    read,
)
from tests.soak.world import after

MOST_FINDINGS: Final = 20
"""How many findings are printed; all are counted."""


class Verdict(msgspec.Struct, kw_only=True):
    """What was looked at, and what was found."""

    findings: list[Finding]
    faults: dict[str, int]
    frames: int
    checks: int
    sessions: int
    clients: int
    events: int
    commands: dict[str, int]
    converged_millis: int | None
    """From the end of the last fault until the last client held what the log says for good; None: one never did."""
    behind_millis: int | None
    """The same from the last acknowledgement on."""
    slow_millis: int
    """By how much a process of clients was late for something after the last fault: the machine's doing, not the servers'."""
    run_millis: int


class History:
    """The files of a run."""

    def __init__(self, folder: Path) -> None:
        self.run: Run = msgspec.json.decode((folder / "run.json").read_bytes(), type=Run)
        self.records: list[Recorded] = list(read(folder / "log.jsonl", Recorded))
        self.done: list[Done] = []
        for path in sorted(_all(folder, "commands", "joins")):
            self.done += read(path, Done)
        self.faults: list[Fault] = list(read(folder / "faults.jsonl", Fault))
        self.told: list[Told] = list(read(folder / "answers.jsonl", Told))
        self._folder = folder

    def seen(self) -> Iterator[Seen]:
        """The clients' lines, one process's after the other's."""
        for path in sorted(_all(self._folder, "frames")):
            yield from read(path, Seen)


def _all(folder: Path, *names: str) -> list[Path]:
    return [path for name in names for path in folder.glob(f"{name}*.jsonl")]


def judge(folder: Path, *, within: float) -> Verdict:
    """Judge a run's folder.

    Args:
        folder: the history.
        within: the seconds after the last fault in which every client must hold what the log says.
    """
    history = History(folder)
    records, run = history.records, history.run
    nodes = {client: node_ids(records)[key] for client, key in run.clients.items()}
    course = courses(records)
    acknowledged = [(a.at, a.position) for a in history.done if isinstance(a, Answered) and a.position]
    floors = Floors(acknowledged)
    clients = {number: Client(number, course[node], floors) for number, node in nodes.items()}
    ends: dict[int, Ended] = {}
    findings = list(judge_order(records))
    slow: list[Late] = []
    lines = _noted(history.seen(), ends, slow)
    findings += judge_frames(lines, clients, records, nodes)
    found = commands(history.done, records)
    findings += judge_commands(found)
    findings += judge_joins(history.done, records)
    late = run.healed_at + int(within * 1_000)
    findings += judge_ends(clients, ends, set(nodes.values()), late)
    findings += judge_answers(history.told, records, set(nodes.values()))
    settled = [client.settled_at for client in clients.values()]
    last = None if None in settled else max((at for at in settled if at is not None), default=run.healed_at)
    heard = max((at for at, _ in acknowledged), default=run.healed_at)
    return Verdict(
        findings=findings,
        faults=dict(Counter(fault.kind for fault in history.faults)),
        frames=sum(client.frames for client in clients.values()),
        checks=sum(client.checks for client in clients.values()),
        sessions=sum(client.sessions for client in clients.values()),
        clients=len(clients),
        events=len(records),
        commands=outcomes(found),
        converged_millis=None if last is None else max(last - run.healed_at, 0),
        behind_millis=None if last is None else max(last - heard, 0),
        slow_millis=max((line.millis for line in slow if line.at >= run.healed_at), default=0),
        run_millis=run.ended_at - records[0].envelope.at,
    )


def _noted(
    lines: Iterator[Seen], ends: dict[int, Ended], slow: list[Late]
) -> Iterator[Opened | Framed | Closed | Ended]:
    for line in lines:
        if isinstance(line, Late):
            slow.append(line)
            continue
        if isinstance(line, Ended):
            ends[line.client] = line
        yield line


def judge_order(records: Sequence[Recorded]) -> Iterator[Finding]:
    """Positions and times of a log never go back (L4); its chain is checked by the reader that copied it."""
    for before, record in itertools.pairwise(records):
        if record.position <= before.position or record.envelope.at < before.envelope.at:
            yield Finding("log.order", f"position {record.position}", f"comes after {before.position}")


def judge_ends(
    clients: dict[int, Client], ends: dict[int, Ended], nodes: set[int], late: int
) -> Iterator[Finding]:
    """Every client ends connected, with what the log says, in time, and sees every other client online."""
    for number, client in clients.items():
        where = f"client {number}"
        end = ends.get(number)
        if end is None or not end.is_connected:
            yield Finding("end.away", where, "is not connected")
            continue
        if client.settled_at is None:
            yield Finding("end.differs", where, "does not hold what the log says")
        elif client.settled_at > late:
            what = f"held what the log says {client.settled_at - late} ms too late"
            yield Finding("end.late", where, what)
        if away := nodes.intersection(end.offline):
            yield Finding("end.offline", where, f"sees {sorted(away)} offline, which are not")


def judge_answers(told: Sequence[Told], records: Sequence[Recorded], nodes: set[int]) -> Iterator[Finding]:
    """What operators were told at the end of these nodes is what the log says."""
    for node in sorted(nodes - {answer.node for answer in told}):
        yield Finding("answer.missing", f"node {node}", "no operator was told of it")
    world = after([record.event for record in records])
    for answer in told:
        entries = [entry for entry in world.entries(answer.node) if entry.fields[0] in ("peer", "wireguard")]
        peers = {(e.id, e.fields[1], e.fields[2]) for e in entries if e.id < FIRST_PEER_ID}
        wireguard = {(e.id, e.fields[3], e.fields[4]) for e in entries if e.id >= FIRST_PEER_ID}
        if {*answer.peers} != peers or {*answer.wireguard} != wireguard:
            more = sorted({*answer.peers, *answer.wireguard} ^ {*peers, *wireguard})[:3]
            yield Finding("answer.differs", f"node {answer.node}", f"an operator is told otherwise: {more}")


def outcomes(found: dict[str, Command]) -> dict[str, int]:
    """How many commands had which outcome."""
    count: Counter[str] = Counter()
    for command in found.values():
        count["sent"] += 1
        accepted = any(not answer.refused for answer in command.answers)
        count["accepted" if accepted else "refused" if command.answers else "unanswered"] += 1
        count["a try without an answer"] += command.looked is not None
        count["sent again after the answer"] += len(command.answers) > 1
    return dict(count)


def table(verdict: Verdict) -> str:
    """The verdict for people."""

    def seconds(millis: int | None) -> str:
        return "never" if millis is None else f"{millis / 1_000:.1f} s"

    rows = [
        ("run", seconds(verdict.run_millis)),
        *((f"fault: {kind}", str(count)) for kind, count in sorted(verdict.faults.items())),
        ("records in the log", f"{verdict.events:,}"),
        *((f"commands: {kind}", f"{count:,}") for kind, count in verdict.commands.items()),
        ("clients", f"{verdict.clients:,}"),
        ("map sessions", f"{verdict.sessions:,}"),
        ("frames judged", f"{verdict.frames:,}"),
        ("frame-peer checks", f"{verdict.checks:,}"),
        ("converged after the last fault", seconds(verdict.converged_millis)),
        ("… and after the last answer", seconds(verdict.behind_millis)),
        *((f"FOUND {rule}", str(n)) for rule, n in sorted(Counter(f.rule for f in verdict.findings).items())),
        ("findings", str(len(verdict.findings))),
    ]
    wide = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(wide)}  {value:>12}" for name, value in rows]
    first: dict[str, list[Finding]] = {}
    for finding in verdict.findings:
        first.setdefault(finding.rule, []).append(finding)
    lines += [
        f"{f.rule}: {f.where}: {f.what}"
        for some in first.values()
        for f in some[: MOST_FINDINGS // len(first) + 1]
    ]
    return "\n".join(lines)


def save(verdict: Verdict, folder: Path) -> None:
    """Write the verdict beside the history."""
    builtins = msgspec.to_builtins(verdict)
    (folder / "verdict.json").write_text(json.dumps(builtins, indent=1))
