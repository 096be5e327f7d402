"""Clients that configure WireGuard too early are told a new WireGuard-only peer twice, with the same meaning."""

import msgspec
import pytest

from engine.contracts.netmap import (
    Change,
    ConnectionExtra,
    ExtrasObject,
    NetmapObject,
    Snapshot,
    UserObject,
    key_of,
)
from engine.domain.values import NodeId, PeerId, Position, UserId
from frontends.control.peerlist import PeerLists
from frontends.control.replica import Replica
from frontends.control.session import Session
from frontends.control.view import View
from frontends.wire.mapframe import Encoder
from tests.unit.control.objects import (
    EPOCH,
    a_class,
    a_set,
    entry,
    external,
    node,
    program,
    reach,
    tailnet,
)

TIME = "2026-01-01T00:00:00Z"
PEER = PeerId(100_000_001)


def session(capver: int, *, connected: bool) -> Session:
    """A session that has had its first frame."""
    values: list[NetmapObject] = [
        tailnet(),
        external(PEER),
        UserObject(id=UserId(1), name="alice"),
        a_set("all", "u1"),
        entry("e", "all"),
        program("e"),
        a_class("u1", sees=("all",), rules=(reach("e"),)),
        node(1, "u1"),
        *([ExtrasObject(node=NodeId(1), connections=(ConnectionExtra(peer=PEER),))] if connected else []),
    ]
    changes = tuple(Change(key=key_of(value), at=Position(1), value=value) for value in values)
    replica = Replica()
    view = View(replica)
    view.update(replica.load(Snapshot(epoch=EPOCH, position=Position(1), objects=changes)))
    made = Session(NodeId(1), capver)
    made.first(view, PeerLists(view, Encoder().compress), TIME)
    return made


def test_a_hasty_client_is_told_its_peer_again_with_the_same_routes_in_another_order_and_then_in_the_first() -> (
    None
):
    hasty = session(131, connected=True)
    (told,) = hasty.told.extras if hasty.told else ()
    first = msgspec.json.decode(told.data)
    orders = []
    for left in (1, 0):
        assert hasty.unsettled == left + 1
        (again,) = msgspec.json.decode(hasty.settle(TIME) or b"")["PeersChanged"]
        assert hasty.unsettled == left
        assert sorted(again["AllowedIPs"]) == sorted(first["AllowedIPs"])
        assert {**again, "AllowedIPs": None} == {**first, "AllowedIPs": None}
        orders.append(again["AllowedIPs"])
    assert orders[0] != first["AllowedIPs"] == orders[1]
    assert hasty.settle(TIME) is None


@pytest.mark.parametrize("capver", [115, 142])
def test_other_clients_are_told_once(capver: int) -> None:
    assert not session(capver, connected=True).unsettled


def test_without_a_peer_there_is_nothing_to_settle() -> None:
    quiet = session(131, connected=False)
    assert not quiet.unsettled
    assert quiet.settle(TIME) is None
