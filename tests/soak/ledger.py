"""Holds what senders of commands were told against the log: nothing lost, nothing done twice, nothing out of thin air.

Rule 1: a command that was accepted has one receipt, where its answer says or before, and its effect once (L1, L2).
Rule 2: one that was refused has left nothing; what was never sent is not there (L3).
Rule 3: one without an answer is known to the projections as the log has it, or nobody knows it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from engine.domain.events import CommandHandled, NodeRegistered, tag_of
from engine.ports import Recorded
from tests.soak.check import Finding
from tests.soak.records import Answered, Done, Joined, Looked, Sent

EFFECTS: Final[Mapping[str, str]] = {
    "node.rename": "NodeRenamed.v1",
    "node.remove": "NodeDeleted.v1",
    "peer.register": "PeerRegistered.v1",
    "peer.remove": "PeerRemoved.v1",
    "connection.add": "ConnectionAdded.v1",
    "connection.update": "ConnectionUpdated.v1",
    "connection.remove": "ConnectionRemoved.v1",
}
"""What each of these leaves once, neither less nor more."""
AT_MOST_ONCE: Final[Mapping[str, str]] = {
    "node.tag": "NodeTagged.v1",
    "policy.set": "PolicySet.v1",
    "peer.disable": "PeerDisabled.v1",
    "peer.enable": "PeerEnabled.v1",
    "peer.expire": "PeerExpired.v1",
}
"""What is so already is accepted too, and changes nothing."""
MARK: Final = "soak-"
"""What the ids of a run's commands begin with."""


class Command:
    """What is known of one command: from its sender, and from the log."""

    def __init__(self, number: str) -> None:
        self.id = number
        self.name = ""
        self.answers: list[Answered] = []
        self.looked: Looked | None = None
        self.receipts: list[int] = []
        self.events: Counter[str] = Counter()

    def findings(self) -> Iterator[Finding]:
        """What is wrong with it."""
        if not self.name:
            yield self._finding("command.phantom", "is in the log, and nobody sent it")
            return
        if len(self.receipts) > 1:
            yield self._finding("command.doubled", f"has receipts at {self.receipts}")
        if len({answer.digest for answer in self.answers}) > 1:
            yield self._finding("command.changed", "was answered differently when it was sent again")
        yield from self._outcome()
        yield from self._effect()
        if self.looked is not None and self.looked.position != (self.receipts or [0])[0]:
            what = f"is said to be at {self.looked.position}, its receipts are at {self.receipts}"
            yield self._finding("command.misread", what)

    def _outcome(self) -> Iterator[Finding]:
        accepted = [answer.position for answer in self.answers if not answer.refused]
        if accepted and not self.receipts:
            yield self._finding("command.lost", f"was accepted at {accepted[0]}, and has no receipt")
        if accepted and self.receipts and self.receipts[0] > accepted[0]:
            yield self._finding(
                "command.late", f"was accepted at {accepted[0]}, and is at {self.receipts[0]}"
            )
        if self.answers and not accepted and (self.receipts or self.events):
            yield self._finding("command.refused", f"was refused, and left {dict(self.events)}")
        if not self.answers and self.looked is None:
            yield self._finding("command.unresolved", "has no answer, and nobody was asked what became of it")

    def _effect(self) -> Iterator[Finding]:
        once, seldom = EFFECTS.get(self.name), AT_MOST_ONCE.get(self.name)
        if once and self.receipts and not self.events[once]:
            yield self._finding("command.lost", f"has a receipt, and no {once}")
        effect = once or seldom
        if effect and self.events[effect] > 1:
            yield self._finding("command.doubled", f"left {self.events[effect]} times {effect}")

    def _finding(self, rule: str, what: str) -> Finding:
        return Finding(rule, f"{self.name or 'command'} {self.id}", what)


def commands(done: Iterable[Done], records: Iterable[Recorded]) -> dict[str, Command]:
    """Every command of the run, from both sides."""
    found: dict[str, Command] = {}
    for record in records:
        number = record.envelope.command_id
        if number.startswith(MARK):
            command = found.setdefault(number, Command(number))
            if isinstance(record.event, CommandHandled):
                command.receipts.append(record.position)
            else:
                command.events[tag_of(record.event)] += 1
    for line in done:
        if isinstance(line, Joined):
            continue
        command = found.setdefault(line.id, Command(line.id))
        match line:
            case Sent():
                command.name = line.name
            case Answered():
                command.answers.append(line)
            case Looked():
                command.looked = line
    return found


def judge_commands(found: Mapping[str, Command]) -> Iterator[Finding]:
    """What is wrong with the commands."""
    for command in found.values():
        yield from command.findings()


def judge_joins(done: Iterable[Done], records: Sequence[Recorded]) -> Iterator[Finding]:
    """Every node that was told it is in has joined once."""
    times: Counter[str] = Counter(
        record.event.node_key for record in records if isinstance(record.event, NodeRegistered)
    )
    told: defaultdict[str, bool] = defaultdict(bool)
    for line in done:
        if isinstance(line, Joined):
            told[line.key] |= line.is_in
    for key, is_in in told.items():
        if is_in and not times[key]:
            yield Finding("join.lost", key, "was told that it is in, and is not in the log")
        if times[key] > 1:
            yield Finding("join.doubled", key, f"joined {times[key]} times")
    for key in times.keys() - told.keys():
        yield Finding("join.phantom", key, "joined, and nobody asked")
