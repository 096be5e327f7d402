"""`netmap events stream`."""

import json

import pytest

from tests.unit.cli.stage import Stage

REPLY = {"stream": "NETMAP_EVENTS", "epoch": "e1", "told": 7, "position": 9}


@pytest.mark.parametrize("verb", ["get", "rebuild"])
def test_the_engine_is_asked(verb: str) -> None:
    stage = Stage()
    stage.answers(f"stream.{verb}", REPLY)
    result = stage.run("events", "stream", verb)
    assert result.exit_code == 0, result.stderr
    assert "NETMAP_EVENTS" in result.stdout
    assert stage.last[0] == f"netmap.v1.default.q.stream.{verb}"
    assert json.loads(stage.run("events", "stream", verb, "-o", "json").stdout) == REPLY
