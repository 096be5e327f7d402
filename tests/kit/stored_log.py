"""A stored log of some users, and checkpoints of it that were kept elsewhere."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from engine.adapters.store import audit
from engine.adapters.store.opening import open_rows, open_store
from engine.contracts.checkpoint import Checkpoint, Signer
from engine.contracts.merkle import Frontier
from engine.domain.events import UserCreated
from engine.domain.values import CommandId, Millis, UserId
from engine.ports import Envelope, Pending

LENGTH = 300
SIGNER = Signer("netmap-engine/default/e", bytes([3]) * 32)
KEYS = [SIGNER.verifier]
STEPS = (90, 200, LENGTH)
"""After how many records a checkpoint was kept."""


def pending(number: int, name: str = "anna") -> Pending:
    envelope = Envelope(
        stream=f"user/{number}", version=1, at=Millis(number), actor="a", command_id=CommandId(f"c{number}")
    )
    return Pending(envelope=envelope, event=UserCreated(user=UserId(number), name=name))


class Stored:
    """A log in a file, and what was kept elsewhere of it."""

    def __init__(self, path: Path, known: list[Checkpoint]) -> None:
        self.path = path
        self.url = f"sqlite://{path}"
        self.known = known

    def verify(self, known: list[Checkpoint] | None = None) -> audit.Verdict:
        with open_rows(self.url) as rows:
            return audit.verify(rows, self.known if known is None else known)

    def copy(self, path: Path) -> "Stored":
        with sqlite3.connect(self.path) as old, sqlite3.connect(path) as new:
            old.backup(new)
        new.close()
        old.close()
        return Stored(path, self.known)

    def change(self, work: Callable[[sqlite3.Connection], object]) -> None:
        with sqlite3.connect(self.path) as connection:
            work(connection)
        connection.close()


async def written(path: Path) -> Stored:
    store = open_store(f"sqlite://{path}", tailnet="default")
    await store.open()
    tree, known = Frontier(), []
    for number in range(1, LENGTH + 1):
        [record] = await store.append([pending(number)])
        tree.add(bytes.fromhex(record.digest))
        if number in STEPS:
            name = SIGNER.verifier.name
            known.append(
                Checkpoint(
                    origin=name, size=number, root=tree.root(), position=record.position, digest=record.digest
                )
            )
    await store.close()
    return Stored(path, known)
