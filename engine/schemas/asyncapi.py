"""One AsyncAPI 3.0 document of all that other systems hear from an engine and may tell and ask it on NATS.

Rule 1: a channel's name is what it carries: `event.PeerRegistered.v1`, `command.peer.register`, `query.netmap.get`.
Rule 2: the document is from the engine's side: it sends events, and receives and answers commands and queries.
Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engine.contracts import cloudevents, requests, subjects
from engine.contracts.queries import Query
from engine.contracts.requests import Accepted, ErrorReply
from engine.domain.events import CommandHandled, Event, stream_of
from engine.domain.values import TailnetName
from engine.schemas.examples import COMMAND, example_of, headers_of_example
from engine.schemas.kinds import commands, components_of, events, queries, summary_of
from engine.schemas.origins import emitters, since

ASYNCAPI: Final = "3.0.0"
JSON: Final = "application/json"
NOT_TOLD: Final[tuple[type[Event], ...]] = (CommandHandled,)
"""Receipts are between the engine and who sent the command: each event has that command's id."""
_TAILNET: Final = TailnetName("{tailnet}")
_TEMPLATE: Final = "#/components/schemas/{name}"
_COMMAND_HEADERS: Final = {
    requests.COMMAND_ID: "The command's id: sent again, it is not done again.",
    requests.REASON: "Why; kept in the log.",
    requests.DEADLINE: "Unix milliseconds after which the sender no longer wants it done.",
    requests.CAUSE: "Because of which command, by its id, this one is given.",
    requests.STRICT: "`1`: what would be done with a warning is refused.",
}


def document(version: str) -> dict[str, Any]:
    """Return the document; `version` is the program's."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    _events(channels, operations, messages, schemas)
    _requests(channels, operations, messages, schemas)
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "netmap-engine",
            "version": version,
            "description": "The event log of a tailnet, and the commands and queries of its control plane, on NATS. "
            f"Events are kept in the JetStream stream {subjects.EVENT_STREAM}.",
        },
        "defaultContentType": JSON,
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas, "messages": messages},
    }


def _events(
    channels: dict[str, Any], operations: dict[str, Any], messages: dict[str, Any], schemas: dict[str, Any]
) -> None:
    who = emitters()
    for tag, kind in events().items():
        if kind in NOT_TOLD:
            continue
        name = f"event.{tag}"
        example = example_of(kind)
        schemas |= components_of(kind, _TEMPLATE)
        messages[name] = {
            "name": tag,
            "title": kind.__name__,
            "summary": summary_of(kind),
            "description": f"Since {since(tag)}. By: {', '.join(who[tag])}.",
            "contentType": JSON,
            "headers": _headers(cloudevents.HEADERS, cloudevents.OPTIONAL),
            "payload": {"$ref": _TEMPLATE.format(name=kind.__name__)},
            "examples": [
                {"headers": headers_of_example(example), "payload": msgspec.json.decode(_encoded(example))}
            ],
        }
        channels[name] = _channel(name, _address(example, tag))
        operations[name] = _operation(name, "send")


def _requests(
    channels: dict[str, Any], operations: dict[str, Any], messages: dict[str, Any], schemas: dict[str, Any]
) -> None:
    for common in (Accepted, ErrorReply, Query):
        schemas |= components_of(common, _TEMPLATE)
    messages["accepted"] = _body("Accepted", Accepted)
    messages["error"] = _body("ErrorReply", ErrorReply)
    messages["answer"] = {
        "name": "answer",
        "summary": "What is so at `position`.",
        "payload": {"type": "object", "properties": {"position": {"type": "integer"}}},
    }
    for name, kind in commands().items():
        schemas |= components_of(kind, _TEMPLATE)
        full = f"command.{name}"
        messages[full] = {
            **_body(kind.__name__, kind),
            "headers": _headers(_COMMAND_HEADERS, _COMMAND_HEADERS),
        }
        entity, verb = name.split(".")
        channels[full] = _channel(full, subjects.command(_TAILNET, entity, verb))
        operations[full] = _answered(full, "accepted", channels)
    messages["query"] = _body("Query", Query)
    for name in queries():
        full = f"query.{name}"
        resource, verb = name.split(".")
        channels[full] = _channel(full, subjects.query(_TAILNET, resource, verb), "query")
        operations[full] = _answered(full, "answer", channels)


def _encoded(event: Event) -> bytes:
    return msgspec.json.encode(event)


def _address(example: Event, tag: str) -> str:
    """Return the subject of an event, with a parameter for the id of its aggregate."""
    aggregate, slash, _ = stream_of(example, COMMAND).partition("/")
    return subjects.event(_TAILNET, aggregate + (slash and "/{id}"), tag)


def _channel(name: str, address: str, message: str = "") -> dict[str, Any]:
    what = message or name
    channel: dict[str, Any] = {
        "address": address,
        "messages": {what: {"$ref": f"#/components/messages/{what}"}},
        "parameters": {"tailnet": {"description": "The tailnet's name, `default` unless set."}},
    }
    if "{id}" in address:
        channel["parameters"]["id"] = {
            "description": "The aggregate's number; of a connection, `7-100000001`."
        }
    return channel


def _operation(name: str, action: str, message: str = "") -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{message or name}"}],
    }


def _answered(name: str, answer: str, channels: dict[str, Any]) -> dict[str, Any]:
    replies = f"reply.{answer}"
    channels[replies] = {
        "address": None,
        "messages": {which: {"$ref": f"#/components/messages/{which}"} for which in (answer, "error")},
    }
    asked = next(iter(channels[name]["messages"]))
    return {
        **_operation(name, "receive", asked),
        "reply": {
            "channel": {"$ref": f"#/channels/{replies}"},
            "messages": [{"$ref": f"#/channels/{replies}/messages/{which}"} for which in (answer, "error")],
        },
    }


def _body(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary_of(kind),
        "contentType": JSON,
        "payload": {"$ref": _TEMPLATE.format(name=kind.__name__)},
    }


def _headers(words: Mapping[str, str], optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": said} for name, said in words.items()},
        "required": [name for name in words if name not in optional],
    }
