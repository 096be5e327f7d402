"""Peers and connections declared in a file, against a server: planned, applied, killed in the middle, pruned."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.kit.pages import furnish, shell
from tests.kit.scenario import peer_key
from tests.kit.serving import Serving

pytestmark = pytest.mark.real
PEERS = 12


@pytest.fixture
def serving(serving: Serving) -> Serving:
    serving.start()
    furnish(serving)
    return serving


def document(count: int = PEERS, port: int = 51_820) -> str:
    peers = [
        {
            "name": f"site-{number}",
            "user": "alice",
            "publicKey": peer_key(f"site {number}"),
            "allowedIps": [f"10.{number}.0.0/16"],
            "endpoints": [f"192.0.2.{number + 1}:{port}"],
            "masqPool": {"ipv4": "10.200.0.0/24"},
        }
        for number in range(count)
    ]
    pairs = [{"node": ["laptop", "phone"], "peer": one["name"]} for one in peers]
    return json.dumps({"managedBy": "sites", "peers": peers, "connections": pairs})


def test_a_file_is_made_so_and_pruned_again(serving: Serving, tmp_path: Path) -> None:
    file = tmp_path / "sites.json"

    def typed(command: str) -> "subprocess.CompletedProcess[str]":
        return shell(serving, command, tmp_path)

    file.write_text(document())
    assert typed("netmap wg plan -f sites.json").returncode == 2
    half = typed("netmap wg apply -f sites.json --yes --timeout 0.0001")
    assert half.returncode != 0, "nothing can be done in no time"
    applied = typed("netmap wg apply -f sites.json --yes -o json --reason sites")
    assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["left"] == []
    assert typed("netmap wg plan -f sites.json").returncode == 0

    listed = json.loads(typed("netmap node list -o json").stdout)
    assert len(listed["wireguard_only_peers"]) == PEERS
    assert len(listed["wireguard_connections"]) == 2 * PEERS
    events = typed("netmap events list -o json --type PeerRegistered").stdout
    assert events.count('"sites"') >= PEERS, "the mark and the reason are in the log"

    file.write_text(document(PEERS - 2, port=443))
    shown = typed("netmap wg plan -f sites.json --prune")
    assert shown.returncode == 2
    assert re.search(r"^- peer site-11$", shown.stdout, re.MULTILINE)
    assert re.search(r"endpoints: 192.0.2.1:51820 → 192.0.2.1:443", shown.stdout)
    assert typed("netmap wg apply -f sites.json --prune --yes").returncode == 0
    assert typed("netmap wg plan -f sites.json --prune").returncode == 0
    listed = json.loads(typed("netmap node list -o json").stdout)
    assert len(listed["wireguard_only_peers"]) == PEERS - 2

    assert typed("netmap wg dump --managed-by sites > again.yaml").returncode == 0
    assert typed("netmap wg plan -f again.yaml --prune").returncode == 0


def test_many_are_connected_at_once_and_again_without_effect(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "sites.json").write_text(
        document().replace('"connections"', '"selectors": [], "connections"')
    )
    only_peers = {**json.loads(document()), "connections": []}
    (tmp_path / "sites.json").write_text(json.dumps(only_peers))
    assert shell(serving, "netmap wg apply -f sites.json --yes", tmp_path).returncode == 0
    names = ",".join(f"site-{number}" for number in range(PEERS))
    for added in (2 * PEERS, 0):
        result = shell(serving, f"netmap connection add --all --peer {names} -o json", tmp_path)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["added"] == added
