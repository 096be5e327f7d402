"""A policy takes effect: what an edit touches, and what it leaves alone."""

import pytest

from engine.contracts.netmap import Change, ProgramObject
from engine.domain.events import DomainsSet, UserCreated
from engine.domain.values import NodeId, UserId
from engine.policy.document import Kind, Selector
from engine.policy.program import key_of
from projections.netmap.view import view
from tests.kit.policy_stage import Stage, policy_set
from tests.unit.projections.netmap.stages import (
    COMMON,
    Policy,
    acl,
    keys,
    registered,
    routed,
    ruled,
    stage,
    touched,
)

ONE, TWO, THREE = acl("ann@", "tag:a:22"), acl("bob@", "tag:b:80"), acl("tag:a", "tag:b:443")
MEMBERS = key_of(Selector(kind=Kind.MEMBER))
SSH = {"action": "accept", "src": ["ann@"], "dst": ["tag:a"], "users": ["root"]}


def acls(*rules: Policy) -> Policy:
    return {"acls": list(rules)}


def edited(before: Policy, after: Policy) -> tuple[Stage, tuple[Change, ...]]:
    """A tailnet with a route and a stranger's node, under one policy and then under another."""
    there = stage(before, *routed(4, "10.0.0.0/8"), UserCreated(user=UserId(3), name="eve"), registered(9, 3))
    return there, there.tell(ruled(after))


def tagged_b(there: Stage) -> str:
    """The class of node 4, which routes something."""
    return next(name for name in there.state.identities if name.startswith("t:tag:b!"))


def test_other_ports_of_one_rule_touch_whom_it_is_for_and_nothing_else() -> None:
    there, changes = edited(acls(ONE, TWO), acls(ONE, acl("bob@", "tag:b:81")))
    assert touched(changes) == {"class": 1}
    assert keys(changes, "class") == {tagged_b(there)}


def test_other_sources_of_one_rule_touch_its_entry_the_order_and_whom_both_speak_of() -> None:
    there, changes = edited(acls(ONE, TWO), acls(ONE, acl("eve@", "tag:b:80")))
    sets = there.state.policy.sets
    assert touched(changes) == {"entry": 2, "program": 1, "class": 3, "set": 2}
    assert keys(changes, "class") == {"u2", "u3", tagged_b(there)}
    assert keys(changes, "set") == {sets.of("user bob@"), sets.of("user eve@")}


def test_another_protocol_of_one_rule_touches_its_entry_the_order_and_whom_it_is_for() -> None:
    there, changes = edited(acls(ONE, TWO), acls(ONE, TWO | {"proto": "udp"}))
    assert touched(changes) == {"entry": 2, "program": 1, "class": 1}
    assert keys(changes, "class") == {tagged_b(there)}


def test_a_rule_that_comes_touches_its_ends_and_their_sets_and_nobody_else() -> None:
    there, changes = edited(acls(ONE), acls(ONE, TWO))
    sets = there.state.policy.sets
    assert keys(changes, "class") == {"u2", tagged_b(there)}
    assert keys(changes, "set") == {sets.of("user bob@"), sets.of("tag tag:b")}
    assert touched(changes) == {"entry": 1, "program": 1, "class": 2, "set": 2}


def test_a_rule_that_goes_takes_its_entry_with_it() -> None:
    there, changes = edited(acls(ONE, TWO), acls(ONE))
    gone = {change.key for change in changes if change.value is None}
    assert {key.partition("/")[0] for key in gone} == {"entry", "set"}
    assert len(there.state.policy.entries) == 1
    assert {key for key in there.state.objects if key.startswith("entry/")} == {
        f"entry/{there.state.policy.entries[0].id}"
    }


def test_another_order_of_rules_touches_the_order_and_whoever_has_both() -> None:
    both = acl("bob@", "tag:a:80")
    there, changes = edited(acls(ONE, both), acls(both, ONE))
    assert touched(changes) == {"program": 1, "class": 1}
    assert keys(changes, "class") == {"t:tag:a"}
    value = there.state.objects["program"].value
    assert isinstance(value, ProgramObject)
    assert value.entries == tuple(entry.id for entry in there.state.policy.entries)


def test_the_same_policy_in_other_words_changes_nothing() -> None:
    there = stage(acls(ONE, TWO) | {"ssh": [SSH]})
    text = "// why\n{" + '"acls":[{"action":"accept","src":["ann@"],"dst":["tag:a:22"]},'
    text += '{"action":"accept","src":["bob@"],"dst":["tag:b:80",],}],'
    text += '"ssh":[{"dst":["tag:a"],"users":["root"],"action":"accept","src":["ann@"]}],'
    text += '"groups":{"group:g":["bob@"]},"tagOwners":{"tag:a":["ann@"],"tag:b":["ann@"]}}'
    assert there.tell(policy_set(text)) == ()


def test_a_rule_about_a_range_moves_the_nodes_in_it_to_classes_of_their_own_and_no_others() -> None:
    _, changes = edited(acls(ONE), acls(ONE, acl("100.64.0.0/30", "tag:a:22")))
    assert keys(changes, "node") == {"1", "2", "3"}
    _, changes = edited(acls(ONE), acls(ONE, acl("bob@", "10.1.0.0/16:*")))
    assert keys(changes, "node") == {"4"}  # it routes what the range is in
    assert keys(changes, "route") == {"10.0.0.0/8"}


def test_an_ssh_rule_touches_itself_and_whoever_has_it() -> None:
    there, changes = edited(acls(ONE), acls(ONE) | {"ssh": [SSH]})
    assert touched(changes) == {"ssh": 1, "class": 1}
    assert keys(changes, "class") == {"t:tag:a"}
    (rule,) = there.state.policy.ssh_rules
    assert keys(changes, "ssh") == {rule.id}
    assert touched(there.tell(ruled(acls(ONE)))) == {"ssh": 1, "class": 1}


def test_an_attribute_touches_whoever_has_it() -> None:
    _, changes = edited(acls(ONE), acls(ONE) | {"nodeAttrs": [{"target": ["bob@"], "attr": ["funnel"]}]})
    assert touched(changes) == {"class": 1}
    assert keys(changes, "class") == {"u2"}


def test_another_member_of_a_group_touches_that_users_classes_and_the_groups_set() -> None:
    before = acls(acl("group:g", "tag:a:22"))
    there = stage(before, UserCreated(user=UserId(3), name="eve"), registered(9, 3))
    changes = there.tell(policy_set(COMMON | before | {"groups": {"group:g": ["bob@", "eve@"]}}))
    assert keys(changes, "class") == {"u3"}
    assert touched(changes) == {"class": 1, "set": 1}


def test_a_set_that_only_destinations_name_is_no_source_until_a_rule_makes_it_one() -> None:
    there = stage(acls(ONE))
    tagged = there.state.policy.sets.of("tag tag:a")
    assert not there.state.policy.is_source(tagged)
    changes = there.tell(ruled(acls(ONE, THREE)))
    assert tagged in keys(changes, "set")
    assert there.state.policy.is_source(tagged)


def test_rules_for_ones_own_give_each_user_a_set_that_is_a_source() -> None:
    own = acl("autogroup:member", "autogroup:self:*")
    there, changes = edited(acls(ONE), acls(ONE, own))
    sets = [there.state.policy.sets.own(number) for number in (1, 2, 3)]
    assert set(sets) <= keys(changes, "set")
    assert all(there.state.policy.is_source(name) for name in sets)
    assert there.state.policy.sets.of(MEMBERS) in keys(changes, "set")
    assert keys(changes, "class") == {"u1", "u2", "u3"}


def test_without_a_policy_everybody_sees_everybody_and_with_an_empty_list_nobody() -> None:
    there = stage(None)
    before = view(there.state, NodeId(1))
    assert before is not None
    assert len(before.peers) == 3
    there.tell(ruled({"acls": []}))
    after = view(there.state, NodeId(1))
    assert after is not None
    assert (after.peers, after.rules) == ((), ())
    there.tell(policy_set(None))
    again = view(there.state, NodeId(1))
    assert again is not None
    assert (again.peers, again.rules) == (before.peers, before.rules)


@pytest.mark.parametrize("text", ["{", '{"acls":[{"action":"deny"}]}', "[]", "null", '{"no":"such"}'])
def test_a_text_that_cannot_be_read_any_more_allows_nothing(text: str) -> None:
    there = stage(acls(ONE, TWO))
    there.tell(policy_set(text))
    assert not there.state.policy.entries
    assert not any(one.sees or one.rules for one in there.state.standings.values())


def test_domains_are_part_of_what_a_policy_means() -> None:
    there = stage(acls(acl("user:*@example.com", "tag:a:22")), DomainsSet(domains=("example.com",)))
    assert len(there.state.policy.entries) == 1
    changes = there.tell(DomainsSet(domains=("example.org",)))
    assert not there.state.policy.entries  # a domain that is not the tailnet's: no policy any more
    assert touched(changes)["program"] == 1
    there.tell(DomainsSet(domains=("example.com",)))
    assert len(there.state.policy.entries) == 1
