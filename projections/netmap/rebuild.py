"""A netmap state from the tailnet alone, looked at from nothing: what the fold holds that took one event after the other (P2).

Rule 1: the fold's own parts make the objects. All of them stand at the state's own position, until `place` says better.
Rule 2: what does not come to the very objects that have positions is refused: then the fold and this disagree.
"""

from bisect import insort
from collections.abc import Mapping

import msgspec

from engine.domain.state import Tailnet
from engine.domain.values import Epoch, Position
from projections.netmap.extras import put_all_extras
from projections.netmap.objects import peer_object, tailnet_object, user_object
from projections.netmap.policy import take_effect_on_all
from projections.netmap.state import NetmapState


class Differs(ValueError):  # noqa: N818 (it says what the state does)
    """The objects that the tailnet gives are not those that the fold held."""


def positions_of(state: NetmapState) -> dict[str, Position]:
    """Return for every object, by key, the position that changed it last."""
    return {key: change.at for key, change in state.objects.items()}


def rebuild(tailnet: Tailnet, epoch: Epoch, position: Position) -> NetmapState:
    """Return the state of a tailnet; before its log has begun there are no objects. `at` and `digest` are the caller's to set."""
    state = NetmapState()
    state.tailnet, state.epoch, state.position = tailnet, epoch, position
    if not epoch:
        return state
    state.put(tailnet_object(tailnet.settings))
    for user in tailnet.users.values():
        state.put(user_object(user))
    for peer in tailnet.peers.values():
        state.put(peer_object(peer))
    for node in tailnet.nodes.values():
        for prefix in () if node.expired else node.routes:
            insort(state.routers.setdefault(prefix, []), node.id)
    take_effect_on_all(state)
    put_all_extras(state)
    return state


def place(state: NetmapState, positions: Mapping[str, Position]) -> None:
    """Put every object at the position where the fold put it last.

    Raises:
        Differs: rule 2.
    """
    if state.objects.keys() != positions.keys():
        differing = sorted(state.objects.keys() ^ positions.keys())
        raise Differs(f"{len(differing)} objects differ, {differing[0]!r} is the first")
    state.objects = {
        key: msgspec.structs.replace(change, at=positions[key]) for key, change in state.objects.items()
    }
