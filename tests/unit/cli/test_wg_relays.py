"""A provider's list of relays: its shapes, what is chosen, what becomes of who is there already, or gone."""

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.cli.wgrelays import IN_FLIGHT, progress
from frontends.farside.relaylist import ListFault, Relay, RelayList
from frontends.farside.relayplan import Filter, Manner, city_code, city_label, plan
from frontends.farside.relays import read
from tests.kit import relays as kit
from tests.unit.cli.stage import Stage, accepted, refused

MANNER = Manner("mullvad", 51_820, "host")
FIVE = [kit.relay(number) for number in range(5)]
GOT, STO, BER, NYC, TYO = (one["hostname"] for one in FIVE)


def row(number: int, made: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The peer that a relay has become."""
    at = [f"{made['ipv4_addr_in']}:51820", f"[{made['ipv6_addr_in']}]:51820"]
    extra = {"tags": ["tag:relays-mullvad"]}
    peer = {"id": 100_000_000 + number, "name": made["hostname"], "publicKeyBase64": made["public_key"]}
    return {**peer, "endpoints": at, "extraConfig": extra, "disabled": False, "connectedNodes": [], **more}


def stage(peers: Iterable[Mapping[str, Any]] = ()) -> Stage:
    made = Stage()
    made.answers("peer.list", {"position": 8, "peers": list(peers)})
    made.answers("peer.register", accepted(100_000_001))
    return made


def file_of(folder: Path, relays: Iterable[Mapping[str, Any]] = FIVE) -> str:
    path = folder / "relays.json"
    path.write_text(kit.text(kit.listed(relays)))
    return str(path)


def commands(made: Stage) -> list[tuple[str, Any]]:
    said = [(subject.split(".")[-1], body) for subject, body, _ in made.requests if ".cmd." in subject]
    return sorted((verb, body.get("name") or body["peer"]) for verb, body in said)


def run(made: Stage, folder: Path, *words: str, relays: Iterable[Mapping[str, Any]] = FIVE) -> Any:
    result = made.run(
        "wg", "import-relays", file_of(folder, relays), "--user", "1", "--id", "x", *words, "-o", "json"
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_three_shapes_say_the_same_relays() -> None:
    lists = [read(kit.text(shape(FIVE))) for shape in (kit.listed, kit.cache, kit.public)]
    assert [[one.hostname for one in found.relays] for found in lists] == [
        sorted([GOT, STO, BER, NYC, TYO])
    ] * 3
    assert lists[0].relays == lists[1].relays
    fewer = [one._replace(owned=False, provider="", weight=100) for one in lists[0].relays]
    assert list(lists[2].relays) == fewer


def test_a_relay_becomes_an_exit_with_a_place_and_a_label_of_its_own(tmp_path: Path) -> None:
    made = stage()
    run(made, tmp_path, "--country", "se", "--city", "Gothenburg")
    _, body = made.last
    expected = {
        "name": "se-got-wg-000",
        "user": 1,
        "publicKey": FIVE[0]["public_key"],
        "allowedIps": ["0.0.0.0/0", "::/0"],
        "endpoints": ["198.18.0.1:51820", "[2001:db8::1]:51820"],
        "extraConfig": {
            "exitNodeDNSResolvers": ["10.64.0.1"],
            "suggestExitNode": True,
            "tags": ["tag:relays-mullvad"],
            "location": {
                "country": "Sweden",
                "countryCode": "SE",
                "city": "Gothenburg (se-got-wg-000)",
                "cityCode": "SE-GOT-WG-000",
                "latitude": 57.70887,
                "longitude": 11.97456,
                "priority": 100,
            },
        },
    }
    assert body | expected == body


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ((), [BER, TYO, GOT, STO, NYC]),
        (("--country", "SE,germany"), [BER, GOT, STO]),
        (("--city", "tyo", "--city", "Berlin"), [BER, TYO]),
        (("--owned",), [BER, GOT, TYO]),
        (("--provider", "m247"), [STO, TYO]),
    ],
)
def test_relays_are_chosen(words: tuple[str, ...], chosen: list[str], tmp_path: Path) -> None:
    made = stage()
    run(made, tmp_path, *words)
    assert commands(made) == sorted(("register", name) for name in chosen)


def test_a_relay_that_is_not_active_is_left_out(tmp_path: Path) -> None:
    made = stage([row(2, FIVE[1])])
    said = run(made, tmp_path, relays=[{**one, "active": False} for one in FIVE[:2]])
    assert (said["relays"], said["gone"], commands(made)) == ([], [], [])


def test_each_command_has_an_id_made_of_the_one_given(tmp_path: Path) -> None:
    made = stage()
    run(made, tmp_path)
    ids = {headers["Nats-Msg-Id"] for subject, _, headers in made.requests if ".cmd." in subject}
    assert ids == {f"x-{name}" for name in (GOT, STO, BER, NYC, TYO)}


def test_more_commands_than_fly_at_once_are_all_sent(tmp_path: Path) -> None:
    many = [kit.relay(number) for number in range(IN_FLIGHT * 2 + 1)]
    made = stage()
    said = run(made, tmp_path, relays=many)
    assert said["counts"]["register"] == len(commands(made)) == len(many)


def test_done_again_nothing_is_sent(tmp_path: Path) -> None:
    made = stage([row(number, one) for number, one in enumerate(FIVE)])
    said = run(made, tmp_path)
    assert said["counts"] == {
        "register": 0,
        "known": 5,
        "rekey": 0,
        "gone": {"disable": 0, "remove": 0, "disabled": 0},
    }
    assert commands(made) == []
    assert [one["differences"] for one in said["relays"]] == [[]] * 5


def test_a_dry_run_sends_nothing(tmp_path: Path) -> None:
    made = stage([row(9, kit.relay(9))])
    said = run(made, tmp_path, "--dry-run")
    assert (said["counts"]["register"], said["counts"]["gone"]["disable"], commands(made)) == (5, 1, [])


def test_what_is_known_is_left_alone_and_differences_are_shown(tmp_path: Path) -> None:
    moved = row(1, FIVE[0], endpoints=["198.18.9.9:51820"], name="mine", disabled=True)
    said = run(stage([moved]), tmp_path, "--city", "got")
    assert said["relays"][0]["differences"] == [
        "name: mine; the list has se-got-wg-000",
        "endpoints: 198.18.9.9:51820; the list has 198.18.0.1:51820, [2001:db8::1]:51820",
        "state: disabled; the list has enabled",
    ]


GONE = [
    row(7, kit.relay(7)),
    row(8, kit.relay(8), connectedNodes=["1(laptop)"]),
    row(9, kit.relay(9), disabled=True),
    row(10, kit.relay(10), extraConfig={"tags": ["tag:relays-other"]}),
    row(11, kit.relay(11), extraConfig={}),
]


def test_who_is_gone_is_disabled_whatever_was_chosen_of_the_list(tmp_path: Path) -> None:
    made = stage([*GONE, row(1, FIVE[1])])
    run(made, tmp_path, "--city", "got")
    assert commands(made) == [("disable", 100_000_007), ("disable", 100_000_008), ("register", GOT)]


def test_prune_removes_who_is_gone_and_disables_who_is_connected(tmp_path: Path) -> None:
    made = stage(GONE)
    run(made, tmp_path, "--city", "got", "--prune")
    assert commands(made) == [
        *[("disable", 100_000_008), ("register", GOT)],
        *[("remove", 100_000_007), ("remove", 100_000_009)],
    ]
    sent = [subject.split(".")[-1] for subject, _, _ in made.requests if ".cmd." in subject]
    assert sent[-1] == "register"


@pytest.mark.parametrize("prune", [(), ("--prune",)])
def test_a_relay_with_a_new_key_gets_it_in_place(prune: tuple[str, ...], tmp_path: Path) -> None:
    renewed = kit.relay(0, "later")
    made = stage([row(1, FIVE[0], connectedNodes=["1(laptop)"])])
    assert run(made, tmp_path, *prune, relays=[renewed])["counts"]["rekey"] == 1
    assert commands(made) == [("update", 100_000_001)]
    wanted = {"publicKey": renewed["public_key"], "endpoints": ["198.18.0.1:51820", "[2001:db8::1]:51820"]}
    assert made.last[1] | wanted == made.last[1]


def test_a_peer_of_that_name_that_is_not_of_the_list_keeps_its_key(tmp_path: Path) -> None:
    made = stage([row(1, FIVE[0], extraConfig={})])
    run(made, tmp_path, relays=[kit.relay(0, "later")])
    assert commands(made) == [("register", GOT)]


def test_another_source_has_another_tag(tmp_path: Path) -> None:
    made = stage([row(7, kit.relay(7))])
    run(made, tmp_path, "--source", "mine", "--city", "got")
    assert commands(made) == [("register", GOT)]
    assert made.last[1]["extraConfig"]["tags"] == ["tag:relays-mine"]


def test_one_failure_does_not_stop_the_others_and_is_told(tmp_path: Path) -> None:
    made = stage()
    made.replies["peer.register"] = lambda body: (
        refused(409, "name.taken") if body["name"] == BER else accepted(100_000_001)
    )
    result = made.run("wg", "import-relays", file_of(tmp_path), "--user", "1")
    assert result.exit_code == 5
    assert len(commands(made)) == 5
    assert f"1 of 5 failed, 4 done; the first is {BER}: the value and the rule" in result.stderr


def test_warnings_of_one_kind_are_told_once(tmp_path: Path) -> None:
    made = stage()
    made.answers("peer.register", accepted(1, warnings=("key.clamped: looks so",)))
    result = made.run("wg", "import-relays", file_of(tmp_path), "--user", "1")
    lines = [line for line in result.stderr.splitlines() if "key.clamped" in line]
    assert len(lines) == 1
    assert lines[0].endswith("(and 4 more)")


def test_a_preview_counts_by_country(tmp_path: Path) -> None:
    result = stage([row(1, FIVE[0])]).run(
        "wg", "import-relays", file_of(tmp_path), "--user", "1", "--dry-run"
    )
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert ["Sweden", "2", "1", "1", "0", "0"] in lines
    assert lines[-1] == ["all", "5", "4", "1", "0", "0"]


@pytest.mark.parametrize(
    ("words", "said"), [(("--port", "54"), "4000-33433"), (("--source", "Not One"), "--source not-one")]
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    made = stage()
    result = made.run("wg", "import-relays", file_of(tmp_path), "--user", "1", *words)
    assert (result.exit_code, made.requests, said in result.stderr) == (2, [], True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a list of relays"),
        ("[]", "Expected `object`"),
        ("{}", "neither `locations` nor `countries`"),
        ('{"countries": []}', "no WireGuard relay"),
        ('{"countries": [{"name": 1}]}', "$.countries[0].name"),
        (kit.text(kit.listed([FIVE[0], FIVE[0]])), "is in this list twice"),
        (
            kit.text({"locations": {}, "wireguard": kit.listed(FIVE)["wireguard"]}),
            "not one of the list's locations",
        ),
    ],
)
def test_a_list_that_cannot_be_read_disables_nobody(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "relays.json"
    file.write_text(text)
    made = stage(GONE)
    result = made.run("wg", "import-relays", str(file), "--user", "1")
    assert (result.exit_code, made.requests) == (2, [])
    assert said in result.stderr


def test_a_key_may_be_where_older_caches_have_it() -> None:
    older = {**FIVE[0], "tunnels": {"wireguard": [{"public_key": FIVE[0]["public_key"]}]}}
    del older["public_key"]
    assert (
        read(kit.text(kit.public([FIVE[0]]))).relays[0].key
        == read(kit.text(kit.listed([older]))).relays[0].key
    )


def test_an_unspecified_address_is_no_endpoint() -> None:
    (one,) = read(kit.text(kit.listed([{**FIVE[0], "ipv6_addr_in": "::"}]))).relays
    assert one.addresses == ("198.18.0.1",)


def test_a_label_that_is_too_long_is_the_city_alone() -> None:
    (one,) = read(kit.text(kit.listed([FIVE[0]]))).relays
    assert city_label(one, "city") == "Gothenburg"
    assert city_label(one._replace(hostname="h" * 60), "host") == "Gothenburg"


def test_every_relay_of_a_city_has_a_code_of_its_own_unless_cities_are_wanted() -> None:
    (one,) = read(kit.text(kit.listed([FIVE[0]]))).relays
    two = one._replace(hostname="se-got-wg-001")
    assert city_code(one, "host") != city_code(two, "host")
    assert city_code(one, "city") == city_code(two, "city") == "GOT"
    assert city_code(one._replace(hostname="h" * 60), "host") == "GOT"


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["countries", "cities", "relays", "locations", "wireguard", "code"]), inner
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(ListFault):
        read(data)


_NUMBERS = st.sets(st.integers(0, 12))


@given(listed=_NUMBERS.filter(bool), there=_NUMBERS, renewed=_NUMBERS, prune=st.booleans())
def test_after_an_import_nothing_is_left_to_do(
    *, listed: set[int], there: set[int], renewed: set[int], prune: bool
) -> None:
    """Carry the plan out on rows, and plan again."""
    found = read(kit.text(kit.listed(kit.relay(n, "later" if n in renewed else "") for n in listed)))
    rows = {one["name"]: one for one in (row(number, kit.relay(number)) for number in sorted(there))}
    manner = MANNER._replace(prune=prune)
    first = plan(found, Filter(), manner, list(rows.values()))
    for gone in first.gone:
        if gone.what == "remove":
            del rows[gone.name]
        else:
            rows[gone.name]["disabled"] = True
    for number in listed:
        made = row(number, kit.relay(number, "later" if number in renewed else ""))
        rows[made["name"]] = {
            **made,
            **rows.get(made["name"], {}),
            "publicKeyBase64": made["publicKeyBase64"],
        }
    again = plan(found, Filter(), manner, list(rows.values()))
    assert {one.what for one in again.relays} <= {"known"}
    assert {gone.what for gone in again.gone} <= {"disabled"}
    assert {one.name for one in first.relays if one.what == "rekey"} == {
        kit.relay(number)["hostname"] for number in listed & there & renewed
    }
    assert not {gone.name for gone in first.gone} & {one.name for one in first.relays}


class Terminal(io.StringIO):
    """What is written to a person who watches."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "total", "watched"), [("table", 2, True), ("json", 2, False), ("table", 0, False)]
)
def test_a_person_who_watches_sees_a_bar(
    form: str, total: int, *, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(form, total) as step:
        step()
    assert ("relays" in terminal.getvalue()) == watched


def test_help_needs_nothing_heavy() -> None:
    code = "import sys; from click.testing import CliRunner; from frontends.cli.main import main; "
    code += "print(CliRunner().invoke(main, ['wg', '--help']).exit_code, "
    code += "{'msgspec', 'asyncio', 'rich', 'segno', 'engine.domain.commands'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "0 set()\n"


def test_keys_are_whole() -> None:
    found: RelayList = read(kit.text(kit.listed(FIVE)))
    one: Relay = found.relays[0]
    assert len(base64.b64decode(one.key)) == 32
