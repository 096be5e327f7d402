"""What a client that is in says of itself: the routes that it offers, the tags that it asks for.

Rule 1: it is a frontend's word for the machine whose key the Noise handshake proved, as in `registration.py`.
Rule 2: what a client asks for and may not have is passed over: it is told nothing, and stays what it is.
Rule 3: routes that are told again too soon (`routes.QUIET_MILLIS`) are answered `later`: whoever asked asks again.
"""

from msgspec.structs import replace

from engine.domain.commands import AdvertiseNode
from engine.domain.decision import Decision, Given
from engine.domain.errors import NotFound
from engine.domain.events import Event, NodeExpirySet, NodeTagged
from engine.domain.keys import parse_machine_key, parse_node_key
from engine.domain.routes import is_quiet, offered, route_events
from engine.domain.state import Tailnet
from engine.domain.tags import granted
from engine.domain.values import NEVER


def advertise_node(tailnet: Tailnet, command: AdvertiseNode, given: Given) -> Decision:
    """Decide on what the client offers and asks for.

    `result` has `node`, `later` (whether the routes must be told again), and `refused` (whether it asks for tags that
    it may not have).

    Raises:
        NotFound: `node.not_found`: there is none with this key on this machine, or its key is no longer good.
        Invalid: `key.syntax`, `key.zero`, `key.low_order`.
    """
    machine_key = parse_machine_key(command.machine_key)
    known = tailnet.node_by_key.get(parse_node_key(command.node_key))
    node = None if known is None else tailnet.nodes[known]
    if node is None or node.machine_key != machine_key or node.is_expired(given.now):
        raise NotFound("node.not_found", "no node of this machine has this key", field="nodeKey")
    tags = granted(tailnet, command.request_tags, user=node.user, tags=node.tags)
    after = node if tags is None else replace(node, tags=tags)
    events: list[Event] = []
    if after.tags != node.tags:
        events.append(NodeTagged(node=node.id, tags=after.tags))
        if node.expiry != NEVER:
            events.append(NodeExpirySet(node=node.id, expiry=NEVER))
    events += route_events(tailnet, node, after, command.routes, given.now)
    later = is_quiet(node, given.now) and offered(command.routes) != node.advertised
    result = {"node": node.id, "later": later, "refused": tags is None}
    return Decision(events=tuple(events), result=result)
