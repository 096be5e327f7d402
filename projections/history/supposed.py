"""What would follow if commands were given at a moment: their answers, and what would differ in whose netmap; pure.

Rule 1: commands are decided one after the other, each on what the ones before it made, by the very functions that decide real ones.
Rule 2: nothing of the given state is changed: everything happens to a copy.
Rule 3: a refused command changes nothing, and the following ones are decided all the same.
Rule 4: only nodes that a changed object can concern are compared, and at most `most` of them: of the others it is said how many.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from engine.contracts.netmap import (
    Change,
    ClassObject,
    ExtrasObject,
    NetmapObject,
    NodeObject,
    UserObject,
    WireGuardPeerObject,
)
from engine.contracts.requests import Problem, problem_of
from engine.domain.command import Command
from engine.domain.decide import decide
from engine.domain.decision import Given
from engine.domain.errors import Refusal
from engine.domain.events import Event
from engine.domain.state import Tailnet
from engine.domain.values import CommandId, Epoch, Millis, NodeId, Position
from engine.ports import Envelope, Recorded
from projections.history.lines import NamesNow, line
from projections.history.scene import frozen
from projections.netmap.diff import ChangeRow, rows
from projections.netmap.fold import fold
from projections.netmap.rebuild import rebuild
from projections.netmap.state import NetmapState
from projections.netmap.view import view

_SECRET: Final = "0" * 32
"""What keys are made of that nobody will ever hold."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """From where it is supposed: a tailnet of one's own (`Tailnet.draft`), and the last record that made it so."""

    tailnet: Tailnet
    epoch: Epoch
    position: Position
    now: Millis


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A command that nobody gives, and its name, as `peer.register`."""

    name: str
    command: Command


class Outcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a command would be answered; `problem` is why not, `events` what would happen, in words."""

    name: str
    ok: bool
    events: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: Problem | None = None


class NodeRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that would not be as it is in one node's netmap."""

    node: int
    node_name: str
    change: ChangeRow


class Supposition(msgspec.Struct, frozen=True, kw_only=True):
    """The answers in the order of the commands, the differences by node, and how many nodes were not looked at."""

    outcomes: tuple[Outcome, ...]
    rows: tuple[NodeRow, ...]
    unseen: int


def suppose(start: Start, wishes: Iterable[Wish], *, most: int, only: NodeId | None = None) -> Supposition:
    """Return what would follow; with `only` the netmap of this node alone is compared."""
    before = rebuild(start.tailnet, start.epoch, start.position)
    before.at = start.now
    after = frozen(before)
    touched: set[str] = set()
    outcomes = [_outcome(after, wish, start.now, touched) for wish in wishes]
    concerned = sorted(_concerned(before, after, touched))
    if only is not None:
        concerned = [number for number in concerned if number == only]
    found = [row for number in concerned[:most] for row in _rows(before, after, number)]
    return Supposition(outcomes=tuple(outcomes), rows=tuple(found), unseen=max(0, len(concerned) - most))


def _outcome(state: NetmapState, wish: Wish, now: Millis, touched: set[str]) -> Outcome:
    try:
        decision = decide(state.tailnet, wish.command, Given(now=now, secret=_SECRET))
    except Refusal as refusal:
        return Outcome(name=wish.name, ok=False, problem=problem_of(refusal))
    for event in decision.events:
        changes = fold(state, _recorded(state, event, now))
        touched.update(change.key for change in changes)
    names = NamesNow(state.tailnet)
    said = tuple(line(event, names) for event in decision.events)
    return Outcome(name=wish.name, ok=True, events=said, warnings=decision.warnings)


def _recorded(state: NetmapState, event: Event, now: Millis) -> Recorded:
    envelope = Envelope(stream="", version=1, at=now, actor="", command_id=CommandId(""))
    return Recorded(position=Position(state.position + 1), envelope=envelope, event=event, digest="")


def _rows(before: NetmapState, after: NetmapState, number: NodeId) -> Iterator[NodeRow]:
    node = after.tailnet.nodes.get(number) or before.tailnet.nodes[number]
    for row in rows(view(before, number), view(after, number)):
        yield NodeRow(node=number, node_name=node.name, change=row)


def _concerned(before: NetmapState, after: NetmapState, touched: Iterable[str]) -> set[NodeId]:
    """Return the nodes whose netmap can differ, perhaps some more: there, or there afterwards."""
    everybody = before.tailnet.nodes.keys() | after.tailnet.nodes.keys()
    found: set[NodeId] = set()
    for key in touched:
        for state in (before, after):
            value = _value(state, key)
            found |= everybody if value is None and _is_shared(key) else _of(state, value, everybody)
        if found == everybody:
            break
    return found


def _is_shared(key: str) -> bool:
    """Return whether an object that came or went may concern anybody."""
    return not key.startswith(("node/", "peer/", "extras/", "class/", "user/"))


def _value(state: NetmapState, key: str) -> NetmapObject | None:
    held: Change | None = state.objects.get(key)
    return None if held is None else held.value


def _of(state: NetmapState, value: NetmapObject | None, everybody: set[NodeId]) -> set[NodeId]:
    match value:
        case None:
            return set()
        case NodeObject():
            return {value.id, *_viewers(state, value.class_id)}
        case ExtrasObject():
            return {value.node}
        case WireGuardPeerObject():
            return set(state.tailnet.nodes_of_peer.get(value.id, ()))
        case ClassObject():
            return {node.id for node in state.nodes() if node.class_id == value.id}
        case UserObject():
            classes = {node.class_id for node in state.nodes() if node.user == value.id}
            return {number for name in classes for number in _viewers(state, name)}
        case _:
            return everybody


def _viewers(state: NetmapState, name: str) -> Sequence[NodeId]:
    """Return the nodes that see a class's nodes, and its members."""
    sets = frozenset(state.standings[name].sets) if name in state.standings else frozenset()
    seeing = {
        other
        for other in state.standings
        if other == name or not sets.isdisjoint(state.standings[other].sees)
    }
    return [node.id for node in state.nodes() if node.class_id in seeing]
