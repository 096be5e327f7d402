"""A moment packed and unpacked is the fold's (P3); what is not whole, or not ours, is refused."""

import hashlib
import itertools
from typing import NamedTuple

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contracts.chunks import encode as canonical
from engine.domain.values import NodeId
from engine.ports import Recorded
from projections.history import kept
from projections.history.causes import Causes
from projections.history.kept import BadKept, encode, pack, unpack
from projections.inventory.versions import Versions
from projections.netmap.fold import fold
from projections.netmap.state import NetmapState, snapshot_of
from tests.kit.governed import governed
from tests.kit.histories import Step, history, steps

COURSE: list[Step] = [
    ("user", 0, 0),
    *[("node", 0, 0)] * 3,
    ("peer", 0, 0),
    ("connect", 0, 0),
    ("policy", 1, 0),
    ("settings", 0, 1),
    ("connect", 1, 0),
    ("disconnect", 0, 0),
    ("settings", 2, 6),
    ("peer_place", 2, 1),
    ("peer_place", 2, 3),
    ("delete", 2, 0),
]


class Now(NamedTuple):
    """What a projection holds."""

    state: NetmapState
    causes: Causes
    versions: Versions


def empty() -> Now:
    return Now(NetmapState(), Causes(), Versions())


def back(data: bytes) -> Now:
    kept = unpack(data).kept()
    return Now(kept.state(), kept.causes, kept.versions)


def take(at: Now, log: list[Recorded]) -> Now:
    for record in log:
        at.causes.take(record, at.state.tailnet)
        fold(at.state, record)
        at.versions.add(record, at.state.policy.document)
    return at


def octets(at: Now) -> bytes:
    return pack(encode(at.state, at.causes, at.versions))


def is_same(one: Now, other: Now) -> None:
    assert canonical(snapshot_of(one.state)) == canonical(snapshot_of(other.state))
    for name in ("position", "at", "digest", "epoch", "identities", "members", "standings", "sets"):
        assert getattr(one.state, name) == getattr(other.state, name)
    assert (one.state.routers, one.state.keys) == (other.state.routers, other.state.keys)
    assert one.causes.tables() == other.causes.tables()
    assert one.versions.all == other.versions.all


def is_resumable(log: list[Recorded], cut: int) -> None:
    """Assert P3: what comes back is what was there, and the rest of the log makes of it what it makes of the original."""
    at = take(empty(), log[:cut])
    again = back(octets(at))
    is_same(again, at)
    is_same(take(again, log[cut:]), take(at, log[cut:]))


@settings(max_examples=80, deadline=None)
@given(steps(longest=50), st.data())
def test_a_moment_and_what_followed_it_are_a_replay_of_all(course: list[Step], data: st.DataObject) -> None:
    log = history(course)
    is_resumable(log, data.draw(st.integers(1, len(log))))


@settings(max_examples=60, deadline=None)
@given(steps(longest=30), st.data())
def test_under_policies_too(course: list[Step], data: st.DataObject) -> None:
    log = governed(history([*course[:3], ("policy", 0, 0), *course[3:], ("policy", 1, 1)]))
    is_resumable(log, data.draw(st.integers(1, len(log))))


@pytest.mark.parametrize("cut", range(1, len(history(COURSE)) + 1))
def test_at_every_position_of_a_course(cut: int) -> None:
    is_resumable(history(COURSE), cut)


def test_that_course_has_resolvers_that_go_first_and_then_do_not() -> None:
    log = history(COURSE)
    shown = [take(empty(), log[:cut]).state.extras(NodeId(2)).demotes for cut in range(len(log) + 1)]
    assert [told for told, _ in itertools.groupby(shown)] == [False, True, False]


def whole() -> bytes:
    return octets(take(empty(), history(COURSE)))


def summed(packed: bytes) -> bytes:
    return hashlib.sha256(packed).digest() + packed


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 200, -1])
def test_what_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(BadKept):
        unpack(whole()[:size])


def test_any_other_octet_is_found() -> None:
    data = whole()
    for place in range(0, len(data), 7):
        with pytest.raises(BadKept, match="checksum"):
            unpack(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


HEADLESS = msgspec.msgpack.encode({"schema": kept.SCHEMA})
BODILESS = msgspec.msgpack.encode({"schema": kept.SCHEMA, "position": 1, "at": 1, "digest": ""})


@pytest.mark.parametrize("inside", [b"", b"\xc0", b"\x81\xa6schema\xa11", b"not msgpack", HEADLESS, BODILESS])
def test_what_has_the_sum_and_is_no_moment_is_refused(inside: bytes) -> None:
    with pytest.raises(BadKept):
        unpack(pack(inside)).kept()
    with pytest.raises(BadKept, match="zstd"):
        unpack(summed(b"no frame"))


def test_a_frame_that_grows_beyond_the_limit_is_refused() -> None:
    bomb = summed(zstandard.ZstdCompressor().compress(b"\0" * 4_000_000))
    with pytest.raises(BadKept, match="more than"):
        unpack(bomb, limit=1_000_000)


def test_a_moment_of_another_fold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SCHEMA", "0-another")
    data = whole()
    monkeypatch.undo()
    with pytest.raises(BadKept, match="version"):
        unpack(data)


def test_positions_of_other_objects_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "positions_of", lambda _state: {"node/9": 1})
    data = whole()
    with pytest.raises(BadKept, match="objects differ"):
        unpack(data).kept().state()


def test_the_schema_follows_from_the_shape_and_is_the_same_everywhere() -> None:
    shape = repr(msgspec.inspect.type_info(kept.Body))
    assert "0x" not in shape
    assert "provided" in shape
    assert kept.SCHEMA.startswith(f"{kept.MEANING}-")
