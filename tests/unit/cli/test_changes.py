"""What every changing command sends, word by word of the command line."""

import json
from typing import Any

import pytest

from tests.unit.cli.stage import NOW, Stage, accepted, refused

AS_EVER: dict[str, Any] = {"allowedIps": None, "jailed": None}
"""What stays of a connection that is updated."""
CASES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "user create alice --email a@b",
        "user.create",
        {"name": "alice", "displayName": "", "email": "a@b", "role": ""},
    ),
    (
        "user create alice --role admin",
        "user.create",
        {"name": "alice", "displayName": "", "email": "", "role": "admin"},
    ),
    ("user delete anna --force", "user.delete", {"user": "anna", "cascade": False}),
    ("user delete 1 --cascade --force", "user.delete", {"user": 1, "cascade": True}),
    ("user set-role 1 owner", "user.set-role", {"user": 1, "role": "owner"}),
    ("node tag laptop tag:a tag:b", "node.tag", {"node": "laptop", "tags": ["tag:a", "tag:b"]}),
    ("node tag -i 7 tag:a,tag:b", "node.tag", {"node": 7, "tags": ["tag:a", "tag:b"]}),
    ("node tag 7", "node.tag", {"node": 7, "tags": []}),
    (
        "node approve-routes 7 --routes 10.0.0.0/8,0.0.0.0/0 -r fd12::/16",
        "node.approve-routes",
        {"node": 7, "routes": ["10.0.0.0/8", "0.0.0.0/0", "fd12::/16"]},
    ),
    ("nodes approve-routes --identifier 7 --none", "node.approve-routes", {"node": 7, "routes": []}),
    (
        "settings set-domains a.example b.example",
        "settings.set-domains",
        {"domains": ["a.example", "b.example"]},
    ),
    ("settings set-domains", "settings.set-domains", {"domains": []}),
    ("settings set-auto-updates on", "settings.set-auto-updates", {"on": True}),
    ("settings set-wg-mode enforce", "settings.set-wg-mode", {"mode": "enforce"}),
    (
        "preauthkey create --user alice --reusable --tags tag:a,tag:b --expiration 24h",
        "authkey.create",
        {
            "user": "alice",
            "reusable": True,
            "ephemeral": False,
            "tags": ["tag:a", "tag:b"],
            "expiresInSeconds": 86_400,
        },
    ),
    ("preauthkeys expire 3", "authkey.expire", {"key": 3}),
    (
        "apikey create",
        "apikey.create",
        {"scope": "admin", "peer": None, "node": None, "expiresInSeconds": 7_776_000},
    ),
    (
        "apikeys create --scope export --peer exit --node 7 -e 1h",
        "apikey.create",
        {"scope": "export", "peer": "exit", "node": 7, "expiresInSeconds": 3_600},
    ),
    ("apikey expire 3", "apikey.expire", {"key": 3}),
    ("apikey expire --prefix 000000000001", "apikey.expire", {"key": "000000000001"}),
    ("apikeys delete 3", "apikey.delete", {"key": 3}),
    ("apikey rm hskey-api-0123456789ab", "apikey.delete", {"key": "hskey-api-0123456789ab"}),
    ("auth approve abc --user 1", "login.approve", {"login": "abc", "user": 1}),
    (
        "auth approve http://127.0.0.1:8080/register/abc -u alice",
        "login.approve",
        {"login": "abc", "user": "alice"},
    ),
    ("auth reject abc", "login.reject", {"login": "abc"}),
    ("node expire laptop", "node.expire", {"node": "laptop", "because": "operator"}),
    ("nodes expire -i 7", "node.expire", {"node": 7, "because": "operator"}),
    ("node set-expiry 7 --in 1h", "node.set-expiry", {"node": 7, "expiry": NOW + 3_600_000}),
    ("node set-expiry 7 --never", "node.set-expiry", {"node": 7, "expiry": 0}),
    ("node rename 7 desk", "node.rename", {"node": 7, "name": "desk"}),
    ("nodes rename --identifier 7 desk", "node.rename", {"node": 7, "name": "desk"}),
    ("node delete 7", "node.remove", {"node": 7}),
    ("node rm -i 7 --force", "node.remove", {"node": 7}),
    ("node delete 100000001", "peer.remove", {"peer": 100_000_001, "cascade": False}),
    ("node delete 100000001 --cascade", "peer.remove", {"peer": 100_000_001, "cascade": True}),
    ("node rename 100000001 oslo", "peer.rename", {"peer": 100_000_001, "name": "oslo"}),
    ("node expire 100000001", "peer.expire", {"peer": 100_000_001}),
    ("node tag 100000001 tag:a,tag:b", "peer.set-tags", {"peer": 100_000_001, "tags": ["tag:a", "tag:b"]}),
    ("wg remove mullvad-exit", "peer.remove", {"peer": "mullvad-exit", "cascade": False}),
    ("peer rm exit --cascade --force", "peer.remove", {"peer": "exit", "cascade": True}),
    (
        "wg update exit --endpoints 1.2.3.4:1,1.2.3.5:1",
        "peer.update",
        {
            "peer": "exit",
            "publicKey": None,
            "allowedIps": None,
            "endpoints": ["1.2.3.4:1", "1.2.3.5:1"],
            "extraConfig": None,
            "provider": None,
            "managedBy": None,
        },
    ),
    (
        'wg update -i 100000001 --public-key K --allowed-ips ::/0 --extra-config {"tags":null}',
        "peer.update",
        {
            "peer": 100_000_001,
            "publicKey": "K",
            "allowedIps": ["::/0"],
            "endpoints": None,
            "extraConfig": {"tags": None},
            "provider": None,
            "managedBy": None,
        },
    ),
    ("wg rename exit sto-1", "peer.rename", {"peer": "exit", "name": "sto-1"}),
    ("wg set-tags exit tag:a,tag:b", "peer.set-tags", {"peer": "exit", "tags": ["tag:a", "tag:b"]}),
    ("wg set-tags exit", "peer.set-tags", {"peer": "exit", "tags": []}),
    ("wg move exit 2", "peer.move", {"peer": "exit", "user": 2}),
    ("wg drain exit", "peer.drain", {"peer": "exit"}),
    ("wg undrain exit", "peer.undrain", {"peer": "exit"}),
    (
        "wg backend set exit spare --public-key K --endpoints a.example.org:1+2,192.0.2.1:3 --resolvers 10.64.0.1",
        "peer.backend-set",
        {
            "peer": "exit",
            "backend": "spare",
            "publicKey": "K",
            "endpoints": ["a.example.org:1+2", "192.0.2.1:3"],
            "resolvers": ["10.64.0.1"],
        },
    ),
    (
        "wg backend set exit spare --public-key K --endpoints 192.0.2.1:3",
        "peer.backend-set",
        {
            "peer": "exit",
            "backend": "spare",
            "publicKey": "K",
            "endpoints": ["192.0.2.1:3"],
            "resolvers": None,
        },
    ),
    ("wg backend remove exit spare", "peer.backend-remove", {"peer": "exit", "backend": "spare"}),
    ("wg switch exit spare", "peer.switch", {"peer": "exit", "backend": "spare"}),
    (
        "wg set-masq-pool exit --ipv4 10.64.0.0/24",
        "peer.set-masq-pool",
        {"peer": "exit", "ipv4": "10.64.0.0/24", "ipv6": ""},
    ),
    ("wg set-masq-pool exit --none", "peer.set-masq-pool", {"peer": "exit", "ipv4": "", "ipv6": ""}),
    (
        "connection add --node-id 1 --wg-peer-id exit --allowed-ips 10.9.0.0/24,10.8.0.0/24 --unjailed",
        "connection.add",
        {
            "node": 1,
            "peer": "exit",
            "ipv4MasqAddr": "",
            "ipv6MasqAddr": "",
            "allowedIps": ["10.9.0.0/24", "10.8.0.0/24"],
            "jailed": False,
        },
    ),
    (
        "connection update --node-id 1 --wg-peer-id exit --all-allowed-ips --jailed",
        "connection.update",
        {
            "node": 1,
            "peer": "exit",
            "ipv4MasqAddr": "",
            "ipv6MasqAddr": "",
            "allowedIps": [],
            "jailed": True,
        },
    ),
    (
        "node update-wg-connection --node-id 1 --wg-peer-id exit --ipv6-masq-addr fc00::1",
        "connection.update",
        {"node": 1, "peer": "exit", "ipv4MasqAddr": "", "ipv6MasqAddr": "fc00::1", **AS_EVER},
    ),
    (
        "connection update --node-id 1 --wg-peer-id exit --ipv4-masq-addr 10.0.0.1",
        "connection.update",
        {"node": 1, "peer": "exit", "ipv4MasqAddr": "10.0.0.1", "ipv6MasqAddr": "", **AS_EVER},
    ),
    (
        "connection add-selector --selector tag:web --wg-peer-id exit",
        "connection.add-selector",
        {"selector": "tag:web", "peer": "exit", "allowedIps": None, "jailed": True},
    ),
    (
        "connection remove-selector --selector anna --wg-peer-id exit",
        "connection.remove-selector",
        {"selector": "anna", "peer": "exit"},
    ),
    ("settings set-domain example.net", "settings.set-domain", {"domain": "example.net"}),
    (
        "settings set-pools --nodes-v4 a --nodes-v6 b --peers-v4 c --peers-v6 d",
        "settings.set-pools",
        {"nodesV4": "a", "nodesV6": "b", "peersV4": "c", "peersV6": "d"},
    ),
]


@pytest.mark.parametrize(("line", "name", "body"), CASES, ids=[line for line, _, _ in CASES])
def test_a_line_becomes_a_command(line: str, name: str, body: dict[str, Any]) -> None:
    stage = Stage()
    result = stage.run(*line.split())
    assert result.exit_code == 0, result.output
    assert stage.last == (f"netmap.v1.default.cmd.{name}", body)
    assert "42" in result.output


def test_the_reason_the_id_and_the_deadline_are_headers() -> None:
    stage = Stage()
    stage.run("user", "create", "alice", "--reason", "new hire", "--id", "hire-1", "--timeout", "2")
    ((_, body, headers),) = stage.requests
    assert headers == {
        "Nats-Msg-Id": "hire-1",
        "Netmap-Reason": "new hire",
        "Netmap-Deadline": str(NOW + 10_000),
    }
    assert "reason" not in body


def test_without_an_id_a_fresh_one_is_sent() -> None:
    stage = Stage()
    stage.run("user", "create", "alice")
    assert stage.requests[0][2]["Nats-Msg-Id"] == "id-1"


def test_the_tailnet_is_part_of_the_subject() -> None:
    stage = Stage()
    stage.run("user", "create", "alice", "--tailnet", "lab")
    assert stage.last[0] == "netmap.v1.lab.cmd.user.create"


def test_the_table_form_of_a_new_key_is_the_key_alone() -> None:
    stage = Stage()
    stage.answers("authkey.create", accepted(1, result={"key": "nmkey-1-secret"}))
    result = stage.run("preauthkey", "create", "--user", "alice")
    assert result.stdout == "nmkey-1-secret\n"
    assert "tailscale up --login-server" in result.stderr
    assert "secret" not in result.stderr, "stderr is what ends up in the logs of scripts"


def test_the_table_form_of_a_new_api_key_is_the_key_alone() -> None:
    stage = Stage()
    stage.answers("apikey.create", accepted(1, result={"key": "hskey-api-0-secret"}))
    result = stage.run("apikey", "create", "--scope", "export", "--peer", "exit")
    assert result.stdout == "hskey-api-0-secret\n"
    assert "/wg/export/exit" in result.stderr
    assert "secret" not in result.stderr


def test_which_key_is_not_repeated_when_there_are_two() -> None:
    result = Stage().run("apikey", "expire", "secret-1", "secret-2")
    assert result.exit_code == 2
    assert "secret" not in result.output


def test_all_that_a_node_offers_is_approved_beside_what_it_may_already() -> None:
    stage = Stage()
    node = {"id": 7, "advertised": ["10.0.0.0/8", "::/0"], "approved": ["10.0.0.0/8", "172.16.0.0/12"]}
    stage.answers("node.get", {"position": 1, "node": node})
    assert stage.run("node", "approve-routes", "7", "--all").exit_code == 0
    assert stage.requests[0][:2] == ("netmap.v1.default.q.node.get", {"node": 7})
    assert stage.last[1]["routes"] == ["10.0.0.0/8", "172.16.0.0/12", "::/0"]


def test_a_warning_goes_to_stderr() -> None:
    stage = Stage()
    stage.answers("user.create", accepted(1, warnings=("the name looks like a number",)))
    result = stage.run("user", "create", "alice", "-o", "json")
    assert "warning: the name looks like a number" in result.stderr
    assert result.stdout.startswith("{")


def test_a_name_that_is_no_node_may_be_a_peer() -> None:
    stage = Stage()
    stage.answers("node.remove", refused(404))
    result = stage.run("node", "delete", "mullvad-exit")
    assert result.exit_code == 0
    assert stage.last == ("netmap.v1.default.cmd.peer.remove", {"peer": "mullvad-exit", "cascade": False})
    assert stage.requests[1][2]["Nats-Msg-Id"] != stage.requests[0][2]["Nats-Msg-Id"]


def test_a_name_that_is_neither_node_nor_peer_is_not_found() -> None:
    stage = Stage()
    stage.answers("node.remove", refused(404, "node.not_found"))
    stage.answers("peer.remove", refused(404, "peer.not_found"))
    result = stage.run("node", "delete", "nobody")
    assert result.exit_code == 4
    assert "node.not_found" in result.stderr


@pytest.mark.parametrize(
    "line",
    [
        "node rename 7",
        "node expire",
        "node expire 1 2",
        "node set-expiry 1",
        "node expire -i 1 2",
        "node tag",
        "node approve-routes 7",
        "node approve-routes --none",
        "node approve-routes 7 --all --none",
        "node list-routes 1 2",
        "user set-role 1",
    ],
)
def test_too_few_or_too_many_words_are_a_usage_error(line: str) -> None:
    stage = Stage()
    assert stage.run(*line.split()).exit_code == 2
    assert not stage.requests


@pytest.mark.parametrize(
    ("words", "environment", "sent"),
    [
        ((), {}, None),
        (("--strict",), {}, "1"),
        ((), {"NETMAP_STRICT": "1"}, "1"),
        ((), {"NETMAP_STRICT": "0"}, None),
    ],
)
def test_strictness_is_a_header(
    words: tuple[str, ...], environment: dict[str, str], sent: str | None
) -> None:
    stage = Stage()
    stage.run("user", "create", "alice", *words, **environment)
    _, body, headers = stage.requests[-1]
    assert headers.get("Netmap-Strict") == sent
    assert "strict" not in body


@pytest.mark.parametrize(
    ("line", "node", "peer"),
    [
        ("node rename exit oslo", "node.rename", "peer.rename"),
        ("node expire exit", "node.expire", "peer.expire"),
        ("node tag exit tag:a", "node.tag", "peer.set-tags"),
    ],
)
def test_what_is_said_of_a_node_is_said_of_a_peer_if_no_node_is_called_so(
    line: str, node: str, peer: str
) -> None:
    stage = Stage()
    assert stage.run(*line.split()).exit_code == 0
    assert stage.last[0].endswith(node)
    stage.answers(node, refused(404, "node.not_found"))
    assert stage.run(*line.split()).exit_code == 0
    assert stage.last[0].endswith(peer)


def test_a_peer_is_shown_by_its_id_its_name_or_its_key() -> None:
    stage = Stage()
    stage.answers("node.get", refused(404, "node.not_found"))
    stage.answers("peer.list", {"position": 1, "peers": [{"id": 100_000_001, "name": "exit"}]})
    for which in ("100000001", "exit", "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8="):
        result = stage.run("node", "get", which, "-o", "json")
        assert json.loads(result.stdout)["name"] == "exit"
    stage.answers("peer.list", refused(404, "peer.not_found"))
    assert "node.not_found" in stage.run("node", "get", "nobody").stderr
