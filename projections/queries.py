"""The service `netmap-queries`: what may be asked of a projection; any replica answers.

Rule 1: every answer says at which `position` it is true.
Rule 2: `minPosition` waits, then fails as `query.behind`; `at` goes back in the log, where soft state is unknown.
        An answer about now is of a state that was at the log's end 3 s ago or less, or it is `query.behind` too.
Rule 3: lists are pages (`pages.py`): `next`, when it is not null, is the `after` of the following page.
Rule 4: errors are those of commands: `Bus.serve` turns a Refusal or a Fault into them.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec

from engine.adapters.shelf import MemoryShelf
from engine.contracts import subjects
from engine.contracts.netmap import SnapshotChunk
from engine.contracts.projections import ProjectionRow
from engine.contracts.queries import BEHIND_SECONDS, QUERIES, HeadReply, Query
from engine.domain.apikeys import good_key
from engine.domain.errors import Invalid, NotFound
from engine.domain.providers import provider_of
from engine.domain.refs import node_of, peer_of, user_of
from engine.domain.values import NodeId, Position, TailnetName
from engine.ports import Answer, Endpoint, Fault, Message
from projections.events import Events
from projections.history.moment import moment
from projections.inventory import devices, legacy, lists
from projections.live import Live
from projections.moments import Moments
from projections.netmap.diff import fields
from projections.netmap.diff import rows as rows_between
from projections.netmap.state import NetmapState
from projections.netmap.view import view
from projections.pages import MAX_ROWS, SIDE_OCTETS, page
from projections.past import Past
from projections.policies import Policies
from projections.reasons import Reasons
from projections.snapshots import Snapshots
from projections.suppositions import Suppositions
from projections.undoings import Undoings

VERSION: Final = "0.1.0"
DESCRIPTION: Final = "Netmaps, lists, history and snapshots of a tailnet"

_QUERY: Final = msgspec.json.Decoder(Query)
_ENCODER: Final = msgspec.json.Encoder()
_SCHEMA: Final = _ENCODER.encode(msgspec.json.schema(Query)).decode()

Handler = Callable[[Query], Awaitable[object]]


class Queries:
    """Answers from what one projection process knows."""

    def __init__(
        self,
        live: Live,
        moments: Moments | None = None,
        *,
        projections: Callable[[], Sequence[ProjectionRow]] = tuple,
    ) -> None:
        self._live = live
        self._past = Past(live, moments or Moments(MemoryShelf(), live.reader))
        self._snapshots = Snapshots(lambda: live.state, live.clock.monotonic)
        self._events = Events(live)
        policies = Policies(live, self._state)
        reasons = Reasons(live, self._past)
        suppositions = Suppositions(live, self._past)
        self._projections = projections
        self._handlers: dict[tuple[str, str], Handler] = {
            ("head", "get"): self._head,
            ("snapshot", "get"): self._snapshot,
            ("netmap", "get"): self._netmap,
            ("netmap", "diff"): self._netmap_diff,
            ("netmap", "suppose"): suppositions.suppose,
            ("tailnet", "diff"): suppositions.diff,
            ("node", "list"): self._nodes,
            ("node", "get"): self._node,
            ("user", "list"): self._users,
            ("authkey", "list"): self._auth_keys,
            ("apikey", "list"): self._api_keys,
            ("apikey", "check"): self._api_key,
            ("peer", "list"): self._peers,
            ("connection", "list"): self._connections,
            ("provider", "list"): self._providers,
            ("device", "list"): self._devices,
            ("event", "list"): self._events.listed,
            ("event", "undo"): Undoings(live, self._past).undo,
            ("command", "get"): self._events.command,
            ("settings", "get"): self._settings,
            ("policy", "get"): policies.get,
            ("policy", "log"): policies.log,
            ("policy", "diff"): policies.diff,
            ("policy", "check"): policies.check,
            ("policy", "test"): policies.test,
            ("policy", "preview"): policies.preview,
            ("wg", "why"): reasons.why,
            ("wg", "doctor"): reasons.doctor,
            ("projection", "list"): self._listed,
        }

    def endpoints(self, tailnet: TailnetName) -> list[Endpoint]:
        """Return one endpoint for each query of the contract."""
        return [
            Endpoint(
                name=f"{resource}-{verb}",
                subject=subjects.query(tailnet, resource, verb),
                respond=self._responder(self._handlers[resource, verb]),
                metadata={"schema": _SCHEMA},
            )
            for resource, verb in QUERIES
        ]

    def _responder(self, handler: Handler) -> Callable[[Message], Awaitable[Answer]]:
        async def respond(message: Message) -> Answer:
            query = _decoded(message.data)
            await self._live.reached(Position(query.min_position), BEHIND_SECONDS)
            if handler != self._listed:
                await self._live.fresh(BEHIND_SECONDS)
            return Answer(_ENCODER.encode(await handler(query)))

        return respond

    async def _state(self, query: Query) -> NetmapState:
        return await self._past.at(moment(query.at, self._live.clock.now()))

    def _presence(self, query: Query) -> lists.PresenceOf:
        return lists.nobody if query.at is not None else self._live.soft.presence

    async def _head(self, _query: Query) -> HeadReply:
        return HeadReply(epoch=self._live.state.epoch, position=self._live.state.position)

    async def _listed(self, _query: Query) -> dict[str, object]:
        return {"position": self._live.state.position, "projections": self._projections()}

    async def _snapshot(self, query: Query) -> SnapshotChunk:
        if not self._live.state.epoch:
            raise Fault("the log has not begun: there is nothing to give")
        return self._snapshots.chunk(query.chunk, query.snapshot, query.min_position)

    async def _netmap(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        if query.node is None:
            raise Invalid("query.node_missing", "whose netmap? 'node' is missing", field="node")
        netmap = view(state, node_of(state.tailnet, query.node).id)
        if netmap is None:
            raise NotFound("node.not_found", "the node has no netmap", field="node")
        peers = page(((peer.id, peer) for peer in netmap.peers), after=query.after, limit=query.limit)
        return fields(netmap) | {"peers": peers.rows, "next": peers.next}

    async def _netmap_diff(self, query: Query) -> dict[str, object]:
        """Answer how a node's netmap came from that of one moment to that of another, or of now."""
        if query.node is None or query.from_ is None:
            missing = "node" if query.node is None else "from"
            raise Invalid(f"query.{missing}_missing", f"{missing!r} is missing", field=missing)
        now = self._live.clock.now()
        old = await self._past.at(moment(query.from_, now))
        new = await self._past.at(moment(query.to, now))
        number = _node_of_either(query.node, new, old)
        before, after = view(old, number), view(new, number)
        found = page(enumerate(rows_between(before, after), start=1), after=query.after, limit=query.limit)
        return {
            "position": new.position,
            "node": number,
            "from": {"position": old.position, "at": old.at, "isThere": before is not None},
            "to": {"position": new.position, "at": new.at, "isThere": after is not None},
            "changes": found.rows,
            "next": found.next,
        }

    async def _nodes(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        tailnet = state.tailnet
        owner = None if query.user is None else user_of(tailnet, query.user).id
        presence = self._presence(query)
        rows = (
            (number, lists.node_row(tailnet, tailnet.nodes[number], presence))
            for number in sorted(tailnet.nodes)
            if number > query.after and owner in {None, tailnet.nodes[number].user}
        )
        reply = _list(state, "nodes", rows, query)
        peers = page(((peer.id, peer) for peer in legacy.legacy_peers(tailnet)), **_SIDE)
        pairs = page(enumerate(legacy.legacy_connections(tailnet), start=1), **_SIDE)
        return reply | {"wireguard_only_peers": peers.rows, "wireguard_connections": pairs.rows}

    async def _node(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        if query.node is None:
            raise Invalid("query.node_missing", "which node? 'node' is missing", field="node")
        node = node_of(state.tailnet, query.node)
        row = lists.node_row(state.tailnet, node, self._presence(query))
        return {"position": state.position, "node": row}

    async def _users(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        return _list(state, "users", ((row.id, row) for row in lists.users(state.tailnet)), query)

    async def _auth_keys(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        owner = None if query.user is None else user_of(state.tailnet, query.user).id
        rows = ((row.id, row) for row in lists.auth_keys(state.tailnet) if owner is None or row.user == owner)
        return _list(state, "authKeys", rows, query)

    async def _api_keys(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        return _list(state, "apiKeys", ((row.id, row) for row in lists.api_keys(state.tailnet)), query)

    async def _api_key(self, query: Query) -> dict[str, object]:
        """Tell the key that has the prefix and the digest, if it is good now."""
        state = self._live.state
        now = self._live.clock.now()
        key = good_key(state.tailnet, query.id or "", query.digest or "", now)
        row = None if key is None else lists.api_key_row(state.tailnet, key)
        return {"position": state.position, "key": row}

    async def _peers(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        tailnet = state.tailnet
        one = None if query.peer is None else peer_of(tailnet, query.peer).id
        owner = None if query.user is None else user_of(tailnet, query.user).id
        presence = self._presence(query)
        found = lists.peers(tailnet, presence)
        if one is not None:
            found = iter((lists.peer_row(tailnet, one, presence),))
        rows = ((row.id, row) for row in found if owner in {None, row.user})
        return _list(state, "peers", rows, query)

    async def _connections(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        node = None if query.node is None else node_of(state.tailnet, query.node).id
        peer = None if query.peer is None else peer_of(state.tailnet, query.peer).id
        found = lists.connections(state.tailnet, node=node, peer=peer)
        return _list(state, "connections", enumerate(found, start=1), query)

    async def _providers(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        one = None if query.provider is None else provider_of(state.tailnet, query.provider).id
        rows = ((row.id, row) for row in devices.providers(state.tailnet) if one is None or row.id == one)
        return _list(state, "providers", rows, query)

    async def _devices(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        provider = None if query.provider is None else provider_of(state.tailnet, query.provider).id
        node = None if query.node is None else node_of(state.tailnet, query.node).id
        rows = (
            (row.id, row)
            for row in devices.devices(state.tailnet)
            if (provider is None or row.provider == provider) and (node is None or row.node == node)
        )
        return _list(state, "devices", rows, query)

    async def _settings(self, query: Query) -> dict[str, object]:
        state = await self._state(query)
        return {"position": state.position, "settings": lists.settings(state.tailnet)}


def _node_of_either(ref: int | str, new: NetmapState, old: NetmapState) -> NodeId:
    """Return the id of a node by its name at the later moment, else at the earlier one."""
    try:
        return node_of(new.tailnet, ref).id
    except NotFound:
        return node_of(old.tailnet, ref).id


_SIDE: Final = {"after": 0, "limit": MAX_ROWS, "budget": SIDE_OCTETS}


def _list(
    state: NetmapState, name: str, rows: Iterable[tuple[int, object]], query: Query
) -> dict[str, object]:
    found = page(rows, after=query.after, limit=query.limit)
    return {"position": state.position, name: found.rows, "next": found.next}


def _decoded(data: bytes) -> Query:
    try:
        query = _QUERY.decode(data or b"{}")
    except msgspec.MsgspecError as error:
        raise Invalid("query.malformed", f"not a query: {error}") from None
    if query.limit < 1 or query.after < 0 or query.min_position < 0:
        raise Invalid("query.malformed", "'limit' is 1 or more, 'after' and 'minPosition' 0 or more")
    return query
