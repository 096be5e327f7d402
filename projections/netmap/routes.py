"""Approved prefixes: who routes them, and who is told.

Which of the routers carries the traffic is for those to say who know who is online.

Rule 1: a prefix's routers stand in the order in which they joined; an expired node is none.
Rule 2: who is told is the policy's matter; a node that routes a prefix itself is told where it goes.
"""

from bisect import insort
from collections.abc import Iterable

from engine.contracts.netmap import Change, NodeObject, RouteObject, SteeredRouters
from engine.domain.values import NodeId
from projections.netmap.state import NetmapState


def reroute(state: NetmapState, before: NodeObject | None, after: NodeObject | None) -> list[Change | None]:
    """Take over what a node routes now; return what changes."""
    old, new = _routes(before), _routes(after)
    for prefix in old - new:
        routers = state.routers[prefix]
        routers.remove(before.id)  # type: ignore[union-attr]
        if not routers:
            del state.routers[prefix]
    for prefix in new - old:
        insort(state.routers.setdefault(prefix, []), after.id)  # type: ignore[union-attr]
    return put_routes(state, old | new)


def put_routes(state: NetmapState, prefixes: Iterable[str]) -> list[Change | None]:
    """Hold the objects of these prefixes as they are now; return what changes."""
    return [_put(state, prefix) for prefix in prefixes]


def _put(state: NetmapState, prefix: str) -> Change | None:
    routers = state.routers.get(prefix)
    if routers is None:
        return state.drop(f"route/{prefix}")
    sight = state.policy.sight(prefix)
    steered = (
        SteeredRouters(one.sets, _tagged(state, routers, frozenset(one.tags))) for one in sight.steered
    )
    return state.put(
        RouteObject(
            prefix=prefix,
            routers=tuple(routers),
            sets=sight.sets,
            steered=tuple(one for one in steered if one.routers),
        )
    )


def _tagged(state: NetmapState, routers: list[NodeId], tags: frozenset[str]) -> tuple[NodeId, ...]:
    return tuple(number for number in routers if tags.intersection(state.tailnet.nodes[number].tags))


def _routes(node: NodeObject | None) -> set[str]:
    return set() if node is None or node.expired else set(node.routes)
