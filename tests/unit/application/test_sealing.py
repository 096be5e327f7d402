"""An account number: in nothing that is kept, and nowhere to be tried out."""

import hashlib
from itertools import product

import msgspec
import pytest

from engine.application.answers import digest_of
from engine.application.durable import ALIASES
from engine.application.sealing import ACCOUNT, SECRET_COMMANDS, refuse_queued, sealed_order
from engine.contracts import subjects
from engine.contracts.requests import COMMAND_ID, Accepted
from engine.domain.commands import COMMANDS
from engine.domain.errors import Invalid
from engine.domain.events import CommandHandled
from engine.domain.providercommands import AddProvider, UpdateProvider
from engine.domain.values import ProviderId
from engine.ports import Message
from tests.kit.fakes import MemoryKeyRing
from tests.unit.application.test_durable import desk
from tests.unit.application.test_service import Site, T, site
from tests.unit.application.world import order, user

CANARY = "4815162342108108"
ACTOR = "alice"
ADD = {"name": "mv", "kind": "mullvad", "account": f" {CANARY[:4]} {CANARY[4:]}\n"}


async def send(s: Site, body: object, key: str) -> Message:
    return await s.ask(subjects.command_as(T, ACTOR, "provider", "add"), body, {COMMAND_ID: key})


async def test_the_log_and_the_reply_have_the_account_number_only_sealed() -> None:
    async with site() as s:
        reply = await send(s, ADD, "p1")
        assert msgspec.json.decode(reply.data, type=Accepted).result["name"] == "mv"
        again = await send(s, ADD, "p1")
        assert again.data == reply.data
        records = await s.lab.records()
        kept = msgspec.json.encode(records) + reply.data
        assert CANARY.encode() not in kept
        sealed = s.lab.engine.tailnet.provided.providers[ProviderId(1)].account
        assert MemoryKeyRing().unseal(ACCOUNT, sealed) == CANARY


async def test_a_receipt_gives_nobody_a_digest_to_try_account_numbers_out() -> None:
    async with site() as s:
        await send(s, ADD, "p1")
        receipt = next(r.event for r in await s.lab.records() if isinstance(r.event, CommandHandled))
        body = msgspec.json.encode(ADD)
        assert receipt.digest != digest_of(ACTOR, "provider.add", body)
        assert len(receipt.digest) == len(hashlib.sha256().hexdigest())


async def test_another_body_with_the_same_id_is_still_known() -> None:
    async with site() as s:
        await send(s, ADD, "p1")
        other = ADD | {"account": "1" * 16}
        reply = await send(s, other, "p1")
        assert b"command.id_reused" in reply.data


async def test_what_cannot_be_an_account_number_is_refused_without_a_word_of_it() -> None:
    async with site() as s:
        wrong = ADD | {"account": f"{CANARY} and more"}
        reply = await send(s, wrong, "p2")
        assert b"provider.account" in reply.data
        assert CANARY.encode() not in reply.data


def test_only_commands_with_a_secret_are_touched() -> None:
    ring = MemoryKeyRing()
    plain = user("ann")
    assert sealed_order(plain, ring) is plain
    kept = sealed_order(order(UpdateProvider(provider="mv", quota=3), "u"), ring)
    assert isinstance(kept.command, UpdateProvider)
    assert kept.command.account is None
    sealed = sealed_order(order(AddProvider(name="a", kind="http", account=CANARY), "x"), ring)
    assert CANARY not in f"{sealed!r}{msgspec.json.encode(sealed.command)!r}"


async def test_an_account_number_that_was_queued_is_refused_and_buried_without_its_body() -> None:
    async with desk() as d:
        for name, key in product(("provider.add", "ProviderAdded", "provider.update"), ("1", "")):
            assert await d.do((name, ADD, key)) == ["done"]
        assert not d.lab.engine.tailnet.provided.providers
        assert CANARY not in str(d.queue.kept)


def test_every_command_that_carries_an_account_is_kept_from_the_queue() -> None:
    carrying = {
        f"{entity}.{verb}" for (entity, verb), kind in COMMANDS.items() if "account" in kind.__struct_fields__
    }
    assert carrying == SECRET_COMMANDS
    for name in SECRET_COMMANDS:
        assert name in ALIASES.values()
        with pytest.raises(Invalid):
            refuse_queued(name)
    refuse_queued("provider.enrol")
