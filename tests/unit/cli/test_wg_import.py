"""wg-quick files: what is taken of them, what is refused, and that no private key gets anywhere."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.farside.plan import label
from frontends.farside.wgfile import Fault, read, shown
from tests.unit.cli.stage import Stage, accepted, refused

SECRET = base64.b64encode(b"\x07secret\xff" * 4).decode()
SHARED = base64.b64encode(b"\x01shared\xfe" * 4).decode()
KEY = "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8="
OTHER = base64.b64encode(b"\x09" * 32).decode()
FILE = f"""\
[Interface]
PrivateKey = {SECRET}
Address = 10.64.0.100/32,fc00:bbbb::64/128
DNS = 10.64.0.1, example.org
MTU = 1380

[Peer]  # of a provider
PublicKey = {KEY}
AllowedIPs = 0.0.0.0/0, ::0/0
Endpoint = 192.0.2.1:51820
PersistentKeepalive = 25
"""
REGISTERED = {
    "name": "se-got",
    "user": "alice",
    "publicKey": KEY,
    "allowedIps": ["0.0.0.0/0", "::/0"],
    "endpoints": ["192.0.2.1:51820"],
    "extraConfig": {"exitNodeDNSResolvers": ["10.64.0.1"]},
}
ROW = {
    "id": 100_000_001,
    "name": "mullvad-exit",
    "publicKeyBase64": KEY,
    "allowedIps": ["0.0.0.0/0", "::/0"],
    "endpoints": ["192.0.2.1:51820"],
    "extraConfig": {"exitNodeDNSResolvers": ["10.64.0.1"]},
}


def stage(
    peers: list[dict[str, Any]] | None = None, connections: list[dict[str, Any]] | None = None
) -> Stage:
    made = Stage()
    made.answers("peer.list", {"position": 8, "peers": peers or []})
    made.answers("connection.list", {"position": 8, "connections": connections or []})
    made.answers("peer.register", accepted(100_000_001))
    return made


def file_of(folder: Path, text: str = FILE, name: str = "se-got.conf") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def commands(made: Stage) -> list[tuple[str, dict[str, Any]]]:
    return [(".".join(s.split(".")[-2:]), body) for s, body, _ in made.requests if ".cmd." in s]


def test_a_file_becomes_a_peer(tmp_path: Path) -> None:
    made = stage()
    result = made.run("wg", "import", file_of(tmp_path), "--user", "alice")
    assert result.exit_code == 0, result.output
    ((name, body),) = commands(made)
    assert (name, body | REGISTERED) == ("peer.register", body)
    assert SECRET not in result.output + json.dumps(made.requests)


def test_with_a_node_the_address_becomes_its_masquerade_address(tmp_path: Path) -> None:
    made = stage()
    result = made.run("wg", "import", file_of(tmp_path), "--user", "alice", "--node", "7", "--id", "x")
    name, body = commands(made)[1]
    pair = {"node": 7, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": "fc00:bbbb::64"}
    assert (name, body | pair) == ("connection.add", body)
    ids = [headers["Nats-Msg-Id"] for s, _, headers in made.requests if ".cmd." in s]
    assert ids == ["x-1", "x-1-connection"]
    assert "netmap wg export se-got" in result.stderr


def test_what_is_ignored_is_named_with_its_line(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    result = stage().run("wg", "import", file, "--user", "alice")
    said = [line.removeprefix(f"{file}:") for line in result.stderr.splitlines() if line.startswith(file)]
    assert [line.split(":")[0] for line in said] == ["2", "4", "5", "11"]
    assert "PrivateKey is ignored: the node has a key of its own" in said[0]
    assert "'example.org' is a search domain" in said[1]


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_dry_run_sends_nothing(form: str, tmp_path: Path) -> None:
    made = stage()
    result = made.run("wg", "import", file_of(tmp_path), "--user", "1", "--dry-run", "-o", form)
    assert (result.exit_code, commands(made)) == (0, [])
    assert "register" in result.stdout
    assert SECRET not in result.output


def test_a_document_has_the_peers_and_what_was_ignored(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    said = json.loads(stage().run("wg", "import", file, "--user", "1", "-o", "json").stdout)
    assert said["dryRun"] is False
    assert said["peers"][0] == {
        "file": file,
        "line": 7,
        "name": "se-got",
        "publicKey": KEY,
        "id": 100_000_001,
        "allowedIps": ["0.0.0.0/0", "::/0"],
        "endpoints": ["192.0.2.1:51820"],
        "exitNodeDNSResolvers": ["10.64.0.1"],
        "ipv4MasqAddr": "",
        "ipv6MasqAddr": "",
        "peer": "register",
        "connection": "-",
        "differences": [],
    }
    assert [one["name"] for one in said["ignored"]] == ["PrivateKey", "DNS", "MTU", "PersistentKeepalive"]


def test_done_again_nothing_is_sent(tmp_path: Path) -> None:
    there = [{"node": 7, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": "fc00:bbbb::64"}]
    made = stage([ROW], there)
    result = made.run("wg", "import", file_of(tmp_path), "--user", "1", "--node", "7")
    assert (result.exit_code, commands(made)) == (0, [])
    assert "left as it is" not in result.stderr


def test_a_known_peer_is_left_alone_and_differences_are_shown(tmp_path: Path) -> None:
    other = {**ROW, "endpoints": ["192.0.2.9:51820"], "extraConfig": {}}
    there = [{"node": 7, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.9"}]
    made = stage([other], there)
    result = made.run("wg", "import", file_of(tmp_path), "--user", "1", "--node", "7")
    assert (result.exit_code, commands(made)) == (0, [])
    assert [line.split(": ", 1)[1] for line in result.stderr.splitlines() if "left as it is" in line] == [
        "endpoints: 192.0.2.9:51820; the file has 192.0.2.1:51820",
        "resolvers: none; the file has 10.64.0.1",
        "masquerade: 10.64.0.9; the file has 10.64.0.100, fc00:bbbb::64",
    ]


def test_a_known_peer_can_get_another_node(tmp_path: Path) -> None:
    made = stage([ROW])
    made.run("wg", "import", file_of(tmp_path), "--user", "1", "--node", "laptop")
    assert [(name, body["peer"]) for name, body in commands(made)] == [("connection.add", 100_000_001)]


def test_several_peers_of_a_file_are_numbered_and_several_files_are_read(tmp_path: Path) -> None:
    both = file_of(tmp_path, FILE + FILE.partition("\n\n")[2].replace(KEY, OTHER), "Two Ends.conf")
    third = file_of(tmp_path, FILE.replace(KEY, base64.b64encode(b"\x0a" * 32).decode()), "c.conf")
    made = stage()
    assert made.run("wg", "import", both, third, "--user", "1").exit_code == 0
    assert [body["name"] for _, body in commands(made)] == ["two-ends-1", "two-ends-2", "c"]


def test_one_peer_in_two_files_is_refused(tmp_path: Path) -> None:
    files = [file_of(tmp_path, name=name) for name in ("a.conf", "b.conf")]
    made = stage()
    result = made.run("wg", "import", *files, "--user", "1")
    assert (result.exit_code, commands(made)) == (2, [])
    assert f"{files[0]}, line 7" in result.stderr


def test_standard_input_needs_a_name() -> None:
    assert stage().run("wg", "import", "-", "--user", "1").exit_code == 2


def test_a_refusal_of_the_engine_says_which_file_and_what_was_done_before(tmp_path: Path) -> None:
    files = [file_of(tmp_path, name="a.conf"), file_of(tmp_path, FILE.replace(KEY, OTHER), "b.conf")]
    made = stage()
    made.replies["peer.register"] = lambda body: (
        accepted(100_000_001) if body["name"] == "a" else refused(409, "name.taken")
    )
    result = made.run("wg", "import", *files, "--user", "1")
    assert result.exit_code == 5
    assert f"{files[1]}:7: the value and the rule" in result.stderr
    assert "done before: a" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "said"),
    [
        (
            "PersistentKeepalive = 25",
            f"PresharedKey = {SHARED}",
            "wgfile.preshared",
            11,
            "no Tailscale client",
        ),
        (
            "192.0.2.1:51820",
            "192.0.2.300:51820",
            "wgfile.endpoint",
            10,
            "'192.0.2.300:51820' is not an endpoint",
        ),
        ("192.0.2.1:51820", "192.0.2.1", "wgfile.endpoint", 10, "'192.0.2.1' is not an endpoint"),
        ("0.0.0.0/0", "0.0.0.0/64", "wgfile.address", 9, "'0.0.0.0/64' is not an IP"),
        ("10.64.0.100/32", "10.64.0.1000", "wgfile.address", 3, "'10.64.0.1000' is not an IP"),
        (KEY, "short=", "wgfile.key", 8, "44 characters of base64"),
        (KEY, SECRET, "wgfile.private", 8, "a private key of this file"),
        ("MTU = 1380", "MTU", "wgfile.line", 5, "not `Name = value`"),
        ("[Peer]", "[Gateway]", "wgfile.section", 7, "[Interface] or [Peer]"),
        ("[Interface]\n", "", "wgfile.section", 1, "in no section"),
        (f"PublicKey = {KEY}\n", "", "wgfile.missing", 7, "no PublicKey"),
        ("Endpoint = 192.0.2.1:51820\n", "", "wgfile.missing", 7, "no Endpoint"),
        ("AllowedIPs = 0.0.0.0/0, ::0/0\n", "", "wgfile.missing", 7, "no AllowedIPs"),
        (f"PublicKey = {KEY}\n", f"PublicKey = {KEY}\n" * 2, "wgfile.twice", 7, "PublicKey more than once"),
        (FILE[FILE.index("[Peer]") :], "", "wgfile.no_peer", 1, "no [Peer]"),
    ],
)
def test_what_cannot_be_taken_is_told_by_line(
    *, old: str, new: str, code: str, line: int, said: str, tmp_path: Path
) -> None:
    assert old in FILE
    file = file_of(tmp_path, FILE.replace(old, new, 1))
    made = stage()
    result = made.run("wg", "import", file, "--user", "1", "-o", "json")
    assert (result.exit_code, made.requests) == (2, [])
    error = json.loads(result.stderr)["error"]
    assert (error["code"], said in error["message"]) == (code, True), error
    assert error["message"].startswith(f"{file}:{line}: ")
    assert SECRET not in result.output
    assert SHARED not in result.output


@pytest.mark.parametrize("address", ["", "Address = 10.0.0.1, 10.0.0.2"])
def test_a_connection_needs_one_address_of_a_family(address: str, tmp_path: Path) -> None:
    text = "\n".join(address if line.startswith("Address") else line for line in FILE.splitlines())
    result = stage().run("wg", "import", file_of(tmp_path, text), "--user", "1", "--node", "7")
    assert (result.exit_code, "add-wg-connection" in result.stderr) == (2, True)
    assert stage().run("wg", "import", file_of(tmp_path, text), "--user", "1").exit_code == 0


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert stage().run("wg", "import", str(tmp_path / "none"), "--user", "1").exit_code == 2


def test_names_as_wg_writes_them_may_be_of_any_case_and_lines_may_end_as_on_windows() -> None:
    text = "\N{ZERO WIDTH NO-BREAK SPACE}" + FILE.upper().replace(KEY.upper(), KEY).replace("\n", "\r\n")
    assert read(text) == read(FILE)._replace(ignored=read(text).ignored)


_LINES = st.sampled_from(
    [
        "[Interface]",
        "[Peer]",
        f"PublicKey = {KEY}",
        "AllowedIPs = 0.0.0.0/0",
        "Endpoint = 192.0.2.1:51820",
        "Address = 10.0.0.1/32",
        "DNS = 10.0.0.1",
        *(
            f"{name}{equals}{SECRET}{end}"
            for name in ("PrivateKey", "privatekey", "Private Key", "PrivateKey PrivateKey")
            for equals in ("=", " = ", " ", ": ")
            for end in ("", " # mine", ",")
        ),
        *(
            f"{name} = {SECRET}"
            for name in ("PublicKey", "Endpoint", "AllowedIPs", "Address", "Key", "PresharedKey")
        ),
        f"Endpoint = {SECRET}:1",
        f"PrivateKey = {SECRET}",
        f"{SECRET} = 1",
        SECRET,
    ]
)
_WITH_ONE_MORE = st.builds(
    lambda at, line: "\n".join([*FILE.split("\n")[:at], line, *FILE.split("\n")[at:]]),
    st.integers(0, FILE.count("\n")),
    _LINES,
)
_TEXTS = st.one_of(
    _WITH_ONE_MORE, st.lists(st.one_of(_LINES, st.text(max_size=30)), max_size=12).map("\n".join)
)


@given(_TEXTS)
def test_no_text_gets_anything_but_a_fault_and_none_repeats_a_private_key(text: str) -> None:
    try:
        found = read(text)
    except Fault as fault:
        said = " ".join([str(fault), repr(fault), fault.field, fault.message, fault.hint])
    else:
        said = repr(found) if SECRET not in [peer.publicKey for peer in found.peers] else ""
        secret_is_told = f"PrivateKey = {SECRET}" in text.split("\n")
        assert not (secret_is_told and any(peer.publicKey == SECRET for peer in found.peers))
    assert SECRET.rstrip("=") not in said


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(Fault):
        read(text)


def test_what_looks_like_a_key_is_not_shown() -> None:
    assert shown(f"a {SECRET}") == "'a (a key)'"
    assert shown("\x1b[31m") == "'\N{REPLACEMENT CHARACTER}[31m'"


@pytest.mark.parametrize(
    ("text", "name"),
    [("se-got-wg-001", "se-got-wg-001"), ("My VPN (old)", "my-vpn-old"), ("é", ""), ("a" * 80, "a" * 63)],
)
def test_a_file_s_name_becomes_a_label(text: str, name: str) -> None:
    assert label(text) == name


def test_an_endpoint_may_be_a_host_name() -> None:
    found = read(FILE.replace("192.0.2.1:51820", "VPN.Example.org.:51820"))
    assert found.peers[0].endpoint == "vpn.example.org:51820"
