"""Soft facts: the newest wins, a silent frontend has no sessions."""

import msgspec

from engine.contracts import subjects
from engine.contracts.soft import LEASE_MILLIS, SoftFact, SoftState
from engine.domain.values import DEFAULT_TAILNET, Millis, NodeId
from engine.ports import Message
from projections.soft_cache import SoftCache
from tests.kit.fakes import VirtualClock

NODE = NodeId(1)


def fact(origin: str = "f1", generation: int = 1, sequence: int = 1, *, online: bool = True) -> SoftFact:
    return SoftFact(
        node=NODE,
        origin=origin,
        generation=generation,
        sequence=sequence,
        online=online,
        last_seen=Millis(5),
        endpoints=("192.0.2.1:41641",),
        hostinfo=msgspec.Raw(b'{"OS":"linux","IPNVersion":"1.102.3","Extra":[1]}'),
        exit_node="wg100000001",
    )


def said(*facts: SoftFact, origin: str = "f1", by: str = "") -> Message:
    state = SoftState(origin=origin, at=Millis(1), facts=facts)
    return Message(subjects.soft(DEFAULT_TAILNET, by or origin, "state"), msgspec.json.encode(state))


def test_it_shows_what_a_frontend_said() -> None:
    cache = SoftCache(VirtualClock().monotonic)
    assert cache.presence(NODE) is None
    cache.receive(said(fact()))
    found = cache.presence(NODE)
    assert found is not None
    assert (found.online, found.os, found.client_version) == (True, "linux", "1.102.3")
    assert found.exit_node == "wg100000001"


def test_the_newer_generation_wins_in_any_order_of_arrival() -> None:
    old, new = said(fact("f1", 1, 9, online=False)), said(fact("f2", 2, 1), origin="f2")
    for order in ((old, new), (new, old), (new, old, new, old)):
        cache = SoftCache(VirtualClock().monotonic)
        for message in order:
            cache.receive(message)
        found = cache.presence(NODE)
        assert found is not None
        assert (found.online, found.frontend) == (True, "f2")


def test_a_silent_frontend_has_lost_its_sessions_and_a_heartbeat_keeps_them() -> None:
    clock = VirtualClock()
    cache = SoftCache(clock.monotonic)
    cache.receive(said(fact()))
    clock.advance(LEASE_MILLIS / 1_000 - 1)
    cache.receive(said())
    clock.advance(LEASE_MILLIS / 1_000 - 1)
    cache.receive(said(origin="f2"))
    found = cache.presence(NODE)
    assert found is not None
    assert found.online
    clock.advance(2)
    found = cache.presence(NODE)
    assert found is not None
    assert not found.online
    assert found.endpoints


def test_junk_is_counted_and_changes_nothing() -> None:
    cache = SoftCache(VirtualClock().monotonic)
    cache.receive(Message(subjects.soft(DEFAULT_TAILNET, "f1", "state"), b"{"))
    cache.receive(said(msgspec.structs.replace(fact(), hostinfo=msgspec.Raw(b"[]"))))
    found = cache.presence(NODE)
    assert cache.undecodable == 1
    assert found is not None
    assert found.os == ""
    cache.forget(NODE)
    assert cache.presence(NODE) is None


def test_nobody_speaks_in_another_frontends_name() -> None:
    cache = SoftCache(VirtualClock().monotonic)
    cache.receive(said(fact(), by="f2"))
    assert cache.presence(NODE) is None
    assert cache.foreign == 1
    cache.receive(said(fact(), origin="f2"))  # what it repeats may be another's
    assert cache.presence(NODE) is not None
