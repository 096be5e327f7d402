"""Which name is free, and what a name may be."""

import pytest

from engine.domain.commands import DeleteNode, RenameNode
from engine.domain.names import free_name, label_of
from tests.kit.scenario import Scene


@pytest.mark.parametrize(
    ("hostname", "label"),
    [
        ("laptop", "laptop"),
        ("Anna's MacBook Pro", "anna-s-macbook-pro"),
        ("host.example.com", "host"),
        ("-_-x-_-", "x"),
        ("", "node"),
        ("...", "node"),
        ("日本", "node"),
        ("localhost", "node"),
        ("LOCALHOST.localdomain", "node"),
        ("2024", "node-2024"),
        ("a" * 100, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
    ],
)
def test_a_hostname_is_made_to_fit(hostname: str, label: str) -> None:
    assert label_of(hostname) == label


def test_nodes_of_one_hostname_are_numbered() -> None:
    scene = Scene()
    scene.user()
    names = [scene.tailnet.nodes[scene.node(f"m{index}", hostname="ubuntu")].name for index in range(40)]
    assert names == ["ubuntu", *(f"ubuntu-{index}" for index in range(1, 40))]


def test_a_name_that_became_free_is_found_again() -> None:
    scene = Scene()
    scene.user()
    for index in range(3):
        scene.node(f"m{index}", hostname="ci")
    scene.when(DeleteNode(node="ci"))
    assert free_name(scene.tailnet, "ci") == "ci"


def test_a_numbered_name_still_fits() -> None:
    scene = Scene()
    scene.user()
    first, second = (
        scene.tailnet.nodes[scene.node(f"m{index}", hostname="a" * 63)].name for index in range(2)
    )
    assert (first, second) == ("a" * 63, "a" * 61 + "-1")


def test_names_are_unique_over_nodes_and_wireguard_only_peers() -> None:
    scene = Scene()
    scene.user()
    scene.peer("sweden")
    assert scene.tailnet.nodes[scene.node("m", hostname="sweden")].name == "sweden-1"
    assert scene.refused(RenameNode(node="sweden-1", name="sweden")).code == "name.taken"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Sweden", "name.syntax"),
        ("se_1", "name.syntax"),
        ("-se", "name.syntax"),
        ("se-", "name.syntax"),
        ("se.exit", "name.syntax"),
        ("s" * 64, "name.syntax"),
        ("schön", "name.syntax"),
        ("se\n", "name.syntax"),
        ("١", "name.syntax"),
        ("12", "name.number"),
        ("localhost", "name.reserved"),
    ],
)
def test_an_explicit_name_is_validated_and_not_made_to_fit(name: str, code: str) -> None:
    scene = Scene()
    scene.user()
    scene.node("laptop")
    refusal = scene.refused(RenameNode(node=1, name=name))
    assert refusal.code == code
    assert refusal.field == "name"
    assert repr(name[:60])[1:-1] in refusal.message
