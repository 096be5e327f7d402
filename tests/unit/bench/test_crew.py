"""Clients of a fleet: when a sign came, in which form, and to whom it did not."""

import os

import msgspec
import pytest

from bench import orders
from bench.crew import Client, first_with
from bench.judge import Frame
from bench.orders import Board, Ends, Removes, Says, Seat, Sign
from frontends.wire.mapframe import Encoder

ENCODER = Encoder()


def client(*told: object, keeps: bool = False) -> Client:
    seat = Seat(
        number=7, private=os.urandom(32), node_key=f"nodekey:{7:064x}", disco=f"discokey:{7:064x}", first=0
    )
    board = Board(seats=[seat], ports=[1], server=bytes(32), at_once=1, patience=1.0, keeps=keeps)
    found = Client(0, seat, board)
    found.since += [
        Frame(float(at), ENCODER.encode(msgspec.json.encode(one))) for at, one in enumerate(told, start=1)
    ]
    return found


@pytest.mark.parametrize(
    ("told", "sign", "at"),
    [
        ([{"Node": {}}, {"OnlineChange": {"5": True}}], Says(b'"5":true'), 2.0),
        ([{"Node": {}}], Says(b'"5":true'), None),
        ([{"PeersRemoved": [3]}, {"PeersRemoved": [4, 5]}], Removes(frozenset({3, 5})), 2.0),
        ([{"PeersRemoved": [3]}, {"PeersRemoved": [4]}], Removes(frozenset({3, 5})), None),
        ([{"Peers": [{"ID": 3}, {"ID": 4}]}], Removes(frozenset({5})), 1.0),
        ([{"Peers": [{"ID": 3}, {"ID": 5}]}], Removes(frozenset({5})), None),
        (
            [{"PeersRemoved": [5]}, {"Peers": [{"ID": 5}]}, {"PeersRemoved": [5]}],
            Removes(frozenset({5})),
            1.0,
        ),
        ([{"Node": {}}], Ends(), None),
    ],
)
def test_when_a_sign_came(told: list[object], sign: Sign, at: float | None) -> None:
    assert first_with(client(*told), sign) == at


def test_the_end_of_a_session_is_a_sign() -> None:
    found = client()
    found.ended += [9.0, 8.0]
    assert first_with(found, Ends()) == 8.0


def test_what_is_forgotten_gives_no_sign() -> None:
    found = client({"PeersRemoved": [3]})
    found.forget()
    assert first_with(found, Removes(frozenset({3}))) is None


@pytest.mark.parametrize(
    "order",
    [
        orders.Forget(),
        orders.Look(Removes(frozenset({1})), frozenset({2})),
        orders.Judge(store="s", circles=[[1]]),
    ],
)
def test_orders_arrive_as_they_were_sent(order: orders.Order) -> None:
    data = orders.packed(order)
    assert int.from_bytes(data[: orders.LENGTH], "big") == len(data) - orders.LENGTH
    assert orders.ORDERS.decode(data[orders.LENGTH :]) == order
