"""What is stored under a tag may be read for ever by who knew it; the page says what is there (golden schemas)."""

from typing import Any

import msgspec
import pytest

from engine.adapters.store.codec import UPCASTS
from engine.schemas.kinds import schema_of
from engine.schemas.page import page
from engine.schemas.stable import broken
from tests.golden.schemas import PAGE, bare, recorded, today

AGAIN = "run: python -m tests.golden.schemas"


def test_every_event_of_today_is_recorded() -> None:
    assert sorted(set(today()) - set(recorded())) == [], AGAIN


def test_an_event_that_is_no_more_has_an_upcast() -> None:
    assert sorted(set(recorded()) - set(today()) - set(UPCASTS)) == []


@pytest.mark.parametrize("tag", sorted(recorded()))
def test_a_stored_type_changes_only_with_a_new_tag(tag: str) -> None:
    if tag in today():
        assert broken(recorded()[tag], today()[tag]) == []


def test_the_records_are_of_today() -> None:
    changed = {tag for tag, schema in today().items() if recorded().get(tag, schema) != schema}
    assert sorted(changed) == [], AGAIN


def test_the_page_is_of_today() -> None:
    assert page() == PAGE.read_text(), AGAIN


class Place(msgspec.Struct, frozen=True):
    city: str


class Was(msgspec.Struct, frozen=True, kw_only=True, tag="Was.v1"):
    node: int
    names: tuple[str, ...]
    place: Place
    port: int = 1


WAS = bare(schema_of(Was))


def test_more_with_a_default_is_allowed() -> None:
    class Now(Was, frozen=True, kw_only=True, tag="Was.v1"):
        mtu: int = 0

    Now.__name__ = "Was"
    assert broken(WAS, bare(schema_of(Now))) == []


def test_the_same_is_allowed() -> None:
    assert broken(WAS, WAS) == []


def _with(change: Any) -> Any:
    schema = msgspec.json.decode(msgspec.json.encode(WAS))
    change(schema)
    return schema


REFUSED = {
    "gone": lambda s: s["properties"].pop("node"),
    "another type": lambda s: s["properties"].update(node={"type": "string"}),
    "another item": lambda s: s["properties"]["names"]["items"].update(type="integer"),
    "new and required": lambda s: (
        s["properties"].update(mtu={"type": "integer"}),
        s["required"].append("mtu"),
    ),
    "required now": lambda s: s["required"].append("port"),
    "another default": lambda s: s["properties"]["port"].update(default=2),
    "another tag": lambda s: s["properties"]["type"].update(enum=["Was.v2"]),
    "a bound": lambda s: s["properties"]["port"].update(maximum=9),
    "inside": lambda s: s["$defs"]["Place"]["properties"]["city"].update(type="integer"),
    "gone inside": lambda s: s["$defs"].pop("Place"),
    "strict": lambda s: s.update(additionalProperties=False),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused(what: str) -> None:
    assert broken(WAS, _with(REFUSED[what])), what
