"""The policy of a tailnet that has none."""

from engine.domain.values import UserId
from engine.policy.allow_all import AllowAll
from engine.policy.policy import ALL_PORTS, Identity


def identities(*names: str) -> dict[str, Identity]:
    return {name: Identity(id=name, user=UserId(1)) for name in names}


def test_every_class_sees_every_class_and_is_reached_by_all_on_every_port() -> None:
    found = AllowAll().relate(identities("u2", "u1", "t:tag:a"))
    assert set(found) == {"u1", "u2", "t:tag:a"}
    for standing in found.values():
        assert standing.sees == ("t:tag:a", "u1", "u2")
        (rule,) = standing.rules
        assert (rule.sources, rule.ports, rule.protocols) == (standing.sees, ALL_PORTS, ())


def test_the_order_of_the_classes_says_nothing() -> None:
    one, two = AllowAll().relate(identities("u1", "u2")), AllowAll().relate(identities("u2", "u1"))
    assert list(one.items()) == list(two.items())


def test_where_there_is_nobody_there_is_nothing_to_say() -> None:
    assert AllowAll().relate({}) == {}
