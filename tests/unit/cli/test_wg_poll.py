"""The scripts with which a far side keeps up by itself."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from frontends.farside import polling
from tests.unit.cli.stage import Stage

URL = "https://netmap.example:8443/base/"
PEER = {"id": 100_000_001, "name": "mullvad-exit", "endpoints": []}
SUM = "sha256:" + "ab" * 32


def script(*words: str) -> str:
    stage = Stage()
    stage.answers("peer.list", {"position": 8, "peers": [PEER]})
    result = stage.run("wg", "poll-script", "mullvad-exit", "--url", URL, *words)
    assert result.exit_code == 0, result.output
    assert "netmap apikey create --scope export --peer mullvad-exit" in result.stderr
    return result.stdout


def test_a_script_names_the_place_and_no_key() -> None:
    for style in polling.SCRIPTS:
        text = script("--format", style, "--interface", "wg9", "--node", "my laptop")
        assert "https://netmap.example:8443/base/wg/export/100000001" in text
        assert "node=my%20laptop" in text
        assert "interface=wg9" in text
        assert "hskey" not in text
        assert polling.KEY in text


@pytest.mark.parametrize(
    "words",
    [
        ("--url", "ftp://x"),
        ("--url", "https://x/$(reboot)"),
        ("--url", "https://x/'; reboot; '"),
        ("--url", URL, "--interface", "wg0; reboot"),
    ],
)
def test_what_a_shell_would_do_something_with_is_refused(words: tuple[str, ...]) -> None:
    stage = Stage()
    stage.answers("peer.list", {"position": 8, "peers": [PEER]})
    assert stage.run("wg", "poll-script", "mullvad-exit", *words).exit_code == 2


class Far:
    """A far side with programs of its own: a curl that answers what is in a file, and a wg that notes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer, self.synced = folder / "answer", folder / "synced"
        self._program(
            "curl", f'cat >{folder}/auth; while [ "$1" != -o ]; do shift; done; cp {self.answer} "$2"'
        )
        self._program(
            "wg",
            f'[ "$1" = showconf ] && printf "[Interface]\\nPrivateKey = own\\n[Peer]\\nPublicKey = old\\n" || '
            f'{{ cat "$3" >{self.synced}; echo "$1 $2" >>{folder}/calls; }}',
        )
        text = polling.shell(URL, "100000001", None, "wg0").replace("/var/lib/netmap", str(folder / "state"))
        self.script = folder / "poll.sh"
        self.script.write_text(text.replace(polling.KEY, "secret", 1))

    def _program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def polls(self) -> int:
        env = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        return subprocess.run(["sh", str(self.script)], env=env, capture_output=True, check=False).returncode

    @property
    def calls(self) -> int:
        path = self.folder / "calls"
        return len(path.read_text().splitlines()) if path.exists() else 0


def test_the_shell_script_makes_the_peers_those_of_the_answer_when_it_has_changed(tmp_path: Path) -> None:
    far = Far(tmp_path)
    far.answer.write_text(f"[Peer]\nPublicKey = new\n\n# netmap checksum: {SUM}\n")
    assert far.polls() == 0
    synced = far.synced.read_text()
    assert "PrivateKey = own" in synced
    assert "PublicKey = new" in synced
    assert "PublicKey = old" not in synced
    assert (tmp_path / "auth").read_text() == "Authorization: Bearer secret\n"
    assert far.polls() == 0
    assert far.calls == 1
    far.answer.write_text(far.answer.read_text().replace("ab" * 32, "cd" * 32))
    assert far.polls() == 0
    assert far.calls == 2


def test_an_answer_without_a_checksum_changes_nothing(tmp_path: Path) -> None:
    far = Far(tmp_path)
    far.answer.write_text("Unauthorized")
    assert far.polls() == 1
    assert far.calls == 0
    assert not any("secret" in path.read_text() for path in (tmp_path / "state").iterdir())
