"""A stage for the command line: an in-process bus with an engine and a projection that answer what they are told."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
from click.testing import CliRunner, Result

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts.requests import Accepted, ErrorReply, Problem
from engine.ports import Answer, Bus, Endpoint, Message
from frontends.cli.main import main
from frontends.cli.place import Place
from frontends.cli.world import World

NOW = 1_800_000_000_000
Reply = Callable[[dict[str, Any]], object]


class Stage:
    """Records every request; `replies` says what comes back for a subject's last two tokens."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.replies: dict[str, Reply] = {}
        self.places: list[Place] = []
        self.pauses: list[float] = []
        """Seconds, between two tries of a command."""
        self.silent = False
        """Nobody listens."""
        self.mute = False
        """Somebody listens, and never answers."""

    def run(self, *words: str, **environment: str) -> Result:
        return CliRunner().invoke(
            main, words, obj=self.world, env={"NO_COLOR": "1", **environment}, prog_name="netmap"
        )

    @property
    def world(self) -> World:
        return World(
            connect=self._connect,
            now=lambda: NOW,
            fresh_id=lambda: "id-1",
            pause=self._pause,
            chance=lambda: 0.0,
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def answers(self, name: str, value: object) -> None:
        self.replies[name] = lambda _body: value

    @property
    def last(self) -> tuple[str, dict[str, Any]]:
        subject, body, _ = self.requests[-1]
        return subject, body

    async def _connect(self, place: Place) -> Bus:
        self.places.append(place)
        hub = Hub()
        if self.mute:
            await MemoryBus(hub).subscribe("netmap.v1.>")
        elif not self.silent:
            everything = Endpoint(name="all", subject="netmap.v1.>", respond=self._respond)
            await MemoryBus(hub).serve("stage", "0", "", [everything])
        return MemoryBus(hub)

    async def _respond(self, message: Message) -> Answer:
        body = json.loads(message.data)
        self.requests.append((message.subject, body, dict(message.headers)))
        reply = self.replies.get(".".join(message.subject.split(".")[-2:]))
        return Answer(msgspec.json.encode(accepted() if reply is None else reply(body)))


def accepted(made: int | str | None = None, *, position: int = 42, **more: Any) -> Accepted:
    return Accepted(ok=True, position=position, command_id="id-1", id=made, **more)


def refused(status: int, code: str = "some.code", **more: Any) -> ErrorReply:
    return ErrorReply(error=Problem(code=code, status=status, message="the value and the rule", **more))
