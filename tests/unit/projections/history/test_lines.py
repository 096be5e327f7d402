"""Events in words."""

from typing import Any

import msgspec
import pytest

from engine.domain import events as e
from engine.domain.providerevents import ProviderAdded, ProviderUpdated
from engine.domain.state import Tailnet
from engine.domain.values import Millis, NodeId, PeerId, ProviderId, UserId
from projections.history.lines import NamesNow, line
from tests.kit.logs import Written

KEY = "nodekey:" + "ab" * 32


@pytest.fixture
def names() -> NamesNow:
    tailnet = Tailnet()
    for event in (
        e.UserCreated(user=UserId(1), name="alice"),
        msgspec.convert(
            {
                "type": "NodeRegistered.v1",
                "node": 7,
                "stable_id": "n7",
                "machine_key": "mkey:" + "1" * 64,
                "node_key": KEY,
                "user": 1,
                "name": "laptop",
                "hostname": "laptop",
                "ipv4": "100.64.0.7",
                "ipv6": "fd7a:115c:a1e0::7",
            },
            e.NodeRegistered,
        ),
        msgspec.convert(
            {
                "type": "PeerRegistered.v1",
                "peer": 100000001,
                "stable_id": "wg-only-100000001",
                "name": "mullvad-exit",
                "user": 1,
                "public_key": KEY[:-1] + "c",
                "allowed_ips": ["0.0.0.0/0"],
                "endpoints": ["1.2.3.4:51820"],
                "ipv4": "100.127.0.1",
                "ipv6": "fd7a:115c:a1e0:ffff::1",
            },
            e.PeerRegistered,
        ),
    ):
        tailnet.apply(event, Millis(1))
    return NamesNow(tailnet)


def test_a_connection_is_told_with_names_and_addresses(names: NamesNow) -> None:
    event = e.ConnectionAdded(node=NodeId(7), peer=PeerId(100000001), ipv4_masq="10.64.0.100", jailed=False)
    said = "connected laptop (7) to mullvad-exit (100000001), masquerade 10.64.0.100, unjailed"
    assert line(event, names) == said


def test_what_is_gone_has_its_id_only(names: NamesNow) -> None:
    event = e.ConnectionRemoved(node=NodeId(9), peer=PeerId(100000009))
    assert line(event, names) == "disconnected node 9 from peer 100000009"


def test_a_key_is_shortened(names: NamesNow) -> None:
    event = e.NodeReregistered(node=NodeId(7), node_key=KEY)  # type: ignore[arg-type]
    assert line(event, names) == "logged laptop (7) in again, key nodekey:abababab…"


def test_an_event_without_words_is_told_by_its_name_and_fields(names: NamesNow) -> None:
    class ThingSet(msgspec.Struct, frozen=True):
        node: int
        digest: str
        tags: tuple[str, ...]

    assert line(ThingSet(7, "secret", ("a", "b")), names) == "thing set: node 7, tags a, b"  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", e.EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_can_be_told_in_one_line_and_without_secrets(
    kind: type[e.Event], names: NamesNow
) -> None:
    schema = msgspec.json.schema(kind)
    fields = schema["$defs"][kind.__name__]["properties"]
    made = {name: _sample(name, field) for name, field in fields.items()}
    said = line(msgspec.json.decode(msgspec.json.encode(made), type=kind), names)
    assert said
    assert "\n" not in said
    assert "5ec4e7" not in said or kind is e.PolicySet, "a policy is called by its digest"
    assert len(said) < 600


def _sample(name: str, field: dict[str, Any]) -> object:
    if name in {"digest", "derp_map", "result", "text"}:
        return "5ec4e7"
    if "enum" in field or "const" in field:
        return field.get("const") or field["enum"][0]
    kinds = [field, *field.get("anyOf", ())]
    kind = next((part["type"] for part in kinds if part.get("type", "null") != "null"), "object")
    return {"integer": 7, "string": "x", "array": [], "boolean": True}.get(kind, {})


def test_an_account_number_is_not_told_not_even_sealed(names: NamesNow) -> None:
    fields = {"provider": ProviderId(1), "name": "vpn", "base_url": "https://a.example", "quota": 5}
    added = ProviderAdded(**fields, kind="http", account="sealed:v1:AAAA")  # type: ignore[arg-type]
    updated = ProviderUpdated(**fields, account="sealed:v1:AAAA")  # type: ignore[arg-type]
    assert line(added, names) == "added provider vpn: http at https://a.example, 5 devices"
    assert "sealed" not in line(updated, names)


async def test_the_events_of_a_written_log_are_told() -> None:
    log = await Written().open()
    records = await log.write(("user", 0, 0), ("node", 0, 0), ("peer", 0, 0), ("connect", 0, 0))
    tailnet = Tailnet()
    for record in records:
        tailnet.apply(record.event, record.envelope.at)
    said = [line(record.event, NamesNow(tailnet)) for record in records]
    assert any(text.startswith("connected ") for text in said)
