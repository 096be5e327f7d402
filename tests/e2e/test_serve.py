"""`netmap serve`, as a newcomer runs it: one directory, nothing else; a second start has everything back."""

import json
import os
import re
import signal

import pytest

from tests.kit.procs import wait_until
from tests.kit.serving import REGISTER, Serving

pytestmark = pytest.mark.real


def test_the_lines_that_are_printed_work_as_printed_and_survive_a_restart(serving: Serving) -> None:
    said = serving.start()
    assert serving.directory.stat().st_mode & 0o777 == 0o700
    lines = [line.strip() for line in said.splitlines() if line.startswith("  netmap ")]
    assert lines[:2] == ["netmap user create alice", "netmap preauthkey create --user alice"]
    assert all(serving.types(line).returncode == 0 for line in lines)
    registered = serving.types(REGISTER)
    assert registered.returncode == 0, registered.stderr
    assert "100000001" in registered.stdout
    assert "add-wg-connection" in registered.stderr
    before = serving.types("netmap events list -o json").stdout

    assert serving.interrupt() == 0
    assert serving.types("netmap user list").returncode == 6

    serving.start()
    assert serving.types("netmap events list -o json").stdout == before
    again = serving.types(REGISTER)
    assert again.returncode == 5
    assert re.search(r"mullvad-exit|public key", again.stderr)


def test_a_resend_of_a_command_id_has_one_effect_over_a_restart(serving: Serving) -> None:
    serving.start()
    first = serving.types("netmap user create bob --id once --reason first -o json")
    serving.interrupt()
    serving.start()
    second = serving.types("netmap user create bob --id once --reason again -o json")
    assert json.loads(first.stdout) == json.loads(second.stdout)
    other = serving.types("netmap user create carol --id once")
    assert (other.returncode, "id" in other.stderr) == (5, True)
    (bob,) = json.loads(serving.types("netmap user list -o json").stdout)
    assert bob["name"] == "bob"


def test_a_killed_server_comes_back_with_what_it_acknowledged(serving: Serving) -> None:
    serving.start()
    assert serving.types("netmap user create dora").returncode == 0
    assert serving.proc is not None
    serving.proc.kill()
    serving.start()
    assert "dora" in serving.types("netmap user list").stdout


def test_several_frontends_share_the_port_and_one_that_dies_is_replaced(serving: Serving) -> None:
    serving.start("--frontends", "3")
    before = serving.frontends()
    assert sorted(before) == ["f1", "f2", "f3"]
    os.kill(before["f2"], signal.SIGKILL)
    wait_until(lambda: serving.frontends().get("f2", before["f2"]) != before["f2"], "f2 is back", timeout=20)
    assert serving.proc is not None
    assert '"frontend.died"' in serving.proc.text()
    after = serving.frontends()
    assert {name: after[name] for name in ("f1", "f3")} == {name: before[name] for name in ("f1", "f3")}
    assert serving.interrupt() == 0
    assert not any(_is_there(process) for process in after.values())


def test_frontends_end_with_a_parent_that_is_killed_and_a_second_start_has_the_port(serving: Serving) -> None:
    serving.start("--frontends", "2")
    orphans = serving.frontends().values()
    assert serving.proc is not None
    serving.proc.kill()
    serving.start("--frontends", "2")
    assert not set(serving.frontends().values()) & set(orphans)
    wait_until(
        lambda: not any(_is_there(process) for process in orphans), "the orphans have ended", timeout=10
    )


def test_one_frontend_is_in_the_same_process(serving: Serving) -> None:
    serving.start("--frontends", "1")
    assert serving.proc is not None
    assert serving.frontends() == {"f1": serving.proc.pid}


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
