"""DERP maps as people have them."""

import json
from pathlib import Path

import pytest

from frontends.cli.derpmap import read
from frontends.cli.failure import Failure
from tests.unit.cli.stage import Stage

WIRE = {
    "Regions": {"900": {"RegionID": 900, "RegionCode": "lab", "Nodes": [{"Name": "900a", "HostName": "h"}]}}
}
HEADSCALE = """
regions:
  900:
    regionid: 900
    regioncode: lab
    nodes:
      - name: 900a
        hostname: h
"""


def test_the_spellings_of_the_wire_and_of_headscale_are_the_same_map(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(WIRE))
    (tmp_path / "b.yaml").write_text(HEADSCALE)
    assert read(str(tmp_path / "a.json")) == read(str(tmp_path / "b.yaml")) == WIRE


@pytest.mark.parametrize("text", ["{", "[]", "{}", "a: [", "3"])
def test_what_is_no_map_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "map").write_text(text)
    with pytest.raises(Failure) as failed:
        read(str(tmp_path / "map"))
    assert failed.value.exit_code == 2


def test_a_file_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failed:
        read(str(tmp_path / "none"))
    assert failed.value.exit_code == 1
    assert "No such file" in failed.value.trouble.message


def test_derp_set_sends_the_map(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HEADSCALE)
    stage = Stage()
    assert stage.run("derp", "set", str(tmp_path / "a.yaml")).exit_code == 0
    assert stage.last == ("netmap.v1.default.cmd.derp.set", {"derpMap": WIRE})
