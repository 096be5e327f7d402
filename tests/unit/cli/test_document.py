"""The examples of the user's document, as a shell splits them, with `netmap` for `headscale`."""

import shlex

import pytest

from tests.unit.cli.stage import Stage, accepted

REGISTER = r"""
$ headscale node register-wg-only \
    --name "mullvad-exit" \
    --user 1 \
    --public-key "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=" \
    --allowed-ips "0.0.0.0/0,::/0" \
    --endpoints "1.2.3.4:51820" \
    --extra-config '{"suggestExitNode": true}'
"""
CONNECT = r"""
$ headscale node add-wg-connection \
    --node-id 1 \
    --wg-peer-id 100000001 \
    --ipv4-masq-addr "10.64.0.100"

$ headscale node add-wg-connection \
    --node-id 2 \
    --wg-peer-id 100000001 \
    --ipv4-masq-addr "10.64.0.101"
    --ipv6-masq-addr "ff02:b::11"
"""
DISCONNECT = r"""
$ headscale node remove-wg-connection \
    --node-id 1 \
    --wg-peer-id 100000001
"""
AS_EVER = {"allowedIps": None, "jailed": True}


def commands(block: str) -> list[list[str]]:
    """Split a console block as a shell does: the words after the program's name, one list for each `$` line."""
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("$ ")]


def test_the_peer_of_the_document_is_registered() -> None:
    stage = Stage()
    stage.answers("peer.register", accepted(100_000_001, result={"ipv4": "100.96.0.1"}))
    (words,) = commands(REGISTER)
    result = stage.run(*words)
    assert result.exit_code == 0, result.output
    assert stage.last == (
        "netmap.v1.default.cmd.peer.register",
        {
            "name": "mullvad-exit",
            "user": 1,
            "publicKey": "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8=",
            "allowedIps": ["0.0.0.0/0", "::/0"],
            "endpoints": ["1.2.3.4:51820"],
            "extraConfig": {"suggestExitNode": True},
            "provider": None,
            "managedBy": "",
        },
    )


def test_the_answer_to_a_registration_tells_the_id_the_address_and_the_next_step() -> None:
    stage = Stage()
    stage.answers("peer.register", accepted(100_000_001, result={"ipv4": "100.96.0.1"}))
    result = stage.run(*commands(REGISTER)[0])
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["id", "100000001"],
        ["name", "mullvad-exit"],
        ["ipv4", "100.96.0.1"],
        ["position", "42"],
    ]
    assert "netmap node add-wg-connection --node-id NODE --wg-peer-id 100000001" in result.stderr


def test_the_connections_of_the_document_are_added() -> None:
    stage = Stage()
    first, second = commands(CONNECT)
    assert stage.run(*first).exit_code == 0
    assert stage.run(*second).exit_code == 0
    sent = [(subject, body) for subject, body, _ in stage.requests if ".cmd." in subject]
    assert [body for _, body in sent] == [
        {"node": 1, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": "", **AS_EVER},
        {"node": 2, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.101", "ipv6MasqAddr": "", **AS_EVER},
    ]
    assert {subject for subject, _ in sent} == {"netmap.v1.default.cmd.connection.add"}


def test_with_the_backslash_that_the_document_lacks_both_addresses_are_sent() -> None:
    stage = Stage()
    _, second = commands(CONNECT.replace('"10.64.0.101"', '"10.64.0.101" \\'))
    assert stage.run(*second).exit_code == 0
    assert stage.last[1] == {
        "node": 2,
        "peer": 100_000_001,
        "ipv4MasqAddr": "10.64.0.101",
        "ipv6MasqAddr": "ff02:b::11",
        **AS_EVER,
    }


def test_the_connection_of_the_document_is_removed() -> None:
    stage = Stage()
    assert stage.run(*commands(DISCONNECT)[0]).exit_code == 0
    assert stage.last == ("netmap.v1.default.cmd.connection.remove", {"node": 1, "peer": 100_000_001})


def test_nodes_is_another_word_for_node() -> None:
    stage = Stage()
    words = commands(DISCONNECT)[0]
    assert stage.run("nodes", *words[1:]).exit_code == 0
    assert stage.last[0] == "netmap.v1.default.cmd.connection.remove"


@pytest.mark.parametrize(
    "prefixes", [["0.0.0.0/0,::/0"], ["0.0.0.0/0, ::/0"], ["0.0.0.0/0", "::/0"], [" 0.0.0.0/0,::/0,"]]
)
def test_lists_have_commas_with_or_without_spaces_and_flags_may_repeat(prefixes: list[str]) -> None:
    stage = Stage()
    words = [
        "node",
        "register-wg-only",
        "--name",
        "a",
        "--user",
        "alice",
        "--public-key",
        "k",
        "--endpoints",
        "e",
    ]
    for prefix in prefixes:
        words += ["--allowed-ips", prefix]
    assert stage.run(*words).exit_code == 0
    assert stage.last[1]["allowedIps"] == ["0.0.0.0/0", "::/0"]
    assert stage.last[1]["user"] == "alice"


def test_the_extra_config_of_the_document_goes_through_whole() -> None:
    extra = """{
    "exitNodeDNSResolvers": ["10.64.0.1"],
    "suggestExitNode": true,
    "location": {"country": "Sweden", "countryCode": "SE", "city": "Stockholm", "cityCode": "sto",
                 "latitude": 59.3293, "longitude": 18.0686, "priority": 100}
}"""
    stage = Stage()
    words = commands(REGISTER)[0]
    assert stage.run(*words[:-1], extra).exit_code == 0
    assert stage.last[1]["extraConfig"]["location"]["latitude"] == 59.3293


@pytest.mark.parametrize("flag", ["--name", "--user", "--public-key", "--allowed-ips", "--endpoints"])
def test_what_the_document_calls_required_is_required(flag: str) -> None:
    words = commands(REGISTER)[0]
    at = words.index(flag)
    result = Stage().run(*words[:at], *words[at + 2 :])
    assert result.exit_code == 2
    assert flag in result.stderr


@pytest.mark.parametrize(("text", "said"), [("{", "not JSON"), ("[1]", "not a JSON object")])
def test_an_extra_config_that_is_no_object_is_a_usage_error(text: str, said: str) -> None:
    stage = Stage()
    result = stage.run(*commands(REGISTER)[0][:-1], text)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not stage.requests
