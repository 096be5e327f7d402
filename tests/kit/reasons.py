"""Explanations beside frames: a log is folded, its netmaps are rendered by a frontend, and what is explained is held against that.

`Theatre` is a tailnet that is spoken to in commands and in command lines, as people type them.
"""

import json
import shlex
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from engine.contracts.netmap import Snapshot
from engine.domain.commands import COMMANDS, Command, SetNodeExpiry
from engine.domain.decision import Decision
from engine.domain.events import Event, LogStarted
from engine.domain.refs import node_of, peer_of
from engine.domain.values import CommandId, Epoch, Millis, NodeId, Position
from engine.ports import Envelope, Recorded
from frontends.cli.main import main
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica
from frontends.control.session import End, Session
from frontends.control.view import View
from projections.history.causes import Causes
from projections.history.doctor import examine
from projections.history.findings import Explanation, Finding
from projections.history.scene import Scene
from projections.history.why import explain
from projections.inventory.lists import PresenceOf, nobody
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from tests.kit import scenario
from tests.unit.cli.stage import NOW, Stage

TIME = "2026-01-01T00:00:00Z"
Json = dict[str, Any]


class Folded:
    """A log as a projection has it."""

    def __init__(self, log: Sequence[Recorded] = ()) -> None:
        self.state = NetmapState()
        self.causes = Causes()
        self.log: list[Recorded] = []
        self.take(log)

    def take(self, log: Sequence[Recorded]) -> None:
        for record in log:
            self.causes.take(record, self.state.tailnet)
            fold(self.state, record)
            self.log.append(record)

    def scene(self, now: int = 0, presence: PresenceOf = nobody) -> Scene:
        return Scene(self.state, self.causes, Millis(now) or self.state.at, presence)


class Frames:
    """What a frontend tells the nodes of a state."""

    def __init__(self, state: NetmapState) -> None:
        replica = Replica()
        self.view = View(replica)
        self.lists = PeerLists(self.view, bytes)
        sent = msgspec.json.encode(snapshot_of(state))
        touched = replica.load(msgspec.json.decode(sent, type=Snapshot))
        self.lists.update(self.view.update(touched))

    def peers(self, node: int, capver: int) -> dict[int, Json]:
        """The peers in the first frame that a node's client gets, by id."""
        whole = Session(NodeId(node), capver).first(self.view, self.lists, TIME)
        assert not isinstance(whole, End)
        frame = json.loads(whole.head + b"".join(whole.peers) + whole.tail)
        return {peer["ID"]: peer for peer in frame.get("Peers") or ()}


class Theatre(scenario.Scene):
    """A tailnet with user `anna`, and all that can be asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folded = Folded()
        self.actor, self.reason = "operator", ""
        self._record(LogStarted(epoch=Epoch("theatre")), self.now)
        self.user("anna")

    def when(self, command: Command) -> Decision:
        before = len(self.log)
        decision = super().when(command)
        for event, at in self.log[before:]:
            self._record(event, at)
        return decision

    def _record(self, event: Event, at: Millis) -> None:
        position = Position(len(self.folded.log) + 1)
        envelope = Envelope(
            stream="s",
            version=position,
            at=at,
            actor=self.actor,
            command_id=CommandId(f"c{self.commands}"),
            reason=self.reason,
        )
        record = Recorded(position=position, envelope=envelope, event=event, digest=f"{position:x}")
        self.folded.take([record])

    def types(self, line: str) -> Decision:
        """Type a command line; the command that it sends is decided."""
        stage = Stage()
        program, *words = shlex.split(line, comments=True)
        assert program == "netmap"
        result = stage.run(*words)
        assert result.exit_code == 0, result.output
        (subject, body, _), *_ = [sent for sent in stage.requests if ".cmd." in sent[0]]
        noun, verb = subject.split(".")[-2:]
        command = msgspec.convert(body, COMMANDS[noun, verb], strict=False)
        if isinstance(command, SetNodeExpiry) and command.expiry:  # the stage's clock is another one
            command = SetNodeExpiry(node=command.node, expiry=Millis(self.now + command.expiry - NOW))
        return self.when(command)

    def why(
        self, node: int | str, peer: int | str, capver: int | None = None, presence: PresenceOf = nobody
    ) -> Explanation:
        tailnet = self.folded.state.tailnet
        scene = self.folded.scene(self.now, presence)
        return explain(scene, node_of(tailnet, node), peer_of(tailnet, peer), capver)

    def sees(self, node: int, peer: int, capver: int = 142) -> bool:
        """Whether the peer is in the frame of the node's client."""
        return peer in Frames(self.folded.state).peers(node, capver)

    def doctor(self, *, besides: str = "farside.unrecorded") -> list[Finding]:
        """What is wrong with all; nobody here writes down what far sides were told."""
        return [
            finding for finding in examine(self.folded.scene(self.now)).findings if finding.code != besides
        ]

    def record(self, finding: Finding) -> list[Recorded]:
        """The records that a finding names."""
        return [record for record in self.folded.log if record.position in finding.made]


def is_typed(line: str) -> bool:
    """Whether a fix is a command line that `netmap` understands, once its capitals are filled in; or one of a node's own."""
    words = shlex.split(line.replace(" JSON", " '{}'"), comments=True)
    if words[0] == "tailscale":
        return True
    command: click.Command = main
    context = click.Context(main, obj=Stage().world)
    words = words[1:]
    while isinstance(command, click.Group):
        inner = command.get_command(context, words.pop(0))
        assert inner is not None, line
        command = inner
    try:
        command.make_context(command.name, words, parent=context)
    except click.UsageError as error:
        raise AssertionError(f"{line}: {error.format_message()}") from None
    return True


def found(explanation: Explanation, code: str) -> Finding:
    """The one finding of this code."""
    (one,) = [finding for finding in explanation.findings if finding.code == code]
    return one


def codes(explanation: Explanation | Sequence[Finding], *verdicts: str) -> set[str]:
    """The codes of the findings with one of these verdicts."""
    findings = explanation.findings if isinstance(explanation, Explanation) else explanation
    return {finding.code for finding in findings if finding.verdict in verdicts}
