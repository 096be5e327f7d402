"""Who comes in, and for how long."""

import asyncio

from engine.ports import Message
from frontends.admin.gate import key_in
from frontends.admin.rate import BURST, MOST, PER_SECOND, Rates
from tests.unit.admin.stage import Api, api, basic

NODES = "/api/v1/node"


async def status(at: Api, key: str, **more: str) -> int:
    return (await at.call("GET", NODES, key=key, **more)).status


async def test_without_a_good_key_one_hears_unauthorized_in_plain_text() -> None:
    async with api() as at:
        good = at.key
        other_secret = good[:-1] + ("0" if good[-1] != "0" else "1")
        other_prefix = good[:10] + "0" * 12 + good[22:]
        for wrong in ("", "x", other_secret, other_prefix, good[:22], good.upper()):
            reply = await at.call("GET", NODES, key=wrong)
            assert (reply.status, reply.text) == (401, "Unauthorized")
        assert await status(at, good) == 200


async def test_a_key_is_a_bearer_token_or_basics_password() -> None:
    async with api() as at:
        for header in (f"bearer {at.key}", basic("admin", at.key), basic(at.key, "")):
            assert (await at.call("GET", NODES, key="", authorization=header)).status == 200
        for header in (at.key, f"Digest {at.key}", "Basic !", "Basic /w==", f"Bearer {at.key} " + "x" * 600):
            assert (await at.call("GET", NODES, key="", authorization=header)).status == 401


async def test_health_and_version_are_everybodys() -> None:
    async with api() as at:
        assert (await at.call("GET", "/health", key="")).json == {"status": "pass"}
        version = (await at.call("GET", "/version", key="")).json
        assert version["version"].startswith("0.29")
        at.lab.clock.advance(60)
        assert (await at.call("GET", "/health", key="")).status == 503


async def test_the_key_itself_is_never_on_the_bus() -> None:
    async with api() as at:
        heard = await at.bus.subscribe("netmap.v1.t.>")
        assert await status(at, at.key) == 200
        messages: list[Message] = []
        while heard._waiting:  # type: ignore[attr-defined]
            messages.append(await anext(heard))
        assert any(message.subject.endswith("apikey.check") for message in messages)
        assert not [one for one in messages if at.key[23:].encode() in one.data]


async def test_a_good_key_is_asked_about_once_while_the_log_stands_still() -> None:
    async with api() as at:
        for _ in range(5):
            assert await status(at, at.key) == 200
        assert at.checks() == 1
        at.lab.clock.advance(59)
        assert await status(at, at.key) == 200
        assert at.checks() == 1
        at.lab.clock.advance(1)
        assert await status(at, at.key) == 200
        assert at.checks() == 2


async def test_many_who_come_at_once_ask_once() -> None:
    async with api() as at:
        found = await asyncio.gather(*(status(at, at.key) for _ in range(50)))
        assert set(found) == {200}
        assert at.checks() == 1


async def test_a_key_that_was_ended_or_deleted_is_out_at_once() -> None:
    async with api() as at:
        ended, deleted = await at.new_key(), await at.new_key()
        assert [await status(at, key) for key in (ended, deleted)] == [200, 200]
        await at.does("apikey.expire", {"key": ended})
        await at.does("apikey.delete", {"key": deleted})
        assert [await status(at, key) for key in (ended, deleted, at.key)] == [401, 401, 200]


async def test_a_key_counts_no_longer_than_its_expiry() -> None:
    async with api() as at:
        short = await at.new_key(expiresInSeconds=30)
        assert await status(at, short) == 200
        at.lab.clock.advance(29)
        assert await status(at, short) == 200
        at.lab.clock.advance(1)
        assert await status(at, short) == 401


async def test_who_comes_with_wrong_keys_too_often_waits_and_others_do_not() -> None:
    async with api() as at:
        assert await status(at, at.key) == 200
        for _ in range(BURST):
            assert await status(at, "wrong") == 401
        reply = await at.call("GET", NODES, key="wrong")
        assert (reply.status, reply.headers["retry-after"]) == (429, "3")
        assert await status(at, at.key) == 200, "a key that is known to be good comes in"
        assert await status(at, "wrong", address="192.0.2.8") == 401
        at.lab.clock.advance(1 / PER_SECOND)
        assert await status(at, "wrong") == 401


async def test_a_key_for_an_export_finds_nothing_else() -> None:
    async with api() as at:
        await at.joins("laptop")
        await at.does(
            "peer.register",
            {
                "name": "exit",
                "user": 1,
                "publicKey": "nodekey:" + "ab" * 32,
                "allowedIps": ["0.0.0.0/0", "::/0"],
                "endpoints": ["192.0.2.1:1"],
            },
        )
        key = await at.new_key(scope="export", peer="exit")
        unknown = await at.call("GET", "/api/v1/nothing", key=key)
        for method, path in (
            ("GET", NODES),
            ("GET", "/api/v1/user"),
            ("DELETE", "/api/v1/node/1"),
            ("POST", "/api/v1/wireguard/connection"),
        ):
            reply = await at.call(method, path, key=key)
            assert (reply.status, reply.body) == (404, unknown.body)
        assert (await at.call("GET", "/wg/export/exit", key=key)).status == 200
        assert len(at.lab.engine.tailnet.nodes) == 1


def test_a_header_of_another_kind_has_no_key() -> None:
    assert key_in("Bearer  k ") == "k"
    assert key_in("") == key_in("Basic") == key_in("Negotiate k") == ""


def test_the_rate_of_an_address_is_bounded_and_so_is_what_is_remembered() -> None:
    rates = Rates()
    assert [rates.spend("2001:db8::1", 0.0) for _ in range(BURST)] == [0.0] * BURST
    assert rates.spend("2001:db8::ffff", 0.0) > 0, "the same /64"
    assert rates.spend("2001:db8:1::1", 0.0) == 0
    rates.refund("2001:db8::1", 0.0)
    assert rates.spend("2001:db8::1", 0.0) == 0
    for number in range(MOST + 10):
        rates.spend(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 1.0)
    assert len(rates) <= MOST
