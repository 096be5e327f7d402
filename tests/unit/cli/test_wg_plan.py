"""Declarative files: what is refused and where, what a plan is, what is done of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.domain.commands import AddConnection, DisablePeer, ExpirePeer, SetMasqueradePool, UpdatePeer
from frontends.cli.declared.fields import json_schema
from frontends.cli.declared.present import dump
from frontends.cli.declared.reading import Fault, read
from frontends.cli.declared.wanted import wanted
from frontends.cli.wgplan import base_of
from projections.inventory import lists
from tests.kit.declaring import carried_out, planned, rows, there
from tests.kit.scenario import Scene, peer_key
from tests.unit.cli.stage import Stage, accepted, refused

KEY = "xJsw8SNGxKwqPHgULHWY7Z2tPNBJPxKLbJ9FJxDfXr8="
FILE = f"""\
managedBy: site
peers:
  - name: oslo
    user: anna
    publicKey: {KEY}
    allowedIps: [0.0.0.0/0, '::/0']
    endpoints: 192.0.2.1:51820
    extraConfig:
      suggestExitNode: true
      location: {{country: Norway, countryCode: NO, city: Oslo, cityCode: OSL, latitude: 59.9, longitude: 10.7, priority: 1}}
    masqPool: {{ipv4: 10.64.0.0/24}}
connections:
  - node: [laptop, phone]
    peer: oslo
"""


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.user("anna")
    scene.node("laptop")
    scene.node("phone")
    return scene


def fault(text: str) -> Fault:
    with pytest.raises(Fault) as caught:
        wanted([read("f.yaml", text)])
    return caught.value


def test_a_file_makes_peers_and_connections_and_then_nothing(scene: Scene) -> None:
    assert carried_out(scene, FILE) == [
        "create peer oslo",
        "create peer oslo",
        "create connection laptop → oslo",
        "create connection phone → oslo",
    ]
    (peer,) = scene.tailnet.peers.values()
    assert (peer.managed_by, peer.masq_v4) == ("site", "10.64.0.0/24")
    assert peer.extra.location is not None
    assert peer.extra.location.country_code == "NO", "YAML would make a no of it"
    assert planned(scene, FILE).steps == ()


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "hint"),
    [
        ("    endpoints:", "    endpoint:", "file.unknown", (7, 5), "did you mean endpoints?"),
        ("managedBy: site", "managedby: site", "file.unknown", (1, 1), "did you mean managedBy?"),
        ("    user: anna\n", "", "file.missing", (3, 5), ""),
        ("suggestExitNode: true", "suggestExitNode: maybe", "file.type", (9, 24), ""),
        ("latitude: 59.9", "latitude: north", "file.type", (10, 89), ""),
        ("    user: anna\n", "    user: anna\n    user: bert\n", "file.twice", (5, 5), ""),
        ("192.0.2.1:51820", "192.0.2.1:0", "endpoint.port", (7, 16), ""),
        ("0.0.0.0/0", "100.64.0.0/10", "allowedips.tailnet", (6, 17), ""),
        (KEY, "AAAA", "key.syntax", (5, 16), ""),
        ("'::/0'", "::/0", "file.syntax", (6, 29), "quotes"),
        ("managedBy: site", "managedBy: Our Site", "managed.syntax", (1, 12), ""),
        ("ipv4: 10.64.0.0/24", "ipv4: 10.64.0.1/24", "masq.pool", (11, 22), ""),
        ("    peer: oslo\n", "    peer: oslo\n    ipv4MasqAddr: 10.64.0.9\n", "file.masq", (13, 5), ""),
    ],
)
def test_a_fault_says_where_it_is_and_what_was_meant(
    old: str, new: str, code: str, place: tuple[int, int], hint: str
) -> None:
    assert old in FILE
    found = fault(FILE.replace(old, new, 1))
    assert (found.code, (found.at.line, found.at.column)) == (code, place), found
    assert hint in found.hint


@pytest.mark.parametrize("name", ["privateKey", "PrivateKey", "presharedKey", "private_key", "token"])
def test_a_secret_is_refused_and_not_repeated(name: str) -> None:
    found = fault(FILE.replace("    user: anna", f"    {name}: HUSHHUSH\n    user: anna"))
    assert found.code == "file.secret"
    assert "HUSH" not in str(found) + found.hint
    key = fault(FILE.replace(KEY, "privkey:" + "ab" * 32))
    assert key.code == "file.secret"
    assert "abab" not in str(key) + key.hint


def test_a_thing_is_declared_once_and_aliases_are_not_taken() -> None:
    twice = fault(FILE + "  - {node: phone, peer: oslo}\n")
    assert (twice.code, twice.at.line) == ("file.again", 15)
    bomb = fault("peers: &a [{name: x}]\nconnections: *a\n")
    assert bomb.code in {"file.alias", "file.missing", "file.unknown"}
    assert fault("connections: [&a {node: x, peer: y}, *a]").code == "file.alias"
    assert fault("").code == "file.missing"
    with pytest.raises(Fault, match="managedBy is b here and a in"):
        wanted([read("1", "managedBy: a"), read("2", "managedBy: b")])


def test_what_changes_is_shown_from_old_to_new_and_done_in_place(scene: Scene) -> None:
    carried_out(scene, FILE)
    number = next(iter(scene.tailnet.peers))
    text = FILE.replace("192.0.2.1", "192.0.2.2").replace("suggestExitNode: true", "suggestExitNode: false")
    (step,) = planned(scene, text).steps
    assert [tuple(change) for change in step.changes] == [
        ("endpoints", "192.0.2.1:51820", "192.0.2.2:51820"),
        ("suggestExitNode", "yes", ""),
    ]
    carried_out(scene, text)
    assert list(scene.tailnet.peers) == [number]
    assert carried_out(
        scene, text.replace("name: oslo", "name: bergen").replace("peer: oslo", "peer: bergen")
    ) == ["change peer bergen"], "the same key under another name is a new name"


def test_what_the_file_does_not_say_is_the_default_but_for_what_is_switched_off(scene: Scene) -> None:
    carried_out(scene, FILE)
    scene.when(DisablePeer(peer="oslo"))
    scene.when(UpdatePeer(peer="oslo", extra_config={"tags": ["tag:a"]}))
    (step,) = planned(scene, FILE).steps
    assert [tuple(change) for change in step.changes] == [("tags", "tag:a", "")]
    assert any(
        isinstance(step.command, type(step.command)) and step.changes[0].field == "disabled"
        for step in planned(scene, FILE.replace("    masqPool", "    disabled: false\n    masqPool")).steps
        if step.changes[0].field == "disabled"
    )


def test_only_what_carries_the_mark_is_pruned(scene: Scene) -> None:
    carried_out(scene, FILE)
    scene.peer("mine", endpoints=("192.0.2.9:1",))
    scene.when(SetMasqueradePool(peer="mine", ipv4="10.65.0.0/24"))
    scene.when(AddConnection(node=1, peer="mine"))
    less = "managedBy: site\npeers: []\n"
    kept = planned(scene, less)
    assert (kept.steps, len(kept.left)) == ((), 3)
    assert carried_out(scene, less, prune=True) == [
        "remove connection laptop → oslo",
        "remove connection phone → oslo",
        "remove peer oslo",
    ]
    assert [held.name for held in scene.tailnet.peers.values()] == ["mine"]
    assert len(scene.tailnet.connections) == 1


def test_a_peer_of_another_file_is_left_to_it(scene: Scene) -> None:
    carried_out(scene, FILE)
    with pytest.raises(Fault, match="is kept by site, not by other"):
        planned(scene, FILE.replace("managedBy: site", "managedBy: other"))


def test_addresses_may_be_exchanged(scene: Scene) -> None:
    def said(first: str, second: str) -> str:
        head = FILE[: FILE.index("connections:")]
        pairs = [{"node": "laptop", "peer": "oslo", "ipv4MasqAddr": first}]
        pairs.append({"node": "phone", "peer": "oslo", "ipv4MasqAddr": second})
        return head + yaml.safe_dump({"connections": pairs})

    carried_out(scene, said("10.66.0.1", "10.66.0.2"))
    carried_out(scene, said("10.66.0.2", "10.66.0.1"))
    assert [held.ipv4_masq for _, held in sorted(scene.tailnet.connections.items())] == [
        "10.66.0.2",
        "10.66.0.1",
    ]
    assert planned(scene, said("10.66.0.2", "10.66.0.1")).steps == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("connections: [{node: tv, peer: oslo}]", "node.unknown"),
        ("connections: [{node: laptop, peer: nobody}]", "peer.unknown"),
        ("connections: [{node: laptop, peer: plain}]", "masq.none"),
        ("selectors: [{selector: 'user:anna', peer: plain}]", "masq.none"),
        ("selectors: [{selector: nobody, peer: oslo}]", "user.unknown"),
    ],
)
def test_what_cannot_be_is_known_before_anything_is_done(scene: Scene, text: str, code: str) -> None:
    carried_out(scene, FILE)
    scene.peer("plain")
    with pytest.raises(Fault) as caught:
        planned(scene, text)
    assert caught.value.code == code


def test_a_dump_says_all_and_planned_changes_nothing(scene: Scene) -> None:
    carried_out(scene, FILE)
    scene.peer("mine", endpoints=("192.0.2.9:1",), public_key=peer_key("mine"))
    text = dump(there(scene.tailnet))
    assert planned(scene, text).steps == ()
    assert "managedBy" not in text
    only = yaml.safe_load(dump(there(scene.tailnet), "site"))
    assert [peer["name"] for peer in only["peers"]] == ["oslo"]
    scene.when(ExpirePeer(peer="oslo"))
    assert planned(scene, text).steps == ()


def stage(scene: Scene) -> Stage:
    made = Stage()
    for noun, key, found in (
        ("peer", "peers", lists.peers(scene.tailnet)),
        ("node", "nodes", lists.nodes(scene.tailnet)),
        ("connection", "connections", lists.connections(scene.tailnet)),
        ("user", "users", lists.users(scene.tailnet)),
    ):
        made.answers(f"{noun}.list", {"position": 8, key: rows(found)})
    made.answers("head.get", {"epoch": "e", "position": 42})
    return made


def written(folder: Path, text: str = FILE) -> str:
    path = folder / "peers.yaml"
    path.write_text(text)
    return str(path)


def commands(made: Stage) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    return [
        (subject.partition(".cmd.")[2], body, head)
        for subject, body, head in made.requests
        if ".cmd." in subject
    ]


def test_a_plan_ends_with_two_when_there_is_something_to_do_and_sends_nothing(
    scene: Scene, tmp_path: Path
) -> None:
    made = stage(scene)
    result = made.run("wg", "plan", "-f", written(tmp_path))
    assert result.exit_code == 2, result.output
    assert "+ peer oslo" in result.stdout.splitlines()
    assert "3 to make, 0 to change, 0 to remove" in result.stderr
    assert commands(made) == []
    carried_out(scene, FILE)
    result = stage(scene).run("wg", "plan", "-f", written(tmp_path), "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["steps"]) == (0, [])


@pytest.mark.parametrize(
    "line",
    [
        "wg plan",
        "wg plan --nonsense",
        "wg plan -f nowhere.yaml",
        "wg plan -f {bad}",
        "wg plan -f {good} --prune",
    ],
)
def test_a_plan_that_cannot_be_made_ends_with_one(scene: Scene, tmp_path: Path, line: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("peer: []")
    good = tmp_path / "good.yaml"
    good.write_text("peers: []")
    result = stage(scene).run(*line.format(bad=bad, good=good).split())
    assert result.exit_code == 1, result.output


def test_apply_sends_the_steps_in_order_with_ids_of_their_own(scene: Scene, tmp_path: Path) -> None:
    made = stage(scene)
    result = made.run("wg", "apply", "-f", written(tmp_path), "--yes", "--reason", "why")
    assert result.exit_code == 0, result.output
    sent = commands(made)
    assert [name for name, _, _ in sent] == ["peer.register", "peer.set-masq-pool", *["connection.add"] * 2]
    base = base_of([("x", FILE)], 8)
    assert [head["Nats-Msg-Id"] for _, _, head in sent] == [f"{base}-{number}" for number in (1, 2, 3, 4)]
    assert {head["Netmap-Reason"] for _, _, head in sent} == {"why"}
    assert base != base_of([("x", FILE)], 9), "the same files at another time are another plan"
    assert "[4/4] create connection phone → oslo" in result.stderr


def test_apply_stops_at_the_first_refusal_and_says_what_is_left(scene: Scene, tmp_path: Path) -> None:
    made = stage(scene)
    made.answers("peer.set-masq-pool", refused(409, "masq.in_use"))
    result = made.run("wg", "apply", "-f", written(tmp_path), "--yes")
    assert result.exit_code == 5
    assert len(commands(made)) == 2
    assert "step 2 of 4" in result.stderr
    assert "done: 1; left: create peer oslo, create connection laptop → oslo" in result.stderr


def test_nobody_is_asked_where_nobody_is(scene: Scene, tmp_path: Path) -> None:
    made = stage(scene)
    result = made.run("wg", "apply", "-f", written(tmp_path))
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert commands(made) == []


def test_a_folder_and_several_files_are_one_plan(scene: Scene, tmp_path: Path) -> None:
    head, tail = FILE.split("connections:")
    (tmp_path / "a.yaml").write_text(head)
    (tmp_path / "b.json").write_text(json.dumps(yaml.safe_load("connections:" + tail)))
    (tmp_path / "c.txt").write_text("not read")
    result = stage(scene).run("wg", "plan", "-f", str(tmp_path), "-o", "json")
    assert len(json.loads(result.stdout)["steps"]) == 4


def test_the_schema_is_that_of_the_table_that_is_read_by(scene: Scene) -> None:
    schema = json.loads(stage(scene).run("wg", "plan", "--schema").stdout)
    assert schema == json_schema()
    assert schema["properties"]["peers"]["items"]["required"] == [
        "name",
        "user",
        "publicKey",
        "allowedIps",
        "endpoints",
    ]


def test_a_dump_is_written_as_yaml_or_as_json(scene: Scene) -> None:
    carried_out(scene, FILE)
    made = stage(scene)
    as_yaml, as_json = made.run("wg", "dump").stdout, made.run("wg", "dump", "-o", "json").stdout
    assert yaml.safe_load(as_yaml) == json.loads(as_json)
    made.answers("x", accepted())
