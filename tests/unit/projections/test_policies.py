"""What projections answer about policies, over a bus in memory and a log in memory."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.adapters.store.memory import MemoryEventReader, MemoryEventStore, MemoryLog
from engine.contracts import subjects
from engine.domain.events import (
    Event,
    LogStarted,
    NodeRegistered,
    NodeTagged,
    PolicySet,
    UserCreated,
)
from engine.domain.values import (
    DEFAULT_TAILNET,
    CommandId,
    Epoch,
    MachineKey,
    Millis,
    NodeId,
    NodeKey,
    Position,
    StableId,
    UserId,
)
from engine.ports import Envelope, Pending
from projections.live import Live
from projections.queries import Queries
from tests.kit.fakes import VirtualClock
from tests.kit.histories import START

OPEN: Final = '{\n  "acls": [\n    {"action": "accept", "src": ["*"], "dst": ["*:*"]},\n  ],\n}\n'
NARROW: Final = """{
  // who may see the web
  "tagOwners": {"tag:web": ["alice@example.com"]},
  "acls": [
    {"action": "accept", "src": ["alice@example.com"], "dst": ["tag:web:443"]},
  ],
  "tests": [
    {"src": "alice@example.com", "accept": ["tag:web:443"]},
    {"src": "bob@example.com", "deny": ["tag:web:443"]},
  ],
}
"""
FAILING: Final = NARROW.replace('"deny"', '"accept"')
BROKEN: Final = NARROW.replace('"tag:web:443"]},\n  ],\n  "tests"', '"tag:wbe:443"]},\n  ],\n  "tests"')


class Desk:
    """A projection that reads a log, and an operator in front of it."""

    def __init__(self) -> None:
        log = MemoryLog()
        self.store: Final = MemoryEventStore(log)
        self.clock: Final = VirtualClock(START)
        self.live: Final = Live(MemoryEventReader(log), self.clock)
        self.bus: Final = MemoryBus(Hub())
        self._written = 0

    async def write(self, *events: Event, actor: str = "tester", reason: str = "") -> int:
        """Append events, and let them be read; return the position of the last."""
        pending = []
        for event in events:
            self._written += 1
            envelope = Envelope(
                stream="s",
                version=Position(self._written),
                at=Millis(START + self._written * 1_000),
                actor=actor,
                command_id=CommandId(f"c{self._written}"),
                reason=reason,
            )
            pending.append(Pending(envelope=envelope, event=event))
        records = await self.store.append(pending)
        self.live.take(records)
        return records[-1].position

    async def set(self, text: str, **more: str) -> int:
        return await self.write(PolicySet(text=text, digest=digest(text)), **more)

    async def ask(self, verb: str, **fields: object) -> dict[str, Any]:
        names = {"from_": "from"}
        body = {names.get(name, name): value for name, value in fields.items()}
        reply = await self.bus.request(
            subjects.query(DEFAULT_TAILNET, "policy", verb), msgspec.json.encode(body), timeout=5
        )
        said: dict[str, Any] = msgspec.json.decode(reply.data)
        return said

    async def refused(self, verb: str, **fields: object) -> str:
        return str((await self.ask(verb, **fields))["error"]["code"])


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def node(number: int, user: int, name: str, *tags: str) -> list[Event]:
    registered = NodeRegistered(
        node=NodeId(number),
        stable_id=StableId(f"n{number}"),
        machine_key=MachineKey(f"mkey:{number:064x}"),
        node_key=NodeKey(f"nodekey:{number:064x}"),
        user=UserId(user),
        name=name,
        hostname=name,
        ipv4=f"100.64.0.{number}",
        ipv6=f"fd7a:115c:a1e0:1::{number:x}",
    )
    return [registered, NodeTagged(node=NodeId(number), tags=tags)] if tags else [registered]


@contextlib.asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    at = Desk()
    await at.store.open()
    await at.bus.serve("q", "0", "", Queries(at.live).endpoints(DEFAULT_TAILNET))
    await at.write(
        LogStarted(epoch=Epoch("e")),
        UserCreated(user=UserId(1), name="alice", email="alice@example.com"),
        UserCreated(user=UserId(2), name="bob", email="bob@example.com"),
        *node(1, 1, "laptop"),
        *node(2, 2, "phone"),
        *node(3, 1, "server", "tag:web"),
    )
    yield at
    await at.bus.close()


async def test_without_a_policy_there_is_none() -> None:
    async with desk() as at:
        assert (await at.ask("get"))["policy"] is None
        assert (await at.ask("log"))["versions"] == []
        assert (await at.ask("diff"))["diff"] == ""
        assert (await at.ask("check"))["ok"]


async def test_the_policy_in_force_comes_with_who_set_it_and_why() -> None:
    async with desk() as at:
        position = await at.set(NARROW, actor="alice", reason="less is more")
        found = (await at.ask("get"))["policy"]
    assert found == {
        "position": position,
        "at": START + position * 1_000,
        "actor": "alice",
        "reason": "less is more",
        "digest": digest(NARROW),
        "size": len(NARROW),
        "rules": 1,
        "text": NARROW,
    }


async def test_earlier_policies_are_found_by_time_position_and_digest() -> None:
    async with desk() as at:
        first = await at.set(OPEN)
        second = await at.set(NARROW)
        assert (await at.ask("get", at=first))["policy"]["text"] == OPEN
        assert (await at.ask("get", at=first - 1))["policy"] is None
        assert (await at.ask("get", id=str(first)))["policy"]["text"] == OPEN
        assert (await at.ask("get", id=digest(NARROW)[:8]))["policy"]["position"] == second
        assert await at.refused("get", id="abc") == "policy.version"
        assert await at.refused("get", id="0" * 64) == "policy.not_found"
        assert await at.refused("get", id=digest(NARROW), at=first) == "policy.not_found"


async def test_the_log_has_every_version_also_that_there_was_none() -> None:
    async with desk() as at:
        positions = [await at.set(text) for text in (OPEN, NARROW, "", OPEN)]
        whole = await at.ask("log")
        assert [row["position"] for row in whole["versions"]] == positions
        assert [row["rules"] for row in whole["versions"]] == [1, 1, 0, 1]
        assert [row["digest"] for row in whole["versions"]] == [
            digest(OPEN),
            digest(NARROW),
            "",
            digest(OPEN),
        ]
        assert (await at.ask("get", at=positions[2]))["policy"] is None
        page = await at.ask("log", limit=3)
        rest = await at.ask("log", after=page["next"])
        assert [row["position"] for row in (*page["versions"], *rest["versions"])] == positions
        assert len((await at.ask("log", at=positions[1]))["versions"]) == 2


async def test_a_diff_is_of_the_last_two_or_of_those_that_are_named() -> None:
    async with desk() as at:
        first, second = await at.set(OPEN), await at.set(NARROW)
        found = await at.ask("diff")
        assert (found["from"]["position"], found["to"]["position"]) == (first, second)
        assert '-    {"action": "accept", "src": ["*"], "dst": ["*:*"]},\n' in found["diff"]
        assert found["diff"].startswith(f"--- {digest(OPEN)[:12]} (position {first})\n")
        back = await at.ask("diff", from_=digest(NARROW), to=first)
        assert '+    {"action": "accept", "src": ["*"], "dst": ["*:*"]},\n' in back["diff"]
        alone = await at.ask("diff", to=first)
        assert (alone["from"], alone["diff"].count("\n+")) == (None, 6)
        text = await at.ask("diff", policy=NARROW.replace("443", "444"))
        assert (text["from"]["position"], text["to"]) == (second, None)
        assert text["diff"].count("\n+") == 4
        assert await at.refused("diff", from_="nothing!") == "policy.not_found"
        assert await at.refused("diff", to=second, policy=OPEN) == "query.malformed"


async def test_a_fault_is_an_answer_with_its_place() -> None:
    async with desk() as at:
        found = await at.ask("check", policy=BROKEN)
    assert not found["ok"]
    (fault,) = found["faults"]
    assert (fault["kind"], fault["line"]) == ("unknown-tag", 5)
    line, caret = fault["excerpt"].split("\n")
    assert line[caret.index("^") :].startswith('"tag:wbe:443"')


async def test_a_check_says_which_tests_fail() -> None:
    async with desk() as at:
        good, bad = await at.ask("check", policy=NARROW), await at.ask("check", policy=FAILING)
    assert (good["ok"], good["rules"], good["tests"], good["digest"]) == (True, 1, 2, digest(NARROW))
    assert not bad["ok"]
    (failed,) = bad["failures"]
    assert (failed["section"], failed["index"], failed["line"]) == ("tests", 1, 9)
    assert failed["text"] == "tests[1]: bob@example.com should reach tag:web:443 but no rule lets it"


async def test_every_test_is_listed_of_a_text_or_of_the_policy_in_force() -> None:
    async with desk() as at:
        await at.set(NARROW)
        assert [(row["ok"], row["line"]) for row in (await at.ask("test"))["tests"]] == [(True, 8), (True, 9)]
        bad = await at.ask("test", policy=FAILING)
        assert ([row["ok"] for row in bad["tests"]], bad["passed"], bad["failed"]) == ([True, False], 1, 1)
        assert bad["tests"][1]["failures"]
        paged = await at.ask("test", policy=FAILING, limit=1)
        assert (len(paged["tests"]), paged["next"]) == (1, 1)
        broken = await at.ask("test", policy=BROKEN)
        assert (broken["ok"], len(broken["faults"]), broken["tests"]) == (False, 1, [])


async def test_a_preview_names_devices() -> None:
    async with desk() as at:
        await at.set(OPEN)
        found = await at.ask("preview", policy=NARROW)
        assert (found["ok"], found["gain"], found["lose"]) == (True, 0, 3)
        assert {row["kind"] for row in found["rows"]} == {"traffic", "sees"}
        one = NARROW.replace('"dst": ["tag:web:443"]', '"dst": ["tag:web:443", "100.64.0.2:22"]')
        await at.set(NARROW)
        row = (await at.ask("preview", policy=one))["rows"][0]
        assert row["subject"] == {"kind": "user", "name": "alice@example.com", "devices": [], "more": 0}
        assert row["target"]["name"] == "bob@example.com"
        assert (row["gains"], row["loses"]) == (["22"], [])
        await at.write(*node(4, 2, "tablet"))
        row = (await at.ask("preview", policy=one))["rows"][0]
        assert row["target"]["devices"] == [{"id": 2, "name": "phone"}]


async def test_a_preview_is_of_what_was_in_force_then() -> None:
    async with desk() as at:
        first = await at.set(OPEN)
        await at.set(NARROW)
        assert (await at.ask("preview", policy=NARROW))["rows"] == []
        assert (await at.ask("preview", policy=NARROW, at=first))["lose"] == 3
        assert (await at.ask("preview", policy=""))["gain"] == 3
        assert (await at.ask("preview"))["rows"] == []
        broken = await at.ask("preview", policy=BROKEN)
        assert (broken["ok"], len(broken["faults"]), broken["rows"]) == (False, 1, [])


async def test_rows_are_bounded_and_the_rest_is_counted() -> None:
    async with desk() as at:
        whole = await at.ask("preview", policy=NARROW)
        one = await at.ask("preview", policy=NARROW, limit=1)
    assert (one["rows"], one["more"]) == (whole["rows"][:1], len(whole["rows"]) - 1)


async def test_long_work_does_not_hold_up_others() -> None:
    rules = [
        {"action": "accept", "src": [f"10.{n // 256}.{n % 256}.0/24"], "dst": ["*:*"]} for n in range(3_000)
    ]
    async with desk() as at:
        order: list[str] = []

        async def asked(verb: str, **fields: object) -> None:
            await at.ask(verb, **fields)
            order.append(verb)

        async with asyncio.TaskGroup() as group:
            group.create_task(asked("check", policy=json.dumps({"acls": rules})))
            await asyncio.sleep(0)
            group.create_task(asked("get"))
    assert order == ["get", "check"]
