"""Scenarios of §8.2 at the command line: every command meets an engine that has just been started over the same log."""

import json
from typing import Any

from click.testing import CliRunner, Result

from engine.adapters.store.memory import MemoryLog
from frontends.cli.main import main
from frontends.cli.place import Place
from frontends.cli.world import World
from tests.kit.scenario import DOCUMENT_KEY
from tests.scenarios.stage import Site, SiteBus


class Terminal:
    """Runs `netmap <words>`; all that lasts between two of them is the log."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.count = 0

    def run(self, *words: str) -> Result:
        self.count += 1
        world = World(
            connect=self._connect, now=lambda: 1_767_225_600_000, fresh_id=lambda: f"id-{self.count}"
        )
        return CliRunner().invoke(main, words, obj=world, env={"NO_COLOR": "1"}, prog_name="netmap")

    def done(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def _connect(self, _place: Place) -> SiteBus:
        site = Site(log=self.log)
        await site.start()
        return ClosingBus(site)


class ClosingBus(SiteBus):
    """The last to go shuts the door: without that the log would be the first engine's for ever."""

    async def close(self) -> None:
        """See `Bus.close`."""
        await super().close()
        await self._site.close()


def terminal() -> Terminal:
    """User ann, and a WireGuard-only peer 100000001."""
    at = Terminal()
    at.done("user", "create", "ann")
    exits = ("--allowed-ips", "0.0.0.0/0,::/0", "--endpoints", "192.0.2.1:51820")
    key = ("--public-key", DOCUMENT_KEY)
    at.done("node", "register-wg-only", "--name", "exit", "--user", "1", *key, *exits)
    return at


def listed(at: Terminal) -> list[Any]:
    rows: list[Any] = json.loads(at.done("wg", "list", "-o", "json"))
    return rows


def test_n6_a_peer_is_deleted_by_its_id() -> None:
    for words in (("wg", "remove", "100000001"), ("node", "delete", "-i", "100000001", "--force")):
        at = terminal()
        assert [row["id"] for row in listed(at)] == [100_000_001]
        at.done(*words)
        assert listed(at) == []
        assert at.run(*words).exit_code == 4
