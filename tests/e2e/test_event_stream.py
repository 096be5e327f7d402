"""Other systems read every event of a served tailnet, over a restart, and from a stream that was made anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.bus.nats import open_bus
from engine.config import Settings
from tests.kit.serving import Serving

pytestmark = pytest.mark.real


def typed(serving: Serving, line: str) -> Any:
    done = serving.types(f"netmap {line} -o json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def caught_up(serving: Serving) -> dict[str, Any]:
    """The state of the stream once it has told everything; each look is a process, so it does not spin."""
    found: dict[str, Any] = {}
    for _ in range(20):
        found = typed(serving, "events stream get")
        if found["told"] == found["position"]:
            return found
    raise AssertionError(found)


async def told(directory: Path) -> list[dict[str, str]]:
    """The headers of all messages, read as an operator may."""
    bus = await open_bus(Settings(directory=str(directory)), "operator", name="reader")
    try:
        js = bus.client.jetstream(prefix="netmap.v1.default.js")
        state = (await js.stream_info("NETMAP_EVENTS")).state
        numbers = range(state.first_seq, state.last_seq + 1)
        return [dict((await js.get_msg("NETMAP_EVENTS", n, direct=True)).headers or {}) for n in numbers]
    finally:
        await bus.close()


def logged(serving: Serving) -> list[tuple[str, str, str]]:
    rows = typed(serving, "events list --limit 1000")
    return [(str(row["position"]), row["type"], row["digest"]) for row in rows]


def heads(found: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(each["ce-position"], each["ce-type"], each["ce-digest"]) for each in found]


async def test_the_stream_has_every_event_over_a_restart_and_when_it_is_made_anew(serving: Serving) -> None:
    serving.start()
    typed(serving, "user create alice --reason first")
    caught_up(serving)
    assert serving.interrupt() == 0
    serving.start()
    typed(serving, "user create bob")
    typed(serving, "preauthkey create --user bob")
    caught_up(serving)
    assert heads(await told(serving.directory)) == logged(serving)
    assert len(logged(serving)) >= 4
    typed(serving, "events stream rebuild")
    caught_up(serving)
    found = await told(serving.directory)
    assert heads(found) == logged(serving)
    assert [each["ce-reason"] for each in found if "ce-reason" in each][:1] == ["first"]
