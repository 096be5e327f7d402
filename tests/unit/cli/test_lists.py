"""What is asked, and how answers look in each form."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from frontends.cli.output import timed
from tests.unit.cli.stage import NOW, Stage, refused

KEY = "nodekey:" + "ab" * 32
NODES = [
    {
        "id": 7,
        "name": "laptop",
        "user": 1,
        "userName": "alice",
        "ipv4": "100.64.0.1",
        "ipv6": "fd7a:115c:a1e0:1::1",
        "nodeKey": KEY,
        "expiry": NOW + 7_200_000,
        "expired": False,
        "online": True,
    }
]
PEERS = [
    {
        "id": 100_000_001,
        "name": "mullvad-exit",
        "user": 1,
        "publicKey": KEY,
        "allowedIps": ["0.0.0.0/0"],
        "connectedNodes": ["7(laptop)"],
        "extraConfig": {"suggestExitNode": True},
    }
]
CONNECTIONS = [
    {"node": 7, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": "fc00::64"},
    {"node": 9, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.101"},
    {"node": 7, "peer": 100_000_002, "ipv4MasqAddr": "10.64.0.102"},
]


def stage() -> Stage:
    made = Stage()
    made.answers("node.list", {"position": 9, "nodes": NODES})
    made.answers("peer.list", {"position": 8, "peers": PEERS})
    made.answers("connection.list", {"position": 8, "connections": CONNECTIONS})
    return made


def test_a_table_is_narrow_with_short_keys_and_relative_times() -> None:
    result = stage().run("node", "ls")
    head, line, *_ = result.stdout.splitlines()
    assert head.split()[:3] == ["ID", "NAME", "USER"]
    assert line.split() == [
        *["7", "laptop", "alice", "100.64.0.1,", "fd7a:115c:a1e0:1::1"],
        *["nodekey:abababab…", "online", "in", "2", "h"],
    ]
    assert len(line) <= 100


def test_a_wide_table_is_cut_never_wrapped() -> None:
    made = Stage()
    made.answers(
        "node.list", {"position": 1, "nodes": [{**NODES[0], "name": "n" * 80, "userName": "u" * 80}]}
    )
    lines = made.run("node", "list").stdout.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) == 100


SHOWN = [{**row, "expiry": "2027-01-15T10:00:00.000Z" if row["expiry"] else None} for row in NODES]


def test_json_is_an_array_and_nothing_else_is_on_stdout() -> None:
    made = stage()
    made.answers("auth.list", {"position": 1})
    shown = json.loads(made.run("wg", "list", "-o", "json").stdout)
    assert [row["id"] for row in shown] == [100_000_001]


def test_the_list_of_nodes_carries_peers_and_connections_under_the_names_that_tools_read() -> None:
    """Scenario N7."""
    document = json.loads(stage().run("node", "list", "-o", "json").stdout)
    assert list(document) == ["nodes", "wireguard_only_peers", "wireguard_connections"]
    assert document["nodes"] == SHOWN
    (peer,) = document["wireguard_only_peers"]
    assert (peer["id"], peer["name"], peer["user_id"]) == (100_000_001, "mullvad-exit", 1)
    assert (peer["public_key"], json.loads(peer["extra_config"])) == (KEY, {"suggestExitNode": True})
    first = {"node_id": 7, "wg_peer_id": 100_000_001}
    masquerade = {"ipv4_masq_addr": "10.64.0.100", "ipv6_masq_addr": "fc00::64"}
    assert document["wireguard_connections"][0] == {**first, **masquerade}
    assert len(document["wireguard_connections"]) == 3


def test_of_one_user_only_its_own_are_listed() -> None:
    made = stage()
    document = json.loads(made.run("node", "list", "--user", "alice", "-o", "json").stdout)
    asked = {subject.rpartition(".q.")[2]: body for subject, body, _ in made.requests}
    assert asked["node.list"] == asked["peer.list"] == {"user": "alice"}
    assert [row["node_id"] for row in document["wireguard_connections"]] == [7, 9, 7]
    made.answers("node.list", {"position": 9, "nodes": []})
    document = json.loads(made.run("node", "list", "--user", "alice", "-o", "json").stdout)
    assert [row["wg_peer_id"] for row in document["wireguard_connections"]] == [100_000_001, 100_000_001]


def test_a_second_table_shows_the_peers_and_who_is_connected() -> None:
    _, _, empty, title, head, line = stage().run("node", "list").stdout.splitlines()
    assert (empty, title) == ("", "WireGuard-only peers")
    assert head.split()[:3] == ["ID", "NAME", "USER"]
    assert "CONNECTED" in head
    assert "7(laptop)" in line
    assert len(line) <= 100


def test_json_lines_are_one_for_each_item() -> None:
    for form in ("jsonl", "json-line"):
        assert [
            json.loads(line) for line in stage().run("node", "list", "-o", form).stdout.splitlines()
        ] == SHOWN


def test_yaml_is_the_same() -> None:
    assert yaml.safe_load(stage().run("node", "list", "--output", "yaml").stdout)["nodes"] == SHOWN


def test_a_list_of_many_pages_is_one_list() -> None:
    made = Stage()
    pages = {None: ([1, 2], 2), 2: ([5], 5), 5: ([7], None)}

    def page(body: dict[str, Any]) -> object:
        ids, following = pages[body.get("after")]
        return {"position": 9, "users": [{"id": number} for number in ids], "next": following}

    made.replies["user.list"] = page
    result = made.run("user", "list", "-o", "jsonl")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [1, 2, 5, 7]
    assert [body.get("minPosition") for _, body, _ in made.requests] == [None, 9, 9]


def test_an_empty_list_says_so_beside_the_data() -> None:
    made = Stage()
    made.answers("user.list", {"position": 1, "users": []})
    result = made.run("user", "list")
    assert result.stdout == ""
    assert "netmap user create NAME" in result.stderr
    assert json.loads(made.run("user", "list", "-o", "json").stdout) == []


@pytest.mark.parametrize(
    ("line", "name", "body"),
    [
        ("node list --user alice", "node.list", {"user": "alice"}),
        ("preauthkey list -u 1", "authkey.list", {"user": 1}),
        ("node get laptop", "node.get", {"node": "laptop"}),
        ("connection list --node 7 --peer exit", "connection.list", {"node": 7, "peer": "exit"}),
        ("auth list", "login.list", {}),
        ("netmap show --node 7 --at -2h", "netmap.get", {"node": 7, "at": "-2h"}),
        ("netmap show --node 7 --at 41", "netmap.get", {"node": 7, "at": 41}),
        (
            "events list --after 5 --limit 2 --type PeerRegistered,UserCreated.v1",
            "event.list",
            {"after": 5, "limit": 2, "types": ["PeerRegistered", "UserCreated.v1"], "receipts": False},
        ),
        (
            "events list --actor api-* --node 7 --since -2h --until 90 --grep exit --command c1 --receipts",
            "event.list",
            {
                "last": True,
                "limit": 100,
                "types": [],
                "actor": "api-*",
                "node": 7,
                "since": "-2h",
                "until": 90,
                "text": "exit",
                "id": "c1",
                "receipts": True,
            },
        ),
        ("settings get", "settings.get", {}),
        ("provider list", "provider.list", {}),
    ],
)
def test_a_line_becomes_a_question(line: str, name: str, body: dict[str, Any]) -> None:
    made = Stage()
    made.answers(name, {"position": 1})
    result = made.run(*line.split())
    assert result.exit_code == 0, result.output
    subject, asked, _ = made.requests[0]
    assert (subject, asked) == (f"netmap.v1.default.q.{name}", body)


ROUTER = {
    **NODES[0],
    "advertised": ["10.0.0.0/8", "192.168.0.0/16"],
    "approved": ["10.0.0.0/8", "::/0"],
    "tags": ["tag:router"],
}


@pytest.mark.parametrize("words", [("node", "list-routes"), ("node", "routes", "laptop")])
def test_routes_are_listed_with_what_becomes_of_them(words: tuple[str, ...]) -> None:
    made = Stage()
    made.answers("node.list", {"position": 1, "nodes": [ROUTER, NODES[0]]})
    made.answers("node.get", {"position": 1, "node": ROUTER})
    _, *lines = made.run(*words).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["7", "laptop", "tag:router", "10.0.0.0/8", "yes", "yes", "yes"],
        ["7", "laptop", "tag:router", "192.168.0.0/16", "yes", "no", "no"],
        ["7", "laptop", "tag:router", "::/0", "no", "yes", "no"],
    ]
    rows = json.loads(made.run(*words, "-o", "json").stdout)
    assert rows[1] == {
        "node": 7,
        "name": "laptop",
        "userName": "alice",
        "tags": ["tag:router"],
        "route": "192.168.0.0/16",
        "offered": True,
        "approved": False,
        "serving": False,
    }


def test_without_routes_the_next_step_is_told() -> None:
    result = stage().run("node", "list-routes")
    assert (result.stdout, "--advertise-routes" in result.stderr) == ("", True)


def test_a_tagged_node_is_shown_with_its_tags() -> None:
    made = Stage()
    made.answers("node.list", {"position": 1, "nodes": [ROUTER]})
    assert made.run("node", "list").stdout.splitlines()[1].split()[:3] == ["7", "laptop", "tag:router"]


def test_a_host_name_cannot_steer_the_terminal() -> None:
    made = Stage()
    made.answers("node.list", {"position": 1, "nodes": [{**NODES[0], "name": "a\x1b[31m\nb"}]})
    result = made.run("node", "list")
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_a_peer_is_found_by_its_name() -> None:
    result = stage().run("wg", "get", "mullvad-exit", "-o", "json")
    assert json.loads(result.stdout)["id"] == 100_000_001


def test_a_peer_that_is_not_there_is_not_found() -> None:
    made = stage()
    made.answers("peer.list", {"position": 8, "peers": []})
    result = made.run("wg", "get", "nothing")
    assert result.exit_code == 4
    assert "netmap wg list" in result.stderr


def test_a_netmap_shows_nodes_and_wireguard_only_peers() -> None:
    made = Stage()
    peer = {**PEERS[0], "ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": ""}
    made.answers(
        "netmap.get",
        {"position": 5, "self": {"id": 8, "name": "desk"}, "peers": NODES, "wireguardOnlyPeers": [peer]},
    )
    result = made.run("netmap", "show", "--node", "8")
    _, node, wireguard = result.stdout.splitlines()
    assert node.split()[:3] == ["7", "laptop", "node"]
    assert wireguard.split()[:3] == ["100000001", "mullvad-exit", "WireGuard-only"]
    assert "10.64.0.100" in wireguard
    assert "position 5" in result.stderr


def test_tail_begins_now_and_goes_on_from_the_last_position() -> None:
    made = Stage()
    made.answers("head.get", {"epoch": "e", "position": 5})
    pages: dict[int, list[dict[str, Any]]] = {
        5: [{"position": 6, "type": "UserCreated.v1"}],
        6: [{"position": 9, "type": "PeerRegistered.v1"}],
        9: [],
    }
    made.replies["event.list"] = lambda body: {"position": 9, "events": pages[body["after"]]}
    result = made.run("events", "tail", "--until-idle", "-o", "json")
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["position"] for line in result.stdout.splitlines()] == [6, 9]


CHANGES = [
    {"what": "changed", "kind": "netmap", "name": "rules", "before": [], "after": [{}]},
    {"what": "removed", "kind": "node", "id": 9, "name": "old", "before": {"ipv4": "100.64.0.9"}},
    {"what": "added", "kind": "node", "id": 8, "name": "desk", "after": {"ipv4": "100.64.0.8"}},
    {
        "what": "changed",
        "kind": "node",
        "id": 7,
        "name": "b",
        "before": {"name": "a"},
        "after": {"name": "b"},
    },
]


def differing() -> Stage:
    made = Stage()
    ends = {"from": {"position": 3, "isThere": True}, "to": {"position": 9, "isThere": True}}
    made.answers("netmap.diff", {"position": 9, "node": 1, "changes": CHANGES, "next": None, **ends})
    return made


def test_a_difference_is_a_table_of_what_came_went_and_changed() -> None:
    result = differing().run("netmap", "diff", "--node", "laptop", "--from", "-2h")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()[1:]]
    assert [line[0] for line in lines] == ["~", "-", "+", "~"]
    assert "a → b" in result.stdout
    assert "from 3 to 9" in result.stderr


def test_a_difference_is_a_json_patch() -> None:
    result = differing().run("netmap", "diff", "--node", "1", "--from", "3", "--to", "9", "--patch")
    assert json.loads(result.stdout) == [
        {"op": "replace", "path": "/netmap/rules", "value": [{}]},
        {"op": "remove", "path": "/node/9"},
        {"op": "add", "path": "/node/8", "value": {"ipv4": "100.64.0.8"}},
        {"op": "replace", "path": "/node/7/name", "value": "b"},
    ]


EVENT = {
    "position": 6,
    "type": "PeerRegistered.v1",
    "stream": "peer/1",
    "version": 1,
    "at": 1_700_000_000_000,
    "actor": "operator",
    "commandId": "c1",
    "cause": "",
    "reason": "=new exit",
    "digest": "ab",
    "event": {"type": "PeerRegistered.v1", "name": "x"},
    "text": "registered peer 1 x",
}


def test_events_say_who_did_what_and_why_and_how_to_go_on() -> None:
    made = Stage()
    made.answers("event.list", {"position": 9, "events": [EVENT], "next": None, "previous": 6})
    result = made.run("events", "list")
    assert "registered peer 1 x" in result.stdout
    assert "operator" in result.stdout
    assert "more: --before 6" in result.stderr


def test_one_event_is_shown_whole() -> None:
    made = Stage()
    made.answers("event.list", {"position": 9, "events": [EVENT]})
    shown = made.run("events", "show", "6")
    assert "operator registered peer 1 x" in shown.stdout
    assert "event.name" in shown.stdout
    assert made.run("events", "show", "5").exit_code == 4


def test_an_export_has_every_page_once_and_stops_at_the_present() -> None:
    made = Stage()
    made.answers("head.get", {"epoch": "e", "position": 7})
    pages: dict[int, dict[str, Any]] = {
        0: {"events": [EVENT], "next": 6},
        6: {"events": [{**EVENT, "position": 7}, {**EVENT, "position": 8}], "next": None},
    }
    made.replies["event.list"] = lambda body: {"position": 9, **pages[body["after"]]}
    result = made.run("events", "export")
    assert [json.loads(line)["position"] for line in result.stdout.splitlines()] == [6, 7]


def test_a_spreadsheet_takes_no_reason_for_a_formula(tmp_path: Path) -> None:
    made = Stage()
    made.answers("head.get", {"epoch": "e", "position": 7})
    made.answers("event.list", {"position": 9, "events": [EVENT], "next": None})
    out = tmp_path / "events.csv"
    result = made.run("events", "export", "--format", "csv", "--out", str(out))
    assert result.exit_code == 0, result.output
    head, row = csv.reader(out.read_text().splitlines())
    assert dict(zip(head, row, strict=True))["reason"] == "'=new exit"
    assert [file.name for file in tmp_path.iterdir()] == ["events.csv"]


def test_health_names_who_is_missing() -> None:
    made = Stage()
    made.answers("login.list", {"position": 4, "logins": []})
    made.answers("head.get", refused(503, "query.behind"))
    result = made.run("health", "-o", "json")
    assert result.exit_code == 6
    assert [(row["part"], row["ok"]) for row in json.loads(result.stdout)] == [
        ("nats", True),
        ("engine", True),
        ("projection", False),
    ]


def test_times_in_a_document_are_text_but_an_event_s_own_data_stays_as_stored() -> None:
    said = {"at": 1_800_007_200_000, "expiry": 0, "event": {"expiry": 5}, "rows": [{"created": 1}], "id": 7}
    assert timed(said) == {
        "at": "2027-01-15T10:00:00.000Z",
        "expiry": None,
        "event": {"expiry": 5},
        "rows": [{"created": "1970-01-01T00:00:00.001Z"}],
        "id": 7,
    }
