"""What projections answer, over a bus in memory and a log in memory."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from engine.adapters.bus.memory import Hub, MemoryBus
from engine.contracts import subjects
from engine.contracts.chunks import assemble
from engine.contracts.netmap import SnapshotChunk
from engine.contracts.queries import QUERIES
from engine.contracts.requests import ERROR_CODE
from engine.contracts.soft import SoftFact, SoftState
from engine.domain.values import DEFAULT_TAILNET, Millis, NodeId
from engine.ports import Message
from projections.live import Live
from projections.netmap.state import snapshot_of
from projections.queries import Queries
from tests.kit.fakes import VirtualClock
from tests.kit.histories import START, Step
from tests.kit.logs import Written

COURSE: list[Step] = [
    ("user", 0, 0),
    ("user", 0, 1),
    ("node", 0, 0),
    ("node", 1, 0),
    ("auth_key", 0, 0),
    ("peer", 0, 0),
    ("connect", 0, 0),
    ("receipt", 0, 0),
]


class Desk:
    """A projection that has read a log, and an operator in front of it."""

    def __init__(self, log: Written, live: Live, bus: MemoryBus, clock: VirtualClock) -> None:
        self.log, self.live, self.bus, self.clock = log, live, bus, clock

    async def write(self, *steps: Step) -> None:
        self.live.take(await self.log.write(*steps))

    async def ask(self, resource: str, verb: str, **fields: object) -> dict[str, Any]:
        subject = subjects.query(DEFAULT_TAILNET, resource, verb)
        reply = await self.bus.request(subject, msgspec.json.encode(fields), timeout=5)
        body: dict[str, Any] = msgspec.json.decode(reply.data)
        assert ("error" in body) == (ERROR_CODE in reply.headers)
        return body

    async def refused(self, resource: str, verb: str, **fields: object) -> str:
        code: str = (await self.ask(resource, verb, **fields))["error"]["code"]
        return code


@contextlib.asynccontextmanager
async def desk(*course: Step) -> AsyncIterator[Desk]:
    clock, bus = VirtualClock(START), MemoryBus(Hub())
    log = await Written().open()
    live = Live(log.reader(), clock)
    await bus.serve("q", "0", "", Queries(live).endpoints(DEFAULT_TAILNET))
    at = Desk(log, live, bus, clock)
    await at.write(*(course or COURSE))
    clock.advance(60)
    yield at
    await bus.close()


async def test_every_query_of_the_contract_is_answered_with_its_position() -> None:
    asked: dict[str, dict[str, object]] = {
        "netmap": {"node": 1, "from": 0, "commands": [{"command": "dns.set", "body": {"resolvers": []}}]},
        "node": {"node": 1},
        "command": {"id": "command-8"},
        "wg": {"node": 1, "peer": 100_000_001},
        "tailnet": {"from": 0},
        "event": {"at": 3},
    }
    async with desk() as at:
        for resource, verb in QUERIES:
            reply = await at.ask(resource, verb, **asked.get(resource, {}))
            assert reply["position"] == at.live.state.position, resource


async def test_the_list_of_nodes_has_names_keys_and_connections() -> None:
    async with desk() as at:
        reply = await at.ask("node", "list")
    first, second = reply["nodes"]
    assert (first["userName"], second["userName"]) == ("user1", "user2")
    assert len(first["nodeKeyBase64"]) == 44
    assert first["connections"][0]["peerName"] == "relay100000001"
    assert first["online"] is None
    assert reply["next"] is None


async def test_the_list_of_nodes_carries_what_an_older_tool_reads() -> None:
    async with desk() as at:
        reply = await at.ask("node", "list")
    (peer,) = reply["wireguard_only_peers"]
    (connection,) = reply["wireguard_connections"]
    assert (peer["id"], peer["user_id"], peer["extra_config"]) == (100_000_001, 1, '{"suggestExitNode":true}')
    assert (connection["node_id"], connection["wg_peer_id"]) == (1, 100_000_001)
    assert connection["ipv4_masq_addr"].startswith("10.64.1.")


async def test_the_list_of_nodes_shows_what_frontends_know_but_history_does_not() -> None:
    fact = SoftFact(
        node=NodeId(1), origin="f1", generation=1, sequence=1, online=True, last_seen=Millis(7), home_derp=3
    )
    async with desk() as at:
        state = msgspec.json.encode(SoftState(origin="f1", at=Millis(1), facts=(fact,)))
        at.live.soft.receive(Message(subjects.soft(DEFAULT_TAILNET, "f1", "state"), state))
        now = (await at.ask("node", "get", node="node1"))["node"]
        then = (await at.ask("node", "get", node="node1", at=at.live.state.position))["node"]
    assert (now["online"], now["lastSeen"], now["homeDerp"]) == (True, 7, 3)
    assert then["online"] is None


async def test_lists_are_filtered() -> None:
    async with desk() as at:
        await at.write(("peer", 1, 0), ("connect", 1, 1), ("auth_key", 1, 0))
        assert [row["id"] for row in (await at.ask("node", "list", user="user2"))["nodes"]] == [2]
        assert [row["id"] for row in (await at.ask("peer", "list", user=2))["peers"]] == [100_000_002]
        assert [row["node"] for row in (await at.ask("connection", "list", node=2))["connections"]] == [2]
        pairs = (await at.ask("connection", "list", peer="relay100000001"))["connections"]
        assert [row["node"] for row in pairs] == [1]
        assert [row["id"] for row in (await at.ask("authkey", "list", user=2))["authKeys"]] == [2]


async def test_a_wireguard_only_peer_names_its_connected_nodes() -> None:
    async with desk() as at:
        (peer,) = (await at.ask("peer", "list"))["peers"]
    assert peer["connectedNodes"] == ["1(node1)"]


async def test_a_peer_that_was_switched_off_is_listed_so() -> None:
    async with desk() as at:
        await at.write(("peer_switch", 0, 0))
        (parked,) = (await at.ask("peer", "list"))["peers"]
        await at.write(("peer_switch", 0, 1))
        (expired,) = (await at.ask("peer", "list"))["peers"]
        await at.write(("peer_switch", 0, 2))
        (enabled,) = (await at.ask("peer", "list"))["peers"]
    assert (parked["disabled"], parked["expiredAt"]) == (True, 0)
    assert expired["expiredAt"] > 0
    assert (enabled["disabled"], enabled["expiredAt"]) == (False, 0)


async def test_no_list_has_a_secret_or_its_digest() -> None:
    async with desk() as at:
        (key,) = (await at.ask("authkey", "list"))["authKeys"]
        events = (await at.ask("event", "list", types=["AuthKeyCreated"]))["events"]
    assert "digest" not in key
    assert "digest" not in events[0]["event"]
    assert "digest" in events[0]


async def test_an_api_key_is_listed_without_digest_and_checked_by_it() -> None:
    async with desk() as at:
        await at.write(("api_key", 0, 0), ("api_key", 0, 5))
        first, second = (await at.ask("apikey", "list"))["apiKeys"]
        events = (await at.ask("event", "list", types=["ApiKeyCreated"]))["events"]
        assert "digest" not in {*first, *events[0]["event"]}
        assert (first["scope"], second["scope"], second["peerName"]) == ("admin", "export", "relay100000001")
        digest = at.live.state.tailnet.api_keys[first["id"]].digest
        good = await at.ask("apikey", "check", id=first["prefix"], digest=digest)
        assert good["key"] == first
        assert (await at.ask("apikey", "check", id=first["prefix"], digest="0" * 64))["key"] is None
        assert (await at.ask("apikey", "check", id=second["prefix"], digest=digest))["key"] is None
        assert (await at.ask("apikey", "check"))["key"] is None
        await at.write(("api_key", 0, 2))
        assert (await at.ask("apikey", "check", id=first["prefix"], digest=digest))["key"] is None


async def test_lists_come_in_pages() -> None:
    async with desk() as at:
        await at.write(*[("node", 0, 0)] * 5)
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            reply = await at.ask("node", "list", after=after, limit=3)
            found += [row["id"] for row in reply["nodes"]]
            after = reply["next"]
    assert found == [1, 2, 3, 4, 5, 6, 7]


async def test_a_netmap_at_an_earlier_position_is_the_one_that_was_then() -> None:
    async with desk() as at:
        before = await at.ask("netmap", "get", node=1)
        await at.write(("disconnect", 0, 0), ("node", 0, 0))
        now = await at.ask("netmap", "get", node=1)
        then = await at.ask("netmap", "get", node=1, at=before["position"])
    assert then == before
    assert before["wireguardOnlyPeers"]
    assert (now["wireguardOnlyPeers"], len(now["peers"])) == ([], 2)


async def test_an_age_goes_back_from_now() -> None:
    async with desk() as at:
        seconds = (at.clock.now() - START) // 1_000 - 3
        then = await at.ask("user", "list", at=f"-{seconds}s")
        assert then["position"] == at.log.records[3].position
        assert await at.refused("user", "list", at="soon") == "history.moment"
        assert await at.refused("netmap", "get", node=1, at=1) == "node.not_found"


async def test_a_position_that_was_not_reached_is_waited_for_and_then_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("projections.queries.BEHIND_SECONDS", 0.01)
    async with desk() as at:
        reply = await at.ask("node", "list", minPosition=10_000)
    assert (reply["error"]["code"], reply["error"]["retryable"]) == ("query.behind", True)


async def test_waiting_for_a_position_wakes_the_reader() -> None:
    async with desk() as at:
        records = await at.log.write(("node", 0, 0))

        async def read_when_woken() -> None:
            await at.live.wake.wait()
            at.live.take(records)

        async with asyncio.TaskGroup() as group:
            group.create_task(read_when_woken())
            asked = group.create_task(at.ask("node", "list", minPosition=records[-1].position))
    assert len(asked.result()["nodes"]) == 3


async def test_a_snapshot_comes_whole() -> None:
    async with desk() as at:
        subject = subjects.query(DEFAULT_TAILNET, "snapshot", "get")
        reply = await at.bus.request(subject, b"", timeout=5)
        chunk = msgspec.json.decode(reply.data, type=SnapshotChunk)
        assert assemble((chunk,)) == snapshot_of(at.live.state)
        assert await at.refused("snapshot", "get", snapshot="0" * 64) == "snapshot.gone"


async def test_an_empty_log_has_no_snapshot() -> None:
    bus, live = MemoryBus(Hub()), Live((await Written().open()).reader(), VirtualClock())
    await bus.serve("q", "0", "", Queries(live).endpoints(DEFAULT_TAILNET))
    reply = await bus.request(subjects.query(DEFAULT_TAILNET, "snapshot", "get"), b"{}", timeout=5)
    assert reply.headers[ERROR_CODE] == "503"


async def test_events_are_found_by_type_by_node_and_in_pages() -> None:
    async with desk() as at:
        users = await at.ask("event", "list", types=["UserCreated", "LogStarted.v1"])
        assert [row["type"] for row in users["events"]] == [
            "LogStarted.v1",
            "UserCreated.v1",
            "UserCreated.v1",
        ]
        of_node = (await at.ask("event", "list", node=1))["events"]
        assert [row["type"] for row in of_node] == ["NodeRegistered.v1", "ConnectionAdded.v1"]
        assert of_node[1]["event"]["ipv4Masq"].startswith("10.64.1.")
        assert of_node[0]["actor"] == "tester"
        found: list[int] = []
        after: int | None = 0
        while after is not None:
            reply = await at.ask("event", "list", after=after, limit=2)
            found += [row["position"] for row in reply["events"]]
            after = reply["next"]
        assert found == [record.position for record in at.log.records]
        assert await at.refused("event", "list", node="node1") == "query.id_needed"


async def found(at: Desk, **fields: object) -> list[int]:
    return [row["position"] for row in (await at.ask("event", "list", **fields))["events"]]


async def test_events_are_found_by_who_why_and_what_they_say() -> None:
    async with desk() as at:
        everything = (await at.ask("event", "list"))["events"]
        assert all(row["text"] for row in everything)
        actor = everything[1]["actor"]
        assert await found(at, actor=actor) == [
            row["position"] for row in everything if row["actor"] == actor
        ]
        assert await found(at, actor=actor[:2] + "*")
        assert await found(at, actor=actor[:2]) == []
        command = everything[2]["commandId"]
        assert await found(at, id=command) == [
            row["position"] for row in everything if row["commandId"] == command
        ]
        [connected] = [row for row in everything if row["type"] == "ConnectionAdded.v1"]
        assert await found(at, text="CONNECTED NODE") == [connected["position"]]
        assert await found(at, text="connected to nothing") == []
        receipts = [row["position"] for row in everything if row["type"] == "CommandHandled.v1"]
        assert receipts
        assert not set(receipts) & set(await found(at, receipts=False))
        assert await found(at, cause="nothing") == []


async def test_the_newest_events_come_in_order_and_go_back_in_pages() -> None:
    async with desk() as at:
        every = await found(at)
        assert await found(at, last=True, limit=3) == every[-3:]
        seen: list[int] = []
        before: int | None = None
        while True:
            fields = {"last": True, "limit": 2} | ({} if before is None else {"before": before})
            reply = await at.ask("event", "list", **fields)
            seen = [row["position"] for row in reply["events"]] + seen
            before = reply["previous"]
            if before is None:
                break
        assert seen == every


async def test_events_are_found_between_two_moments() -> None:
    async with desk() as at:
        rows = (await at.ask("event", "list"))["events"]
        every = [row["position"] for row in rows]
        assert await found(at, since=every[2], until=every[4]) == every[3:5]
        assert await found(at, since=every[2], until=every[4], last=True, limit=1) == every[4:5]
        for pivot in rows:
            at_pivot = dt.datetime.fromtimestamp(pivot["at"] / 1000, dt.UTC).isoformat()
            later = [row["position"] for row in rows if row["at"] > pivot["at"]]
            assert await found(at, since=at_pivot) == later
            assert await found(at, until=at_pivot) == [p for p in every if p not in later]
        assert await found(at, since="2001-01-01T00:00:00Z") == every
        assert await found(at, until="2001-01-01T00:00:00Z") == []


async def test_a_commands_receipt_is_found_even_when_it_is_no_longer_held() -> None:
    async with desk() as at:
        wanted = at.log.records[8].envelope.command_id
        first = await at.ask("command", "get", id=wanted)
        assert (first["command"]["name"], first["command"]["commandId"]) == ("node.rename", wanted)
        assert await at.refused("command", "get", id="never") == "command.not_found"
        at.live.receipts._held.clear()
        at.live.receipts.since = at.live.state.position
        assert await at.ask("command", "get", id=wanted) == first
        assert await at.refused("command", "get", id="never") == "command.not_found"


@pytest.mark.parametrize(
    "fields", [{"colour": "red"}, {"limit": 0}, {"after": -1}, {"minPosition": -1}, {"at": 1.5}]
)
async def test_what_is_no_query_is_refused(fields: dict[str, object]) -> None:
    async with desk() as at:
        assert await at.refused("node", "list", **fields) == "query.malformed"


async def test_who_is_not_there_is_said_so() -> None:
    async with desk() as at:
        assert await at.refused("netmap", "get", node="nobody") == "node.not_found"
        assert await at.refused("netmap", "get") == "query.node_missing"
        assert await at.refused("node", "list", user="nobody") == "user.not_found"
        assert await at.refused("peer", "list", peer=1) == "peer.not_found"


async def test_a_netmap_s_difference_between_two_moments_names_what_changed() -> None:
    async with desk() as at:
        every = (await at.ask("event", "list"))["events"]
        [connected] = [row for row in every if row["type"] == "ConnectionAdded.v1"]
        node = connected["event"]["node"]
        fields = {"node": node, "from": connected["position"] - 1, "to": connected["position"]}
        reply = await at.ask("netmap", "diff", **fields)
        [row] = reply["changes"]
        assert (row["what"], row["kind"], row["id"]) == (
            "added",
            "wireguard-only",
            connected["event"]["peer"],
        )
        assert row["after"]["ipv4MasqAddr"] == connected["event"]["ipv4Masq"]
        back = await at.ask("netmap", "diff", **{**fields, "from": fields["to"], "to": fields["from"]})
        assert [(row["what"], row["id"]) for row in back["changes"]] == [("removed", row["id"])]
        same = await at.ask("netmap", "diff", **{**fields, "from": fields["to"]})
        assert same["changes"] == []


async def test_a_netmap_that_was_not_there_yet_came_whole() -> None:
    async with desk() as at:
        reply = await at.ask("netmap", "diff", node="node1", **{"from": 0})
        assert (reply["from"]["isThere"], reply["to"]["isThere"]) == (False, True)
        assert {row["what"] for row in reply["changes"]} == {"added"}
        assert await at.refused("netmap", "diff", node=99, **{"from": 0}) == "node.not_found"
        assert await at.refused("netmap", "diff", node=1) == "query.from_missing"
        assert await at.refused("netmap", "diff", **{"from": 1}) == "query.node_missing"


async def test_a_change_names_its_fields_before_and_after() -> None:
    async with desk() as at:
        before = at.live.state.position
        await at.write(("rename", 1, 0))
        reply = await at.ask("netmap", "diff", node=1, **{"from": before})
        [row] = [row for row in reply["changes"] if row["kind"] == "node"]
        assert row["what"] == "changed"
        assert set(row["before"]) == set(row["after"]) == {"name", "fqdn"}
        assert row["before"] != row["after"]
