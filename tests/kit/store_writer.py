"""A process that appends for ever and says on stdout what is surely stored: `python -m tests.kit.store_writer URL FIRST`.

Each batch has one to three events and one line, `<first number> <size>`, written after the append has returned.
"""

import asyncio
import itertools
import os
import sys

from engine.adapters.store.opening import open_store
from engine.domain.events import UserCreated, stream_of
from engine.domain.values import CommandId, Millis, UserId
from engine.ports import Envelope, Pending


def event(number: int, first: int, size: int) -> Pending:
    """The event of that number; its reason tells the batch that it belongs to."""
    user = UserCreated(user=UserId(number), name=f"user {number}")
    envelope = Envelope(
        stream=stream_of(user, ""),
        version=1,
        at=Millis(number),
        actor="writer",
        command_id=CommandId(f"c{number}"),
        reason=f"{first} {size}",
    )
    return Pending(envelope=envelope, event=user)


async def write(url: str, number: int) -> None:
    """Append until killed."""
    store = open_store(url, tailnet="default")
    await store.open()
    for size in itertools.cycle((1, 2, 3)):
        await store.append([event(n, number, size) for n in range(number, number + size)])
        os.write(1, f"{number} {size}\n".encode())
        number += size


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))
