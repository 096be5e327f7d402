"""Examples of events: each is one that could be stored, with the same few nodes, peers and users in all of them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.contracts import cloudevents, subjects
from engine.domain.events import Event, stream_of, tag_of
from engine.domain.values import DEFAULT_TAILNET, Epoch, Millis, Position

WHEN: Final = Millis(1_767_225_600_000)
"""2026-01-01T00:00:00Z."""
COMMAND: Final = "01992f4e-6a70-7c11-b1a5-3f2d6d0b6c11"
EPOCH: Final = Epoch("yfsj2rybyiytibnqo7vgv5ww")
POSITION: Final = Position(118)
_KEY: Final = "1f" * 32
_VALUES: Final[Mapping[str, Any]] = {
    "node": 7,
    "peer": 100_000_001,
    "user": 1,
    "key": 1,
    "provider": 1,
    "device": 1,
    "epoch": EPOCH,
    "at": WHEN,
    "expiry": WHEN,
    "quota": 5,
    "backend": "osl-2",
    "name": "mullvad-exit",
    "display_name": "Ada",
    "email": "ada@example.com",
    "hostname": "laptop",
    "role": "admin",
    "stable_id": "n7CNTRL",
    "node_key": f"nodekey:{_KEY}",
    "public_key": f"nodekey:{_KEY}",
    "parked_key": f"nodekey:{_KEY}",
    "machine_key": f"mkey:{_KEY}",
    "digest": "",
    "account": "",
    "prefix": "0123456789ab",
    "ipv4": "100.64.0.7",
    "ipv6": "fd7a:115c:a1e0::7",
    "nodes_v4": "100.64.0.0/10",
    "nodes_v6": "fd7a:115c:a1e0::/48",
    "peers_v4": "100.127.0.0/16",
    "peers_v6": "fd7a:115c:a1e0:ff00::/56",
    "tags": ["tag:exit"],
    "routes": ["10.0.0.0/24"],
    "domain": "tail.example.com",
    "domains": ["example.com"],
    "resolvers": ["100.100.100.100"],
    "endpoints": ["198.51.100.1:51820"],
    "allowed_ips": ["0.0.0.0/0", "::/0"],
    "mode": "bypass",
    "kind": "mullvad",
    "base_url": "https://api.mullvad.net",
    "selector": "tag:exit",
    "code": "provider.unreachable",
    "scope": "admin",
    "why": "operator",
    "reference": "device-1",
    "derp_map": {"Regions": {}},
    "result": {"node": 7},
    "text": "{}",
    "host": "vpn.example.com",
}


def example_of(kind: type[Event]) -> Event:
    """Return an event of this type, with its required fields."""
    return msgspec.json.decode(msgspec.json.encode(_struct(msgspec.inspect.type_info(kind))), type=kind)


def headers_of_example(event: Event) -> dict[str, str]:
    """Return the headers with which the example would be told."""
    return {
        cloudevents.MESSAGE_ID: cloudevents.id_of(EPOCH, POSITION),
        cloudevents.ID: cloudevents.id_of(EPOCH, POSITION),
        cloudevents.SOURCE: cloudevents.source_of(DEFAULT_TAILNET),
        cloudevents.TYPE: tag_of(event),
        cloudevents.TIME: cloudevents.time_of(WHEN),
        cloudevents.VERSION: cloudevents.SPEC_VERSION,
        cloudevents.SUBJECT: stream_of(event, COMMAND),
        cloudevents.CONTENT: cloudevents.CONTENT_TYPE,
        cloudevents.EPOCH: EPOCH,
        cloudevents.POSITION: str(POSITION),
        cloudevents.STREAM_VERSION: "1",
        cloudevents.ACTOR: "operator",
        cloudevents.COMMAND: COMMAND,
        cloudevents.REASON: cloudevents.escaped("new exit in SE"),
        cloudevents.DIGEST: _KEY,
    }


def subject_of_example(event: Event) -> str:
    """Return the subject on which the example would be told."""
    return subjects.event(DEFAULT_TAILNET, stream_of(event, COMMAND), tag_of(event))


def _struct(info: msgspec.inspect.Type) -> dict[str, Any]:
    if not isinstance(info, msgspec.inspect.StructType):
        raise TypeError(info)
    values: dict[str, Any] = {} if info.tag is None else {str(info.tag_field): info.tag}
    for field in info.fields:
        if field.required:
            given = _VALUES.get(field.name, _MISSING)
            values[field.encode_name] = _value(field.type) if given is _MISSING else given
    return values


def _value(info: msgspec.inspect.Type) -> Any:
    """Return some value of a type: that of a field that has no value of its own above."""
    match info:
        case msgspec.inspect.Metadata(type=inner):
            return _value(inner)
        case msgspec.inspect.StructType():
            return _struct(info)
        case msgspec.inspect.VarTupleType(item_type=item):
            return [_value(item)]
        case msgspec.inspect.UnionType(types=types):
            return _value(types[0])
        case _:
            return _PLAIN[type(info)]()


_MISSING: Final = object()
_PLAIN: Final[Mapping[type[msgspec.inspect.Type], Callable[[], Any]]] = {
    msgspec.inspect.IntType: lambda: 1,
    msgspec.inspect.FloatType: float,
    msgspec.inspect.BoolType: bool,
    msgspec.inspect.StrType: str,
    msgspec.inspect.DictType: dict,
    msgspec.inspect.NoneType: lambda: None,
    msgspec.inspect.RawType: dict,
    msgspec.inspect.AnyType: dict,
}
