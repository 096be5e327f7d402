"""`make cluster`: who dies is started again after a pause, and haproxy takes what is made of the containers' configuration."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit.local_cluster import LONGEST, SHORTEST, STEADY_SECONDS, Watch, on_loopback
from tests.kit.procs import Proc
from tests.unit.deploy.test_deploy import ROOT


class Short:
    """One process that ends at once, whenever it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.starts = 0
        self.procs: dict[str, Proc] = {}
        self.again("p")

    def again(self, name: str) -> None:
        self.starts += 1
        self.procs[name] = Proc(["false"], self._folder / f"{name}.log")
        self.procs[name].wait_exit()


def test_who_dies_again_and_again_is_started_less_and_less(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster, now, pauses = Short(tmp_path), 0.0, []
    watch = Watch(cluster)
    for _ in range(7):
        watch.look(now)
        before = cluster.starts
        said = float(capsys.readouterr().out.split(" in ")[1].split(" s:")[0])
        pauses.append(said)
        watch.look(now + said - 0.001)
        assert cluster.starts == before
        watch.look(now := now + said)
        assert cluster.starts == before + 1
    assert pauses == [SHORTEST, 2.0, 4.0, 8.0, 16.0, LONGEST, LONGEST]
    watch.look(now + STEADY_SECONDS + 1)
    assert f"in {SHORTEST:g} s" in capsys.readouterr().out


def test_who_runs_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Short(tmp_path)
    with Proc(["sleep", "60"], tmp_path / "log") as running:
        cluster.procs["p"] = running
        Watch(cluster).look(1.0)
        assert cluster.procs["p"] is running
    assert capsys.readouterr().out == ""


def test_haproxy_takes_the_configuration_for_loopback(tmp_path: Path) -> None:
    text = on_loopback((ROOT / "deploy/haproxy/haproxy.cfg").read_text(), 18080, [18081, 18082])
    assert "server f2 127.0.0.1:18082" in text
    assert "option httpchk" in text
    assert not {"docker", ":8405", "server-template"} & set(text.split())
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if haproxy is None:
        pytest.skip("NO haproxy here: its configuration is not checked (make lab installs it)")
    (tmp_path / "haproxy.cfg").write_text(text)
    argv = [haproxy, "-c", "-f", str(tmp_path / "haproxy.cfg")]
    assert subprocess.run(argv, check=False, capture_output=True).returncode == 0
