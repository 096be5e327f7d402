"""The extra config: the rows on resolvers, location, tags and extra config (scenarios N14, N34)."""

import json

import pytest

from engine.domain.errors import Invalid
from engine.domain.events import ExtraConfig, Location
from engine.domain.extra import parse_extra, parse_tags

DOCUMENT = """{
    "exitNodeDNSResolvers": ["10.64.0.1"],
    "suggestExitNode": true,
    "location": {
        "country": "Sweden", "countryCode": "SE", "city": "Stockholm", "cityCode": "sto",
        "latitude": 59.3293, "longitude": 18.0686, "priority": 100
    }
}"""
PLACE = json.loads(DOCUMENT)["location"] | {"cityCode": "STO"}


def test_the_documents_example_is_accepted_and_its_city_code_becomes_upper_case() -> None:
    extra, warnings = parse_extra(json.loads(DOCUMENT))
    assert extra == ExtraConfig(
        exit_node_dns_resolvers=("10.64.0.1",),
        suggest_exit_node=True,
        location=Location(
            country="Sweden",
            country_code="SE",
            city="Stockholm",
            city_code="STO",
            latitude=59.3293,
            longitude=18.0686,
            priority=100,
        ),
    )
    assert warnings == ["location.case: cityCode 'sto' is kept as 'STO'"]


def test_nothing_is_fine() -> None:
    assert parse_extra({}) == (ExtraConfig(), [])
    assert parse_extra({"location": None, "tags": None}) == (ExtraConfig(), [])


def test_the_wires_capitals_are_understood() -> None:
    wire = {name[0].upper() + name[1:]: value for name, value in PLACE.items()}
    assert parse_extra({"location": wire}) == parse_extra({"location": PLACE})


@pytest.mark.parametrize("missing", list(PLACE))
def test_a_location_is_all_or_nothing(missing: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_extra({"location": {name: value for name, value in PLACE.items() if name != missing}})
    assert caught.value.code == "location.partial"
    assert missing in caught.value.message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"countryCode": "S"}, "location.code"),
        ({"countryCode": "SWE"}, "location.code"),
        ({"countryCode": "5E"}, "location.code"),
        ({"countryCode": 5}, "extra.type"),
        ({"cityCode": ""}, "location.partial"),
        ({"cityCode": " "}, "location.range"),
        ({"city": "x" * 65}, "location.range"),
        ({"country": "a\nb"}, "location.range"),
        ({"latitude": 90.01}, "location.range"),
        ({"latitude": -91}, "location.range"),
        ({"latitude": float("nan")}, "location.range"),
        ({"longitude": 180.5}, "location.range"),
        ({"longitude": float("inf")}, "location.range"),
        ({"longitude": "18"}, "extra.type"),
        ({"latitude": True}, "extra.type"),
        ({"priority": -1}, "location.range"),
        ({"priority": 2**31}, "location.range"),
        ({"priority": 1.5}, "extra.type"),
        ({"priority": True}, "extra.type"),
        ({"Country": "Norway"}, "extra.twice"),
    ],
)
def test_a_location_that_clients_cannot_show_is_refused(change: dict[str, object], code: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_extra({"location": PLACE | change})
    assert caught.value.code == code
    assert caught.value.field.startswith("extraConfig.location")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"suggestExitNode": "yes"}, "extraConfig.suggestExitNode"),
        ({"suggestExitNode": 1}, "extraConfig.suggestExitNode"),
        ({"tags": "tag:exit"}, "extraConfig.tags"),
        ({"tags": [1]}, "extraConfig.tags"),
        ({"exitNodeDNSResolvers": {"a": 1}}, "extraConfig.exitNodeDNSResolvers"),
        ({"location": "Sweden"}, "extraConfig.location"),
    ],
)
def test_a_wrong_type_is_refused_with_the_path_to_its_field(given: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_extra(given)
    assert (caught.value.code, caught.value.field) == ("extra.type", field)


def test_an_unknown_field_is_a_warning_with_a_suggestion() -> None:
    _, warnings = parse_extra({"sugestExitNode": True, "location": PLACE | {"zip": "1"}})
    assert "did you mean suggestExitNode?" in warnings[0]
    assert warnings[1].startswith("extra.unknown: extraConfig.location has no field 'zip'")


@pytest.mark.parametrize("name", ["privateKey", "PrivateKey", "presharedKey", "psk", "secret"])
def test_a_field_that_is_named_like_a_secret_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_extra({name: "hunter2"})
    assert caught.value.code == "extra.secret"
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("10.64.0.1", "10.64.0.1"),
        ("2001:DB8::53", "2001:db8::53"),
        ("10.64.0.1:5353", "10.64.0.1:5353"),
        ("[2001:DB8::53]:53", "[2001:db8::53]:53"),
        ("https://dns.example.com/dns-query", "https://dns.example.com/dns-query"),
    ],
)
def test_a_resolver_is_an_address_or_a_url(text: str, kept: str) -> None:
    assert parse_extra({"exitNodeDNSResolvers": [text]})[0].exit_node_dns_resolvers == (kept,)


@pytest.mark.parametrize(
    "text",
    ["", "dns.example.com", "http://dns.example.com", "https://", "10.64.0.1:0", "10.64.0.1:70000", "fe80::1%eth0",
     "https://a b/", "https://[::1"],
)  # fmt: skip
def test_what_is_no_resolver_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_extra({"exitNodeDNSResolvers": [text]})
    assert caught.value.code == "extra.resolver"


@pytest.mark.parametrize("text", ["exit", "tag:", "tag:1a", "tag:Exit", "tag:a_b", "tag:a b", "tag:a\n"])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_tags((text,), field="tags")
    assert caught.value.code == "tag.syntax"


def test_a_tag_that_is_given_twice_is_kept_once_with_a_warning() -> None:
    tags, warnings = parse_tags(("tag:exit", "tag:se-1", "tag:exit"), field="tags")
    assert tags == ("tag:exit", "tag:se-1")
    assert warnings == ["tag.duplicate: tag:exit is given more than once"]
