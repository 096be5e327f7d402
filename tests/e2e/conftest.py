"""Fixtures of the end-to-end tests: one lab, and one tailnet in it, for each module."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.derp import derp_map, start_stun
from tests.kit.lab.net import Lab
from tests.kit.lab.ready import require_lab
from tests.kit.serving import Serving

HASTE = {"NETMAP_EPHEMERAL_SECONDS": "5", "NETMAP_LOOKUP_SECONDS": "1"}
"""Settings that make a test wait less."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_lab()
    with Lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture(scope="module")
def tailnet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A whole deployment on `ctl`: two frontends behind a balancer, SQLite."""
    folder: Path = tmp_path_factory.mktemp("tailnet")
    start_stun(lab)
    with Cluster(folder, host=lab.host("ctl"), frontends=2, balanced=True, settings=HASTE) as cluster:
        cluster.start()
        path = folder / "derp.json"
        path.write_text(json.dumps(derp_map()))
        cluster.cli("derp", "set", str(path))
        yield cluster


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A directory whose server is not started yet."""
    made = Serving(tmp_path)
    yield made
    made.close()
