"""Rules of Tailscale SSH in their wire form."""

from typing import Any

import msgspec
import pytest

from engine.contracts.netmap import NetmapObject
from engine.domain.values import NodeId
from engine.policy.policy import SshUse
from tests.unit.control.objects import Held, a_class, a_set, node, shell, tailnet

TAGGED = "t:tag:a+tag:b"
LOCAL: dict[str, Any] = {"users": (("root", ""),), "local": True, "towards": ("u1",)}
ROOT = {"root": ""}


def held(*rules: NetmapObject, own: tuple[SshUse, ...] = (SshUse("r"),), **fields: Any) -> Held:
    """Nodes 1 and 2 of u1, which has the rules; 3 of u2, 4 of tags; sets `u1`, `u2`, `tagged`, `all`."""
    return Held(
        tailnet(),
        *rules,
        a_set("u1", "u1"),
        a_set("u2", "u2"),
        a_set("tagged", TAGGED),
        a_set("all", "u1", "u2", TAGGED),
        a_class("u1", sees=("all",), ssh=own, local_names=(("r", "ann"),), **fields),
        a_class("u2", sees=("all",), local_names=(("r", "bob"), ("r", "rob"), ("another", "bobby"))),
        a_class(TAGGED, sees=("all",)),
        node(2, "u1"),
        node(1, "u1"),
        node(3, "u2"),
        node(4, TAGGED),
    )


def principals(rule: dict[str, Any]) -> list[str]:
    assert all(set(one) == {"nodeIP"} for one in rule["principals"])
    return [one["nodeIP"] for one in rule["principals"]]


def both(*numbers: int) -> list[str]:
    return sorted(text for n in numbers for text in (f"100.64.0.{n}", f"fd7a:115c:a1e0::{n:x}"))


def split(there: Held, number: int) -> list[tuple[list[str], dict[str, str]]]:
    """A node's rules as principals and users."""
    return [(principals(rule), rule["sshUsers"]) for rule in there.shells(number)]


def test_who_has_no_rule_lets_nobody_in() -> None:
    assert held(shell("r", "all"), own=()).shells(1) == []
    assert held(shell("r", "all")).shells(3) == []


def test_an_accepting_rule_lets_its_sources_in_with_all_forwarding() -> None:
    rules = shell("r", "tagged", "u2", users=(("*", "="), ("root", "")), accept_env=("LANG", "X_*"))
    (rule,) = held(rules).shells(1)
    assert principals(rule) == both(3, 4)
    assert (rule["sshUsers"], rule["acceptEnv"]) == ({"*": "=", "root": ""}, ["LANG", "X_*"])
    assert rule["action"] == {
        "accept": True,
        "allowAgentForwarding": True,
        "allowLocalPortForwarding": True,
        "allowRemotePortForwarding": True,
    }


def test_a_checking_rule_holds_and_asks_and_does_nothing_else() -> None:
    (rule,) = held(shell("r", "u2", is_check=True)).shells(1)
    assert set(rule["action"]) == {"holdAndDelegate"}
    assert rule["action"]["holdAndDelegate"].startswith("https://unused/machine/ssh/check/$SRC_NODE_ID/")
    assert "acceptEnv" not in rule


def test_rules_stand_as_the_class_has_them() -> None:
    rules = [shell(name, "u2", users=((name, name),)) for name in "abc"]
    there = held(*rules, own=(SshUse("c"), SshUse("a"), SshUse("b")))
    assert [list(rule["sshUsers"]) for rule in there.shells(1)] == [["c"], ["a"], ["b"]]


def test_a_node_counts_once_for_each_of_its_tags_where_the_rule_says_so() -> None:
    assert principals(held(shell("r", each=("tagged",))).shells(1)[0]) == sorted(both(4) * 2)
    assert principals(held(shell("r", "tagged")).shells(1)[0]) == both(4)


def test_a_rule_that_means_nobody_now_is_left_out_and_there_when_somebody_comes() -> None:
    there = held(shell("r", "u2"))
    there.put(node(3, "u2", expired=True))
    assert there.shells(1) == []
    there.put(node(5, "u2"))
    assert principals(there.shells(1)[0]) == both(5)


def test_somebody_comes_also_from_an_address_that_is_not_shown() -> None:
    there = held(shell("r", "u2"))
    there.put(a_class("u2", capabilities=("disable-ipv4",)))
    assert principals(there.shells(1)[0]) == both(3)


def test_an_expired_node_lets_nobody_in() -> None:
    there = held(shell("r", "all"))
    there.put(node(1, "u1", expired=True))
    assert there.shells(1) == []
    assert principals(there.shells(2)[0]) == both(2, 3, 4)


# Names of users' own -------------------------------------------------------------------------------------------


def test_a_rule_with_local_names_is_one_for_each_user_in_order_and_one_for_all_tagged_nodes_last() -> None:
    there = held(shell("r", "all", **LOCAL))
    assert split(there, 1) == [
        (both(1, 2), ROOT),
        (both(1, 2), {"ann": "ann"}),
        (both(3), ROOT),
        (both(3), {"bob": "bob"}),
        (both(3), {"rob": "rob"}),
        (both(4), ROOT),
    ]


def test_two_classes_of_one_user_are_one_user() -> None:
    there = held(shell("r", "all", "more", **LOCAL))
    twin = msgspec.structs.replace(a_class("u1", local_names=(("r", "ann"),)), id="u1!")
    there.put(twin, a_set("more", "u1!"), msgspec.structs.replace(node(7, "u1"), class_id="u1!"))
    assert split(there, 1)[:2] == [(both(1, 2, 7), ROOT), (both(1, 2, 7), {"ann": "ann"})]


# For one's own only --------------------------------------------------------------------------------------------


def test_who_has_a_rule_for_its_own_lets_only_its_own_users_nodes_in() -> None:
    there = held(shell("r", "all"), own=(SshUse("r", own=True),))
    assert split(there, 1) == [(both(1, 2), {"root": "root"})]


def test_a_source_that_is_no_destination_has_its_own_users_part_of_a_rule_with_local_names() -> None:
    there = held(shell("r", "all", **LOCAL), own=(SshUse("r", own=True),))
    assert split(there, 1) == [(both(1, 2), ROOT), (both(1, 2), {"ann": "ann"})]


def test_a_tagged_source_that_is_no_destination_lets_itself_in() -> None:
    there = held(shell("r", "all", **LOCAL))
    there.put(a_class(TAGGED, ssh=(SshUse("r", own=True),)), node(5, TAGGED))
    assert split(there, 4) == [(both(4), ROOT)]
    assert split(there, 5) == [(both(5), ROOT)]


def test_a_source_that_is_no_destination_has_no_such_rule_if_nobody_is_one() -> None:
    there = held(shell("r", "all", **{**LOCAL, "towards": ("nobody",)}), own=(SshUse("r", own=True),))
    assert there.shells(1) == []
    there.put(a_set("nobody", "u2"))
    assert len(there.shells(1)) == 2


# What is kept --------------------------------------------------------------------------------------------------


def text(there: Held, number: int) -> bytes:
    standing = there.view.standing(NodeId(number), 142)
    assert standing is not None
    return standing.ssh


def test_nodes_of_one_class_share_one_text_and_keep_it_while_others_come_and_go() -> None:
    there = held(shell("r", "u2"))
    before = text(there, 1)
    assert text(there, 2) is before
    there.put(node(8, "u1"), node(9, TAGGED), a_set("s9", TAGGED))
    assert text(there, 1) is before


@pytest.mark.parametrize("rule", [shell("r", "u2"), shell("r", "u2", **LOCAL)])
def test_another_node_among_the_sources_is_seen(rule: NetmapObject) -> None:
    there = held(rule)
    before = text(there, 1)
    there.put(node(9, "u2"))
    assert text(there, 1) != before
    assert principals(there.shells(1)[0]) == both(3, 9)
    there.put(gone=("node/9",))
    assert text(there, 1) == before


def test_a_source_that_has_other_tags_is_seen() -> None:
    there = held(shell("r", each=("tagged", "fewer")))
    there.put(a_class("t:tag:a"), a_set("fewer", "t:tag:a"), node(4, "t:tag:a"))
    assert principals(there.shells(1)[0]) == both(4)


def test_a_class_that_becomes_a_source_is_seen() -> None:
    there = held(shell("r", "u2"))
    assert principals(there.shells(1)[0]) == both(3)
    there.put(a_set("u2", "u2", TAGGED))
    assert principals(there.shells(1)[0]) == both(3, 4)


def test_another_rule_of_the_class_is_seen() -> None:
    there = held(shell("r", "u2"), shell("other", "tagged"))
    text(there, 1)
    there.put(a_class("u1", sees=("all",), ssh=(SshUse("other"),)))
    assert principals(there.shells(1)[0]) == both(4)


def test_other_names_of_a_source_are_seen() -> None:
    there = held(shell("r", "u2", **LOCAL))
    assert split(there, 1)[1:] == [(both(3), {"bob": "bob"}), (both(3), {"rob": "rob"})]
    there.put(a_class("u2", sees=("all",), local_names=(("r", "bert"),)))
    assert split(there, 1)[1:] == [(both(3), {"bert": "bert"})]
