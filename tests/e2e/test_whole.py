"""Everything twice or more, as `docker-compose.yml` has it: three brokers, PostgreSQL, two engines, two projections, four frontends."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.kit.cluster import WHOLE, CliError, Cluster
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("whole")
    with Cluster(folder, frontends=4, balanced=True, size=WHOLE) as cluster:
        cluster.start()
        cluster.wait_answers()
        yield cluster


def test_commands_are_done_whichever_broker_is_away(whole: Cluster) -> None:
    for name in whole.nats:
        whole.kill(name)
        whole.cli("user", "create", f"without-{name}")
        whole.start(name)
    names = [user["name"] for user in whole.ask("user", "list")]
    assert names == [f"without-{name}" for name in whole.nats]


def test_the_store_may_crash(whole: Cluster) -> None:
    whole.kill("postgres")
    whole.start("postgres")
    whole.wait_answers()
    wait_until(partial(_is_created, whole, "after-the-crash"), "a command is accepted", timeout=30)


def _is_created(whole: Cluster, name: str) -> bool:
    """Send one command again and again, as a person does who is told that the outcome is unknown."""
    try:
        whole.cli("user", "create", name, "--id", name)
    except CliError:
        return False
    return True
