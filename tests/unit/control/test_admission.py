"""A storm at the door: who is let in when, who waits, who is told to come back."""

import asyncio
import base64
import os
from collections.abc import Callable

from frontends.control import admission
from frontends.control.admission import Admission, Queue
from frontends.control.connection import Connection
from frontends.control.door import Door
from frontends.wire.noise import Initiator, PrivateKey
from frontends.wire.upgrade import HANDSHAKE_HEADER, PROTOCOL
from tests.unit.control.test_connection import SERVER, Socket, Stranger

PER_SECOND, BURST, MOST = 10.0, 2.0, 3


class Comer:
    """Somebody who wants to be let in."""

    def __init__(self) -> None:
        self.count = 0

    def proceed(self) -> None:
        self.count += 1


def queue() -> Queue:
    return Queue(PER_SECOND, BURST, MOST, 0.0)


def test_so_many_pass_at_once_and_then_one_in_so_long() -> None:
    tried = queue()
    assert [tried.passes(0.0) for _ in range(3)] == [True, True, False]
    assert not tried.passes(0.05)
    assert tried.passes(0.1)
    assert [tried.passes(100.0) for _ in range(3)] == [True, True, False]


def test_who_waits_is_let_in_in_the_order_of_coming_and_nobody_overtakes() -> None:
    tried, comers = queue(), [Comer() for _ in range(MOST)]
    assert tried.passes(0.0)
    assert tried.passes(0.0)
    for comer in comers:
        assert not tried.is_full
        tried.wait(comer)
    assert tried.is_full
    assert not tried.passes(0.1)
    tried.forget(comers[1])
    assert [tried.next(0.1), tried.next(0.1), tried.next(0.2), tried.next(9.0)] == [
        comers[0],
        None,
        comers[2],
        None,
    ]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


async def test_known_machines_do_not_wait_behind_strangers() -> None:
    tried = Admission()
    strangers = [Comer() for _ in range(int(admission.BURST) + 5)]
    assert all(tried.ask(stranger, is_known=False) for stranger in strangers)
    assert [stranger.count for stranger in strangers[-5:]] == [0] * 5
    known = Comer()
    assert tried.ask(known, is_known=True)
    assert known.count == 1
    await until(lambda: all(stranger.count == 1 for stranger in strangers))
    assert len(tried) == 0


async def test_a_full_queue_turns_away_and_the_other_does_not_care() -> None:
    tried = Admission()
    places = int(admission.BURST) + admission.STRANGERS_WAITING
    assert all(tried.ask(Comer(), is_known=False) for _ in range(places))
    assert not tried.ask(Comer(), is_known=False)
    assert not tried.is_full
    assert all(tried.ask(Comer(), is_known=True) for _ in range(int(admission.BURST) + admission.WAITING))
    assert tried.is_full


class Client(Stranger):
    """A client that asks for the upgrade, and waits."""

    def _shake_hands(self) -> tuple[object, object]:  # type: ignore[override]
        initiator = Initiator(self.key, PrivateKey(os.urandom(32)), SERVER.public, 130)
        head = (
            f"POST /ts2021 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: {PROTOCOL}\r\n"
            f"{HANDSHAKE_HEADER}: {base64.b64encode(initiator.initiation).decode()}\r\n\r\n"
        )
        self.connection.data_received(head.encode())
        return None, None

    def read(self) -> None: ...

    @property
    def status(self) -> bytes:
        return bytes(self.socket.written[:12])


async def test_clients_beyond_the_rate_wait_for_their_turn() -> None:
    door = Door()
    for _ in range(int(admission.BURST) + 20):  # nobody overtakes those who wait
        door.admission.ask(Comer(), is_known=False)
    clients = [Client(door, Socket()) for _ in range(4)]
    assert not any(client.status for client in clients)
    gone, hasty, *rest = clients
    gone.connection.connection_lost(None)
    hasty.connection.data_received(b"x")
    assert hasty.status == b"HTTP/1.1 400"
    await until(lambda: all(client.status == b"HTTP/1.1 101" for client in rest))
    assert not gone.status
    assert len(door.admission) == 0


async def test_who_is_turned_away_costs_no_cryptography() -> None:
    door = Door()
    for _ in range(int(admission.BURST) + admission.WAITING):
        door.admission.ask(Comer(), is_known=True)
    refused = Socket()
    model = Stranger()
    connection = Connection(model.connection._frontend, door, model._spawn)
    connection.connection_made(refused)
    garbage = base64.b64encode(
        b"\0\x82\x01\0\x60" + bytes(96)
    ).decode()  # no key at all: reading it would say 400
    connection.data_received(
        f"POST /ts2021 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: {PROTOCOL}\r\n"
        f"{HANDSHAKE_HEADER}: {garbage}\r\n\r\n".encode()
    )
    assert refused.written.startswith(b"HTTP/1.1 503")
    assert b"retry-after: " in refused.written
    assert not refused.open
