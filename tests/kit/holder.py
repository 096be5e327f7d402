"""The smallest thing that follows the contract's chain rule: what every replica must be equal to."""

from engine.contracts.netmap import Change, Delta, Snapshot, Verdict, judge
from engine.domain.values import Epoch, Position


class Holder:
    """Objects at one version; before the first snapshot there is none."""

    def __init__(self) -> None:
        self.epoch = Epoch("")
        self.position = Position(0)
        self.objects: dict[str, Change] = {}

    def load(self, snapshot: Snapshot) -> None:
        self.epoch, self.position = snapshot.epoch, snapshot.position
        self.objects = {change.key: change for change in snapshot.objects}

    def receive(self, delta: Delta) -> Verdict:
        verdict = judge(self.epoch, self.position, delta)
        if verdict is Verdict.APPLY:
            for change in delta.changes:
                if change.at > self.position:
                    self.put(change)
            self.position = delta.cur
        return verdict

    def put(self, change: Change) -> None:
        if change.value is None:
            self.objects.pop(change.key, None)
        else:
            self.objects[change.key] = change
