"""`q.wg.why` and `q.wg.doctor`: what is found comes with the records of the log, now and then."""

from typing import Any

import msgspec

from engine.contracts.soft import SoftFact, SoftState
from engine.domain.values import Millis, NodeId
from engine.ports import Message
from tests.kit.histories import Step
from tests.unit.projections.test_queries import Desk, desk

PEER = 100_000_001
COURSE: list[Step] = [
    ("user", 0, 0),
    ("node", 0, 0),
    ("node", 0, 1),
    ("peer", 0, 0),
    ("connect", 0, 0),
    ("receipt", 0, 0),
]


async def why(place: Desk, **fields: object) -> dict[str, Any]:
    return await place.ask("wg", "why", **{"node": 1, "peer": PEER, **fields})


def finding(reply: dict[str, Any], code: str) -> dict[str, Any]:
    (one,) = [found for found in reply["findings"] if found["code"] == code]
    return dict(one)


async def test_the_answer_has_who_is_meant_whether_it_is_seen_and_the_records_that_made_it_so() -> None:
    async with desk(*COURSE) as at:
        reply = await why(at)
        other = await why(at, node=2)
    assert (reply["seen"], reply["usable"], other["seen"]) == (True, True, False)
    assert reply["peer"] == {"id": PEER, "name": f"relay{PEER}", "kind": "wireguard"}
    (cause,) = finding(reply, "connection.exists")["causes"]
    connected = next(r for r in at.log.records if type(r.event).__name__ == "ConnectionAdded")
    assert (cause["position"], cause["type"]) == (connected.position, "ConnectionAdded.v1")
    assert (cause["actor"], cause["at"]) == (connected.envelope.actor, connected.envelope.at)
    assert finding(other, "connection.missing")["causes"] == []


async def test_at_an_earlier_moment_it_is_what_was_so_then() -> None:
    async with desk(*COURSE) as at:
        before = at.live.state.position
        await at.write(("disconnect", 0, 0))
        now, then = await why(at), await why(at, at=before)
        assert (now["seen"], then["seen"], then["position"]) == (False, True, before)
        (cause,) = finding(now, "connection.missing")["causes"]
        assert (cause["type"], cause["position"]) == ("ConnectionRemoved.v1", at.live.state.position)


async def test_what_frontends_know_counts_now_and_not_then() -> None:
    async with desk(*COURSE) as at:
        fact = SoftFact(node=NodeId(1), origin="f1", generation=1, sequence=1, online=True, capver=93)
        await hear(at, fact)
        now, then = await why(at), await why(at, at=at.live.state.position - 1)
    assert (now["seen"], now["node"]["capver"]) == (False, 93)
    assert finding(now, "client.old")["verdict"] == "blocks"
    assert then["node"]["capver"] == 113


async def hear(at: Desk, fact: SoftFact) -> None:
    state = SoftState(origin="f1", at=Millis(1), facts=(fact,))
    at.live.soft.receive(Message(subject="netmap.v1.default.soft.f1.state", data=msgspec.json.encode(state)))


async def test_a_peer_that_was_removed_is_an_answer_by_id_and_by_name_and_a_stranger_is_an_error() -> None:
    async with desk(*COURSE, ("disconnect", 0, 0), ("peer_end", 0, 0)) as at:
        for ref in (PEER, str(PEER), f"relay{PEER}"):
            reply = await why(at, peer=ref)
            assert (reply["seen"], reply["usable"], reply["peer"]["id"]) == (False, False, PEER)
            assert finding(reply, "peer.removed")["causes"][0]["type"] == "PeerRemoved.v1"
        assert await at.refused("wg", "why", node=1, peer="stranger") == "peer.not_found"
        assert await at.refused("wg", "why", node="stranger", peer=PEER) == "node.not_found"
        assert await at.refused("wg", "why", node=1) == "query.peer_missing"
        assert await at.refused("wg", "why", peer=PEER) == "query.node_missing"


async def test_another_node_is_explained_too() -> None:
    async with desk(*COURSE) as at:
        reply = await why(at, peer="node2")
    assert (reply["seen"], reply["peer"]["kind"]) == (True, "node")
    assert (
        finding(reply, "policy.permits")
        if False
        else "policy.permits" in {f["code"] for f in reply["findings"]}
    )


async def test_a_rule_is_quoted_as_it_stands_in_the_policy() -> None:
    async with desk(*COURSE, ("policy", 2, 0)) as at:
        reply = await why(at, peer="node2")
    rules = [f["rule"] for f in reply["findings"] if f["rule"]]
    assert rules[0] == {"place": "grants[0]", "line": 1, "text": '{"src":["*"],"dst":["*"],"ip":["*"]}'}


async def test_the_doctor_counts_and_pages() -> None:
    more: list[Step] = [
        ("peer", 0, 1),
        ("connect", 0, 1),
        ("connect", 1, 1),
        ("peer_switch", 0, 0),
        ("peer_switch", 1, 0),
    ]
    async with desk(*COURSE, *more) as at:
        whole = await at.ask("wg", "doctor")
        paged: list[Any] = []
        following: int | None = 0
        while following is not None:
            found = await at.ask("wg", "doctor", limit=2, after=following)
            paged += found["findings"]
            following = found["next"]
        past = await at.ask("wg", "doctor", at=at.live.state.position - 1)
        whole_of_one, parts = await why(at), [await why(at, limit=3, after=after) for after in (0, 3)]
    assert paged == whole["findings"]
    assert [row for part in parts for row in part["findings"]] == whole_of_one["findings"][:6]
    assert [part["next"] for part in parts] == [3, 6]
    assert len(paged) > 3
    assert whole["blocks"] == 2 == sum(row["verdict"] == "blocks" for row in paged)
    assert {cause["type"] for row in paged[:2] for cause in row["causes"]} == {"PeerDisabled.v1"}
    assert past["blocks"] == 1
