"""The policy of a tailnet that has none."""

from engine.domain.values import UserId
from engine.policy.allow_all import AllowAll
from engine.policy.policy import ALL_PORTS, Identity


def identities(*names: str) -> dict[str, Identity]:
    return {name: Identity(id=name, user=UserId(1)) for name in names}


def test_every_class_sees_every_class_and_is_reached_by_all_on_every_port() -> None:
    found = AllowAll().relate(identities("u2", "u1", "t:tag:a"))
    assert found.sets == {"all": ("t:tag:a", "u1", "u2")}
    assert set(found.standings) == {"u1", "u2", "t:tag:a"}
    for standing in found.standings.values():
        assert standing.sees == ("all",)
        (rule,) = standing.rules
        assert (rule.sources, rule.ports, rule.protocols) == (("all",), ALL_PORTS, ())


def test_a_class_that_comes_changes_nobody_elses_standing() -> None:
    before, after = AllowAll().relate(identities("u1")), AllowAll().relate(identities("u1", "u2"))
    assert after.standings["u1"] == before.standings["u1"]
    assert after.sets.keys() == before.sets.keys()


def test_the_order_of_the_classes_says_nothing() -> None:
    one, two = AllowAll().relate(identities("u1", "u2")), AllowAll().relate(identities("u2", "u1"))
    assert one == two
    assert list(one.standings) == list(two.standings)


def test_where_there_is_nobody_there_is_nothing_to_say() -> None:
    found = AllowAll().relate({})
    assert (found.sets, found.standings) == ({}, {})
