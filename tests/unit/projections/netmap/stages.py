"""Small tailnets under a policy, for tests of the fold: what one more event changes.

ann (an admin) has node 1, bob has node 2, node 3 has `tag:a`, node 4 has `tag:b`.
"""

from typing import Any, Final

from engine.contracts.netmap import Change
from engine.domain.events import Event, NodeRoutesAdvertised, NodeRoutesApproved, UserCreated
from engine.domain.values import NodeId, UserId
from tests.kit.policy_stage import Stage, node_registered, policy_set

Policy = dict[str, Any]
COMMON: Final[Policy] = {"tagOwners": {"tag:a": ["ann@"], "tag:b": ["ann@"]}, "groups": {"group:g": ["bob@"]}}


def registered(number: int, user: int = 1, *tags: str) -> Event:
    return node_registered(number, user, tags, f"100.64.0.{number}", f"fd7a:115c:a1e0::{number:x}")


def stage(policy: Policy | None, *more: Event) -> Stage:
    return Stage(
        UserCreated(user=UserId(1), name="ann", role="admin"),
        UserCreated(user=UserId(2), name="bob", role="member"),
        registered(1),
        registered(2, 2),
        registered(3, 1, "tag:a"),
        registered(4, 1, "tag:b"),
        *more,
        policy_set(None if policy is None else COMMON | policy),
    )


def ruled(policy: Policy) -> Event:
    """That this policy takes effect."""
    return policy_set(COMMON | policy)


def acl(src: str, dst: str, **fields: object) -> Policy:
    return {"action": "accept", "src": [src], "dst": [dst], **fields}


def routed(number: int, *prefixes: str) -> tuple[Event, Event]:
    node = NodeId(number)
    routes = tuple(sorted(prefixes))
    return NodeRoutesAdvertised(node=node, routes=routes), NodeRoutesApproved(node=node, routes=routes)


def touched(changes: tuple[Change, ...]) -> dict[str, int]:
    """How many objects of each kind changed."""
    found: dict[str, int] = {}
    for change in changes:
        kind = change.key.partition("/")[0]
        found[kind] = found.get(kind, 0) + 1
    return found


def keys(changes: tuple[Change, ...], kind: str) -> set[str]:
    """The keys of one kind that changed, without their kind."""
    return {change.key.partition("/")[2] for change in changes if change.key.startswith(f"{kind}/")}
