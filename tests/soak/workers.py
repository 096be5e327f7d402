"""The processes that the clients of a run live in (`tests.soak.fleet`), spoken to by lines."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.kit.lab.net import ROOT
from tests.kit.procs import environment
from tests.soak.fleet import Plan, State

LINE_OCTETS: Final = 4 << 20
_STATE: Final = msgspec.json.Decoder(State)


class Workers:
    """Clients spread over processes."""

    def __init__(self) -> None:
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self, folder: Path, plans: Sequence[Plan]) -> dict[int, str]:
        """Start one process for each plan, let all clients join; return the node key of each."""
        for number, plan in enumerate(plans):
            path = folder / f"plan-{number}.json"
            path.write_bytes(msgspec.json.encode(plan))
            with (folder / f"fleet-{number}.log").open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "tests.soak.fleet",
                    str(path),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    cwd=ROOT,
                    env=environment(),
                    limit=LINE_OCTETS,
                )
            self._processes.append(process)
        return {number: key for state in await self.ask("up") for number, key in state.nodes.items()}

    async def tell(self, line: str) -> None:
        """Say something to all."""
        for process in self._processes:
            assert process.stdin is not None
            assert process.returncode is None, "a process of clients has ended: see fleet-*.log"
            process.stdin.write(f"{line}\n".encode())
            await process.stdin.drain()

    async def ask(self, line: str) -> list[State]:
        """Say something to all, and return what each answers.

        Raises:
            AssertionError: one of them has ended; its log says why.
        """
        await self.tell(line)
        return list(await asyncio.gather(*map(self._answer, self._processes)))

    async def _answer(self, process: asyncio.subprocess.Process) -> State:
        assert process.stdout is not None
        line = await process.stdout.readline()
        assert line, "a process of clients has ended: see fleet-*.log"
        return _STATE.decode(line)

    async def end(self) -> None:
        """Let them write down how all clients stand, and go."""
        await self.ask("end")
        for process in self._processes:
            await process.wait()

    async def close(self) -> None:
        """End what is left of them."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
