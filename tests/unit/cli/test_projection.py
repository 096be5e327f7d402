"""`netmap projection list|verify|rebuild` and `netmap replay`."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.opening import open_store
from engine.ports import Pending
from tests.kit.histories import Step, history
from tests.unit.cli.stage import Stage

DIGEST = "5725484b-" + "ab" * 32
ROW: dict[str, Any] = {
    "name": "host-7",
    "epoch": "e",
    "position": 118,
    "head": 120,
    "lag": 2,
    "lagSeconds": 0.2,
    "digest": DIGEST,
    "nodes": 3,
    "objects": 20,
    "moments": 1,
    "uptime": 3_600.0,
    "state": "ready",
    "heard": 0.0,
}
DIFFERENCE = {
    "what": "netmap",
    "key": "node/7",
    "position": 90,
    "live": {"type": "node", "ipv4": "100.64.9.9"},
    "rebuilt": {"type": "node", "ipv4": "100.64.0.7"},
}


def check(**more: Any) -> dict[str, Any]:
    whole = {
        "verb": "verify",
        "running": False,
        "position": 118,
        "end": 118,
        "records": 100,
        "seconds": 2.0,
        "moments": 1,
        "digest": DIGEST,
        "rebuilt": DIGEST,
        "difference": None,
        "swapped": False,
        "why": "",
    }
    return {**ROW, "check": {**whole, **more}}


def stage(*rows: dict[str, Any]) -> Stage:
    made = Stage()
    made.answers("projection.list", {"position": 118, "projections": list(rows or (ROW,))})
    return made


def test_the_list_says_how_far_each_is_and_what_it_holds() -> None:
    result = stage().run("projection", "list")
    assert result.exit_code == 0, result.stderr
    for part in ("host-7", "ready", "118", "2 · 0.2 s", "1 h", "abababababab"):
        assert part in result.stdout
    assert json.loads(stage().run("projection", "list", "-o", "json").stdout)[0] == ROW


@pytest.mark.parametrize("verb", ["verify", "rebuild"])
def test_all_are_asked_by_their_names_and_looked_at_until_they_are_done(verb: str) -> None:
    made = stage(ROW, {**ROW, "name": "host-8"})
    made.answers(f"host-7.{verb}", check(running=True))
    made.answers("host-7.get", check())
    made.answers(f"host-8.{verb}", {**check(), "name": "host-8"})
    result = made.run("projection", verb, "-o", "json")
    assert result.exit_code == 0, result.stderr
    assert [row["name"] for row in json.loads(result.stdout)] == ["host-7", "host-8"]
    asked = [subject.split(".", 3)[3] for subject, *_ in made.requests]
    assert asked == [
        "q.projection.list",
        f"q.projection.host-7.{verb}",
        "q.projection.host-7.get",
        f"q.projection.host-8.{verb}",
    ]


def test_one_of_which_nothing_is_heard_is_told_and_not_asked_unless_by_its_name() -> None:
    made = stage(ROW, {**ROW, "name": "host-8", "state": "silent"})
    made.answers("host-7.verify", check())
    made.answers("host-8.verify", {**check(), "name": "host-8"})
    result = made.run("projection", "verify")
    assert result.exit_code == 0, result.output
    assert "host-8" in result.stderr
    assert [subject for subject, _, _ in made.requests if subject.endswith("host-8.verify")] == []
    assert made.run("projection", "verify", "host-8").exit_code == 0
    assert [subject for subject, _, _ in made.requests if subject.endswith("host-8.verify")] != []


def test_that_nobody_is_heard_is_unreachable() -> None:
    assert stage({**ROW, "state": "silent"}).run("projection", "verify").exit_code == 6


def test_one_that_differs_is_named_with_both_forms_and_ends_with_1() -> None:
    made = stage()
    made.answers("host-7.verify", check(difference=DIFFERENCE, rebuilt="5725484b-" + "cd" * 32))
    result = made.run("projection", "verify", "host-7")
    assert result.exit_code == 1
    for part in ("node/7", "90", "100.64.9.9", "100.64.0.7", "abababababab", "cdcdcdcdcdcd"):
        assert part in result.stdout
    assert "netmap projection rebuild host-7" in result.stderr


def test_one_that_could_not_compare_ends_with_1() -> None:
    made = stage()
    made.answers("host-7.verify", check(why="the log cannot be read"))
    result = made.run("projection", "verify", "host-7")
    assert result.exit_code == 1
    assert "the log cannot be read" in result.stderr


def test_one_that_is_not_there_is_unreachable() -> None:
    made = stage()
    made.silent = True
    assert made.run("projection", "verify", "host-9").exit_code == 6


COURSE: list[Step] = [("user", 0, 0), ("node", 0, 0), ("node", 0, 0), ("rename", 1, 1)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    async def write() -> None:
        store = open_store(f"sqlite://{tmp_path}/events.db", tailnet="default")
        await store.open()
        await store.append([Pending(envelope=one.envelope, event=one.event) for one in history(COURSE)])
        await store.close()

    asyncio.run(write())
    return tmp_path


def test_a_replay_reads_the_store_and_asks_nobody(directory: Path) -> None:
    made = stage()
    result = made.run("replay", "--dir", str(directory), "--every", "2", "-o", "json")
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout)
    assert (done["records"], done["nodes"], done["why"]) == (5, 2, "")
    assert done["digests"]
    assert made.requests == []
    table = made.run("replay", "--dir", str(directory), "--every", "2")
    assert done["digest"][:40] in table.stdout
    assert done["digests"][0]["digest"] in table.stdout
    then = json.loads(made.run("replay", "--dir", str(directory), "--at", "3", "-o", "json").stdout)
    assert (then["position"], then["nodes"]) == (3, 1)


def test_a_moment_that_is_none_is_a_matter_of_usage(directory: Path) -> None:
    assert stage().run("replay", "--dir", str(directory), "--at", "yesterday").exit_code == 2


def test_a_record_that_cannot_be_read_ends_with_1_and_is_named(directory: Path) -> None:
    import sqlite3

    with sqlite3.connect(directory / "events.db") as connection:
        connection.execute("UPDATE stored_events SET topic = 'Nonsense.v1' WHERE rowid = 4")
    result = stage().run("replay", "--dir", str(directory))
    assert result.exit_code == 1
    assert "after position 3 the log cannot be read: the record at 4 is of an unknown type" in result.stderr


def test_without_a_store_it_is_unreachable(tmp_path: Path) -> None:
    assert stage().run("replay", "--dir", str(tmp_path)).exit_code == 6
