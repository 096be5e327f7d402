"""Servers that several contracts are held against."""

from collections.abc import Iterator

import pytest

from tests.kit.nats_server import NatsServer


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A real nats-server, one for each module."""
    with NatsServer(tmp_path_factory.mktemp("nats")) as running:
        yield running
