"""What every bus must do; each adapter's test file gives two members of one bus."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from engine.contracts.requests import ERROR_CODE, ERROR_TEXT, ErrorReply
from engine.domain.errors import NotFound
from engine.ports import Answer, Bus, Endpoint, Fault, Message, NoResponders, TimedOut

ROOT = "netmap.v1.t"
Pair = tuple[Bus, Bus]


async def take(stream: AsyncIterator[Message], count: int) -> list[Message]:
    async with asyncio.timeout(5):
        return [await anext(stream) for _ in range(count)]


def endpoint(name: str, subject: str, respond: Callable[[Message], Awaitable[Answer]]) -> Endpoint:
    return Endpoint(name=name, subject=subject, respond=respond, metadata={"k": "v"})


async def echo(message: Message) -> Answer:
    return Answer(message.data, {"seen": message.subject, "from": message.headers.get("from", "")})


class BusSuite:
    async def test_a_message_reaches_who_subscribed_before(self, pair: Pair) -> None:
        one, two = pair
        stream = await two.subscribe(f"{ROOT}.log.head")
        await one.publish(f"{ROOT}.log.head", b"1", {"h": "x"})
        assert await take(stream, 1) == [Message(f"{ROOT}.log.head", b"1", {"h": "x"})]

    async def test_wildcards_match_as_nats_has_them(self, pair: Pair) -> None:
        one, two = pair
        token = await two.subscribe(f"{ROOT}.soft.*.state")
        rest = await two.subscribe(f"{ROOT}.soft.>")
        for subject in (f"{ROOT}.soft", f"{ROOT}.soft.f1.hello", f"{ROOT}.soft.f1.state"):
            await one.publish(subject, b"")
        assert [m.subject for m in await take(token, 1)] == [f"{ROOT}.soft.f1.state"]
        assert [m.subject for m in await take(rest, 2)] == [
            f"{ROOT}.soft.f1.hello",
            f"{ROOT}.soft.f1.state",
        ]

    async def test_one_publisher_is_heard_in_order(self, pair: Pair) -> None:
        one, two = pair
        stream = await two.subscribe(f"{ROOT}.map.delta")
        for number in range(200):
            await one.publish(f"{ROOT}.map.delta", b"%d" % number)
        assert [int(m.data) for m in await take(stream, 200)] == list(range(200))

    async def test_what_does_not_fit_is_dropped_and_the_first_stay(self, pair: Pair) -> None:
        one, two = pair
        narrow = await two.subscribe(f"{ROOT}.a", limit=2)
        wide = await two.subscribe(f"{ROOT}.*")
        for number in range(5):
            await one.publish(f"{ROOT}.a", b"%d" % number)
        await one.publish(f"{ROOT}.b", b"")
        await take(wide, 6)
        assert [m.data for m in await take(narrow, 2)] == [b"0", b"1"]

    async def test_a_subscription_ends_with_its_bus(self, pair: Pair) -> None:
        one, two = pair
        stream = await two.subscribe(f"{ROOT}.a")
        await one.publish(f"{ROOT}.a", b"last")
        assert (await take(stream, 1))[0].data == b"last"
        await two.close()
        async with asyncio.timeout(5):
            assert [message async for message in stream] == []

    async def test_a_request_is_answered_with_headers(self, pair: Pair) -> None:
        one, two = pair
        await two.serve("suite", "1.0.0", "a suite", [endpoint("echo", f"{ROOT}.q.*.get", echo)])
        reply = await one.request(f"{ROOT}.q.node.get", b"x", timeout=5, headers={"from": "one"})
        assert reply.data == b"x"
        assert dict(reply.headers) == {"seen": f"{ROOT}.q.node.get", "from": "one"}

    async def test_nobody_listening_is_told_at_once(self, pair: Pair) -> None:
        with pytest.raises(NoResponders):
            await pair[0].request(f"{ROOT}.q.none.get", b"", timeout=5)

    async def test_no_answer_in_time_is_an_unknown_outcome(self, pair: Pair) -> None:
        one, two = pair

        async def never(_message: Message) -> Answer:
            await asyncio.Event().wait()
            return Answer(b"")

        await two.serve("suite", "1.0.0", "a suite", [endpoint("never", f"{ROOT}.q.slow.get", never)])
        with pytest.raises(TimedOut):
            await one.request(f"{ROOT}.q.slow.get", b"", timeout=0.1)

    async def test_many_requests_are_answered_at_a_time(self, pair: Pair) -> None:
        one, two = pair
        together = asyncio.Barrier(16)

        async def gather(message: Message) -> Answer:
            await together.wait()
            return Answer(message.data)

        await two.serve("suite", "1.0.0", "a suite", [endpoint("gather", f"{ROOT}.q.all.get", gather)])
        replies = await asyncio.gather(
            *(one.request(f"{ROOT}.q.all.get", b"%d" % number, timeout=5) for number in range(16))
        )
        assert [int(reply.data) for reply in replies] == list(range(16))

    async def test_the_first_matching_endpoint_answers_and_only_it(self, pair: Pair) -> None:
        one, two = pair
        answered: list[str] = []

        async def known(message: Message) -> Answer:
            answered.append(message.subject)
            return Answer(b"known")

        async def unknown(message: Message) -> Answer:
            answered.append(message.subject)
            return Answer(b"unknown")

        await two.serve(
            "suite",
            "1.0.0",
            "a suite",
            [
                endpoint("peer-register", f"{ROOT}.as.*.cmd.peer.register", known),
                endpoint("unknown", f"{ROOT}.as.*.cmd.>", unknown),
            ],
        )
        for _ in range(30):
            assert (await one.request(f"{ROOT}.as.x.cmd.peer.register", b"", timeout=5)).data == b"known"
            assert (await one.request(f"{ROOT}.as.x.cmd.peer.reigster", b"", timeout=5)).data == b"unknown"
        assert len(answered) == 60

    async def test_whoever_listens_is_heard_from_the_first_request_on(self, pair: Pair) -> None:
        one, two = pair

        async def heard(message: Message) -> Answer:
            return Answer(message.data)

        for number in range(150):
            subjects = [f"{ROOT}.first.{number}.{place}" for place in range(8)]
            endpoints = [endpoint(f"e{place}", subject, heard) for place, subject in enumerate(subjects)]
            await two.serve("suite", "1.0.0", "a suite", endpoints)
            assert (await one.request(subjects[-1], b"x", timeout=5)).data == b"x"

    async def test_a_refusal_is_told_in_body_and_headers(self, pair: Pair) -> None:
        one, two = pair

        async def refuse(_message: Message) -> Answer:
            raise NotFound("node.unknown", 'no node is called "ä\n"', field="node", hint="list them")

        await two.serve("suite", "1.0.0", "a suite", [endpoint("refuse", f"{ROOT}.q.node.get", refuse)])
        reply = await one.request(f"{ROOT}.q.node.get", b"", timeout=5)
        error = msgspec.json.decode(reply.data, type=ErrorReply).error
        assert (error.code, error.status, error.field, error.hint) == (
            "node.unknown",
            404,
            "node",
            "list them",
        )
        assert error.message == 'no node is called "ä\n"'
        assert reply.headers[ERROR_CODE] == "404"
        assert reply.headers[ERROR_TEXT] == 'no node is called "??"'

    async def test_an_unexpected_exception_is_not_told(self, pair: Pair) -> None:
        one, two = pair

        async def crash(_message: Message) -> Answer:
            raise ValueError("hunter2")

        await two.serve("suite", "1.0.0", "a suite", [endpoint("crash", f"{ROOT}.q.node.get", crash)])
        reply = await one.request(f"{ROOT}.q.node.get", b"", timeout=5)
        error = msgspec.json.decode(reply.data, type=ErrorReply).error
        assert (error.code, error.status) == ("service.internal", 500)
        assert b"hunter2" not in reply.data
        assert "hunter2" not in str(reply.headers)

    async def test_a_fault_may_be_tried_again(self, pair: Pair) -> None:
        one, two = pair

        async def fault(_message: Message) -> Answer:
            raise Fault("disk")

        await two.serve("suite", "1.0.0", "a suite", [endpoint("fault", f"{ROOT}.q.node.get", fault)])
        reply = await one.request(f"{ROOT}.q.node.get", b"", timeout=5)
        error = msgspec.json.decode(reply.data, type=ErrorReply).error
        assert (error.code, error.status, error.retryable) == ("service.unavailable", 503, True)

    async def test_two_members_of_a_service_give_one_answer(self, pair: Pair) -> None:
        one, two = pair
        answered: list[int] = []
        for number, bus in enumerate(pair):

            async def respond(message: Message, number: int = number) -> Answer:
                answered.append(number)
                return Answer(message.data)

            await bus.serve("suite", "1.0.0", "a suite", [endpoint("e", f"{ROOT}.q.node.get", respond)])
        for _ in range(20):
            await one.request(f"{ROOT}.q.node.get", b"", timeout=5)
        await two.request(f"{ROOT}.q.node.get", b"", timeout=5)
        assert len(answered) == 21

    async def test_a_closed_bus_is_at_fault(self, pair: Pair) -> None:
        await pair[0].close()
        with pytest.raises(Fault):
            await pair[0].publish(f"{ROOT}.a", b"")
