"""The session tests can fail: views that are wrong in one thing are found by a course of changes that a right one survives."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.domain.events import ExtraConfig
from engine.domain.values import NodeId, PeerId
from engine.policy.policy import SshUse
from frontends.control.concern import Concern
from frontends.control.view import View
from tests.unit.control import rulebook
from tests.unit.control.objects import to
from tests.unit.control.test_session import NAMES, Frames

Wrong = Callable[[View], None]
ALL, SOME = {"all", "s1", "s2"}, {"s1"}


def course(machine: Frames) -> None:
    """Something of everything; after each change every client is told, and looked at."""
    here, there, tagged = NAMES
    everything = {name: (to(),) for name in rulebook.ENTRIES}
    changes: tuple[Callable[[], object], ...] = (
        lambda: machine.gather(name="s2", classes={tagged}, is_source=False),
        lambda: machine.gather(name="s2", classes={there}, is_source=True),
        lambda: machine.route("10.1.0.0/16", [NodeId(2), NodeId(64)], {"s1"}, [({"all"}, [NodeId(64)])]),
        lambda: machine.report(number=NodeId(64), online=True, ports=1, host=True),
        lambda: machine.report(number=NodeId(2), online=True, ports=1, host=False),
        lambda: machine.relate(here, ALL, everything, (), (SshUse("local"), SshUse("each"))),
        lambda: machine.relate(there, ALL, everything, ("disable-ipv4",), (SshUse("local", own=True),)),
        lambda: machine.write(["another set", "via", "whole and some", "one set", "some over tcp"]),
        lambda: machine.relate(tagged, ALL, everything, (), (SshUse("root"),)),
        lambda: machine.join(NodeId(3), tagged, ("10.1.0.0/16",), ("0.0.0.0/0", "::/0")),
        lambda: machine.connect(
            number=NodeId(3), peers={PeerId(100_000_001)}, masq="10.9.0.9", left=None, jailed=False
        ),
        lambda: machine.report(number=NodeId(1), online=True, ports=3, host=False),
        lambda: machine.put_external(
            number=100_000_001, allowed=("10.9.0.0/16",), ports=2, extra=ExtraConfig(), state={}
        ),
        lambda: machine.gather(name="s1", classes={here, tagged}, is_source=True),
        lambda: machine.delete(NodeId(65)),
        lambda: machine.join(NodeId(65), there, (), ()),
        lambda: machine.expire(NodeId(1), there, 0),
        lambda: machine.lapse(1_700_001_000_000),
        machine.revive,
        lambda: machine.write(list(reversed(rulebook.ENTRIES))),
        lambda: machine.unroute("10.1.0.0/16"),
    )
    for change in changes:
        change()
        machine.tell_everybody()


def drive(wrong: Wrong) -> None:
    machine = Frames()
    wrong(machine.view)
    machine.begin()
    course(machine)


def nothing(_view: View) -> None:
    """A view that is right."""


def misses_routers_that_come(view: View) -> None:
    spoil(view._steering, "_flips", lambda _: False)


def steers_nobody(view: View) -> None:
    primary = view._steering._primary
    router = lambda route, mine: None if mine.isdisjoint(route.sets) else primary[route.prefix]  # noqa: E731
    spoil(view._steering, "_router", router)


def tells_everybody_of_every_route(view: View) -> None:
    primary = view._steering._primary
    spoil(view._steering, "_router", lambda route, _: primary[route.prefix])


def keeps_old_routes(view: View) -> None:
    class Kept(dict[Any, Any]):
        def clear(self) -> None: ...

    spoil(view._steering, "_shown", Kept())


def keeps_old_sources(view: View) -> None:
    spoil(view._sources, "stir", lambda _: None)


def keeps_old_shells(view: View) -> None:
    once = view._shells._groups
    known: dict[str, Any] = {}
    spoil(view._shells, "_groups", lambda rule: known.setdefault(rule.id, once(rule)))


def lets_the_expired_send(view: View) -> None:
    spoil(view._sources, "nodes", lambda name: view.members.get(name, {}).values())


def shows_ipv4_always(view: View) -> None:
    spoil(view, "_on_classes", lambda _: set())


def confines_nobody(view: View) -> None:
    spoil(view._owns, "_owned", lambda *_: None)


def has_rules_in_another_order(view: View) -> None:
    right = view._owns._rules._program
    spoil(view._owns._rules, "_program", lambda: tuple(sorted(right())))


def keeps_no_places(view: View) -> None:
    rules = view._owns._rules
    right, program = rules.by_address, rules._program

    def by_address(own: Any, *others: Any) -> bytes:
        names = {reach.entry for reach in own.rules}
        spoil(rules, "_program", lambda: tuple(name for name in program() if name in names))
        return right(own, *others)

    spoil(rules, "by_address", by_address)


def carries_every_set(view: View) -> None:
    spoil(view._sets, "named_of", view._sets.of)


def forgets_no_own_part(view: View) -> None:
    spoil(view._owns, "forget", lambda _: None)


def demotes_nobody(view: View) -> None:
    spoil(view, "_common_of", lambda _: view._common)


def concerns_nobody(view: View) -> None:
    spoil(view, "concerns", lambda _standing, _since: False)


def concerns_no_viewers(view: View) -> None:
    add = view._concerns.add
    spoil(
        view._concerns,
        "add",
        lambda version, found: add(version, found and found._replace(classes=frozenset())),
    )


def concerns_no_owners(view: View) -> None:
    add = view._concerns.add
    spoil(
        view._concerns,
        "add",
        lambda version, found: add(version, found and found._replace(nodes=frozenset())),
    )


def takes_every_change_for_a_narrow_one(view: View) -> None:
    add = view._concerns.add
    spoil(
        view._concerns, "add", lambda version, found: add(version, found or Concern(frozenset(), frozenset()))
    )


def misses_relays_that_change(view: View) -> None:
    spoil(view._owns._relayed, "changed", lambda _: set[NodeId]())


def spoil(part: object, name: str, by: object) -> None:
    setattr(part, name, by)


def test_a_right_view_survives_the_course() -> None:
    drive(nothing)


@pytest.mark.parametrize(
    "wrong",
    [
        misses_routers_that_come,
        steers_nobody,
        tells_everybody_of_every_route,
        keeps_old_routes,
        keeps_old_sources,
        keeps_old_shells,
        lets_the_expired_send,
        shows_ipv4_always,
        confines_nobody,
        has_rules_in_another_order,
        keeps_no_places,
        carries_every_set,
        forgets_no_own_part,
        demotes_nobody,
        concerns_nobody,
        concerns_no_viewers,
        concerns_no_owners,
        takes_every_change_for_a_narrow_one,
        misses_relays_that_change,
    ],
)
def test_a_view_that_is_wrong_in_one_thing_is_found(wrong: Wrong) -> None:
    with pytest.raises(AssertionError):
        drive(wrong)
