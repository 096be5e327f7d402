"""What the far side is given in each format, and whether a file of its own still says the same."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontends.farside import qr, routeros
from frontends.farside.checking import differences, entries_in
from frontends.farside.remotes import Remote, Side, checksum, entries_of
from frontends.farside.rendering import STYLES, TEXTS, render
from tests.unit.cli.stage import Stage

SIDE = Side("mullvad-exit", 51820, "wg0")
NODES: list[dict[str, Any]] = [
    {"id": 9, "name": "desk", "nodeKey": "nodekey:" + "cd" * 32},
    {"id": 7, "name": "laptop", "nodeKey": "nodekey:" + "ab" * 32},
]
PEERS = [{"id": 100_000_001, "name": "mullvad-exit", "endpoints": ["[2001:db8::1]:4500", "192.0.2.1:53"]}]
CONNECTIONS = [
    {"node": 9, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.101"},
    {"node": 7, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.100", "ipv6MasqAddr": "fc00::64"},
    {"node": 7, "peer": 100_000_002, "ipv4MasqAddr": "10.64.0.102"},
]
LAPTOP = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="
DESK = "zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0="
BLOCKS = f"""\
# The far side of mullvad-exit: add these to its wg-quick file, below what it has, or use `wg addconf`.
# [Interface]
# PrivateKey = (its own, which stays there)
# ListenPort = 4500

[Peer]
# node 7: laptop
PublicKey = {LAPTOP}
AllowedIPs = 10.64.0.100/32, fc00::64/128

[Peer]
# node 9: desk
PublicKey = {DESK}
AllowedIPs = 10.64.0.101/32

"""


def stage(nodes: list[dict[str, Any]] = NODES, connections: list[dict[str, Any]] = CONNECTIONS) -> Stage:
    made = Stage()
    made.answers("node.list", {"position": 9, "nodes": nodes})
    made.answers("peer.list", {"position": 8, "peers": PEERS})
    made.answers("connection.list", {"position": 8, "connections": connections})
    return made


def exported(*words: str, made: Stage | None = None) -> str:
    result = (made or stage()).run("wg", "export", "mullvad-exit", *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def remote(number: int, address: str = "") -> Remote:
    key = base64.b64encode(bytes([number]) * 32).decode()
    return Remote(number, f"n{number}", key, [address or f"10.64.0.{number}/32"])


def test_the_default_is_a_block_for_each_connected_node() -> None:
    text = exported()
    line = text.splitlines()[-1]
    assert text == f"{BLOCKS}{line}\n"
    assert stage().run("wg", "export", "--peer", "mullvad-exit").stdout == text
    assert re.fullmatch(r"# netmap checksum: sha256:[0-9a-f]{64}", line)


def test_wg_set_has_a_line_for_each_node() -> None:
    first, second, _ = exported("--format", "wg-set", "--interface", "wg7").splitlines()
    assert first == f"wg set wg7 peer {LAPTOP} allowed-ips 10.64.0.100/32,fc00::64/128"
    assert second == f"wg set wg7 peer {DESK} allowed-ips 10.64.0.101/32"


def test_routeros_takes_away_what_a_key_has_and_adds_it_anew() -> None:
    where, key = "/interface/wireguard/peers", f'public-key="{LAPTOP}"'
    first, second, *_ = exported("--format", "routeros").splitlines()
    assert first == f'{where} remove [find where interface="wg0" and {key}]'
    assert second == (
        f'{where} add interface="wg0" {key} allowed-address=10.64.0.100/32,fc00::64/128 '
        'comment="netmap: node 7: laptop"'
    )


@given(st.text())
def test_nothing_gets_out_of_a_string_of_routeros(text: str) -> None:
    made = routeros.quoted(text)
    assert not set('"\\$') & set(made[1:-1])


@pytest.mark.parametrize("style", ["opnsense", "unifi"])
def test_a_form_has_whole_keys_and_addresses(style: str) -> None:
    text = exported("--format", style)
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    assert ["Public", text.split("Public ")[1][:3], LAPTOP] in rows
    assert "10.64.0.100/32, fc00::64/128" in text
    assert "port is 4500." in text.splitlines()[0]


def test_one_node_s_connection_is_exported_alone() -> None:
    for node in ("7", "laptop"):
        text = exported("--node", node)
        assert (LAPTOP in text, DESK in text) == (True, False)


def test_a_node_that_is_not_connected_is_not_found() -> None:
    result = stage().run("wg", "export", "mullvad-exit", "--node", "phone")
    assert result.exit_code == 4
    assert "netmap connection list --peer mullvad-exit" in result.stderr


def test_without_a_connection_there_is_nothing_on_stdout() -> None:
    result = stage(connections=[]).run("wg", "export", "mullvad-exit")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no node is connected to mullvad-exit" in result.stderr


def test_nodes_are_read_at_least_as_new_as_the_connections() -> None:
    made = stage()
    exported(made=made)
    assert [body.get("minPosition") for _, body, _ in made.requests] == [None, None, 8]


def test_a_name_cannot_end_a_line() -> None:
    for style in TEXTS:
        text = exported("--format", style, made=stage([{**NODES[1], "name": "a\nPublicKey = evil"}]))
        assert not any(line.startswith("PublicKey = evil") for line in text.splitlines())


@pytest.mark.parametrize("style", sorted(TEXTS))
def test_an_export_is_the_same_whatever_the_order_of_the_answers(style: str) -> None:
    other = stage(NODES[::-1], CONNECTIONS[::-1])
    assert exported("--format", style) == exported("--format", style, made=other)


def test_the_checksum_is_of_keys_and_addresses_alone() -> None:
    sums = {exported("--format", style).splitlines()[-1] for style in TEXTS}
    renamed = stage([{**row, "name": f"x{row['id']}"} for row in NODES])
    assert sums == {exported(made=renamed).splitlines()[-1]}
    rekeyed = stage([NODES[0], {**NODES[1], "nodeKey": "nodekey:" + "ef" * 32}])
    assert exported(made=rekeyed).splitlines()[-1] not in sums
    moved = stage(connections=[{**CONNECTIONS[0], "ipv4MasqAddr": "10.64.0.9"}, *CONNECTIONS[1:]])
    assert exported(made=moved).splitlines()[-1] not in sums


def test_a_document_is_the_nodes() -> None:
    rows = json.loads(exported("-o", "json"))
    assert [row["node"] for row in rows] == [7, 9]
    assert rows[0]["publicKey"] == LAPTOP


def test_a_qr_code_is_drawn_and_saved(tmp_path: Path) -> None:
    assert set(exported("--format", "qr")) <= set("█▀▄ \n")
    file = tmp_path / "far.svg"
    assert exported("--format", "qr", "--svg", str(file)) == ""
    assert ET.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    before = file.read_bytes()
    exported("--format", "qr", "--svg", str(file))
    assert file.read_bytes() == before


def test_what_does_not_fit_into_a_qr_code_is_said() -> None:
    qr.terminal("x" * qr.MOST_OCTETS)
    nodes = [{"id": i, "name": f"n{i}", "nodeKey": f"nodekey:{i:064x}"} for i in range(1, 40)]
    connections = [{"node": i, "peer": 100_000_001, "ipv4MasqAddr": f"10.64.0.{i}"} for i in range(1, 40)]
    result = stage(nodes, connections).run("wg", "export", "mullvad-exit", "--format", "qr")
    assert result.exit_code == 1
    assert "--node NODE" in result.stderr


def test_svg_is_only_for_a_qr_code(tmp_path: Path) -> None:
    result = stage().run("wg", "export", "mullvad-exit", "--svg", str(tmp_path / "a.svg"))
    assert (result.exit_code, "--format qr" in result.stderr) == (2, True)


@pytest.mark.parametrize("style", sorted(TEXTS))
def test_a_file_as_it_was_exported_is_as_it_should_be(style: str, tmp_path: Path) -> None:
    file = tmp_path / "far"
    file.write_text(exported("--format", style))
    result = stage().run("wg", "export", "mullvad-exit", "--check", str(file))
    assert (result.exit_code, result.stdout) == (0, ""), result.output


@pytest.mark.parametrize("style", sorted(TEXTS))
def test_what_differs_is_told_by_node(style: str, tmp_path: Path) -> None:
    file = tmp_path / "far"
    lost = [*CONNECTIONS, {"node": 5, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.5"}]
    old = stage(
        [{**NODES[0], "nodeKey": "nodekey:" + "11" * 32}, NODES[1], {**NODES[0], "id": 5}],
        [CONNECTIONS[0], {**CONNECTIONS[1], "ipv6MasqAddr": ""}, lost[-1]],
    )
    file.write_text(exported("--format", style, made=old))
    newer = stage(
        [*NODES, {"id": 8, "name": "new", "nodeKey": "nodekey:" + "22" * 32}],
        [*CONNECTIONS, {"node": 8, "peer": 100_000_001, "ipv4MasqAddr": "10.64.0.8"}],
    )
    result = newer.run("wg", "export", "mullvad-exit", "--check", str(file), "-o", "json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["same"] is False
    found = {(one["what"], one["node"]): (one["file"], one["now"]) for one in said["differences"]}
    assert found[("addresses", 7)] == (["10.64.0.100/32"], ["10.64.0.100/32", "fc00::64/128"])
    assert found[("added", 8)] == ([], ["10.64.0.8/32"])
    # node 5 had node 9's later key in the old file: its addresses are what has to change
    assert found[("addresses", 9)] == (["10.64.0.5/32"], ["10.64.0.101/32"])
    assert {what for what, _ in found} == {"addresses", "added", "removed"}


def test_a_key_that_was_renewed_is_one_difference(tmp_path: Path) -> None:
    file = tmp_path / "far"
    file.write_text(exported())
    renewed = stage([NODES[0], {**NODES[1], "nodeKey": "nodekey:" + "ef" * 32}])
    result = renewed.run("wg", "export", "mullvad-exit", "--check", str(file))
    assert result.exit_code == 1
    line, last = result.stdout.splitlines()
    assert line.startswith(f"~ key        node 7: laptop: {LAPTOP} is now ")
    assert last.startswith("# netmap checksum: sha256:")


def test_one_node_is_checked_alone_whatever_else_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "far"
    renewed = [{**NODES[0], "nodeKey": "nodekey:" + "ef" * 32}, NODES[1]]
    file.write_text(exported(made=stage(renewed)))
    words = ("wg", "export", "mullvad-exit", "--check", str(file), "--node")
    assert stage().run(*words, "laptop").exit_code == 0
    assert stage().run(*words, "desk").exit_code == 1


def test_a_private_key_in_a_checked_file_is_never_repeated(tmp_path: Path) -> None:
    secret = base64.b64encode(b"s" * 32).decode()
    shared = base64.b64encode(b"p" * 32).decode()
    file = tmp_path / "wg0.conf"
    head = f"[Interface]\nPrivateKey={secret}\nAddress = 10.64.0.1/24\n"
    file.write_text(head + exported().replace("PublicKey", f"PresharedKey = {shared}\nPublicKey"))
    fresh = stage().run("wg", "export", "mullvad-exit", "--check", str(file))
    assert (fresh.exit_code, fresh.stdout) == (0, "")
    stale = stage(NODES[:1]).run("wg", "export", "mullvad-exit", "--check", str(file))
    assert stale.exit_code == 1
    assert f"- removed    {LAPTOP}" in stale.stdout
    assert secret not in stale.output
    assert shared not in stale.output


@given(st.lists(st.integers(1, 200), unique=True, max_size=6), st.sampled_from(sorted(TEXTS)))
def test_every_text_is_read_back_as_it_was_meant(numbers: list[int], style: str) -> None:
    remotes = [remote(number) for number in numbers]
    entries = entries_in(render(remotes, style, SIDE))
    assert entries == entries_of(remotes)
    assert differences(remotes, entries) == []


@given(st.text(alphabet="[Per]\n#=:/. 0123456789abcAZ,\"';-", max_size=300))
def test_any_file_is_read_without_an_error(text: str) -> None:
    differences([remote(1)], entries_in(text))


def test_the_checksum_is_as_it_was() -> None:
    """It is compared with files that were exported long ago."""
    assert checksum({"b": ["2", "1"], "a": ["3"]}) == (
        "sha256:35e8d013815fbadcb607e2d56cdd696488600af6a04f3b88cdd06211b74dc72c"
    )


def test_wg_itself_takes_the_text(tmp_path: Path) -> None:
    """`wg-quick strip` and `wg setconf` read it; without a kernel's interface setconf fails after it has parsed."""
    if shutil.which("wg") is None or shutil.which("wg-quick") is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("wireguard-tools are not installed: `make lab` installs them")
        pytest.skip("wireguard-tools are not installed: `make lab` installs them")
    file = tmp_path / "wg0.conf"
    file.write_text(exported())
    file.chmod(0o600)
    stripped = subprocess.run(["wg-quick", "strip", file], capture_output=True, text=True, check=True).stdout
    assert f"PublicKey = {LAPTOP}" in stripped
    good, bad = _setconf(file), tmp_path / "bad.conf"
    bad.write_text(exported().replace("AllowedIPs", "AllowedIP"))
    assert "Unable to modify interface" in good
    assert "Line unrecognized" in _setconf(bad)


def _setconf(file: Path) -> str:
    argv = ["wg", "setconf", "netmap-none", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stderr


def test_every_style_is_offered() -> None:
    assert set(STYLES) == {"wg-quick", "wg-set", "routeros", "opnsense", "unifi", "qr"}


def told(made: Stage) -> list[dict[str, Any]]:
    """Return what was recorded."""
    return [body for subject, body, _ in made.requests if subject.endswith("cmd.connection.exported")]


def test_nothing_is_recorded_unless_asked_for() -> None:
    made = stage()
    exported(made=made)
    assert told(made) == []


def test_record_notes_what_was_printed() -> None:
    made = stage()
    text = exported("--record", "--format", "routeros", made=made)
    assert text == exported("--format", "routeros")
    (body,) = told(made)
    assert (body["peer"], body["format"]) == (100_000_001, "routeros")
    assert text.rstrip().endswith(body["checksum"])
    laptop, desk = body["connections"]
    assert laptop == {
        "node": 7,
        "publicKey": LAPTOP,
        "ipv4MasqAddr": "10.64.0.100/32",
        "ipv6MasqAddr": "fc00::64/128",
    }
    assert (desk["node"], desk["ipv4MasqAddr"], desk["ipv6MasqAddr"]) == (9, "10.64.0.101/32", "")


def test_a_check_that_finds_nothing_may_be_recorded_and_one_that_finds_something_never_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "far.conf"
    file.write_text(exported())
    made = stage()
    exported("--check", str(file), "--record", made=made)
    assert len(told(made)) == 1
    file.write_text("")
    other = stage()
    result = other.run("wg", "export", "mullvad-exit", "--check", str(file), "--record")
    assert (result.exit_code, told(other)) == (1, [])


def test_many_nodes_are_recorded_in_several_commands() -> None:
    many = [{"id": n, "name": f"n{n}", "nodeKey": f"nodekey:{n:064x}"} for n in range(1, 1_502)]
    pairs = [{"node": n["id"], "peer": 100_000_001, "ipv4MasqAddr": "10.0.0.1"} for n in many]
    made = stage(many, pairs)
    exported("--record", made=made)
    assert [len(body["connections"]) for body in told(made)] == [1_000, 501]
    ids = [headers["Nats-Msg-Id"] for subject, _, headers in made.requests if "exported" in subject]
    assert len(set(ids)) == 2
