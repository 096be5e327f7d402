"""Why a node sees a peer or not, and what is wrong with WireGuard-only peers: findings, with the records that made them so.

Rule 1: what is found is a pure function of one moment (`history/why.py`, `history/doctor.py`); here the log is asked what happened at
        the positions that it names, and the policy's text for the rules.
Rule 2: that somebody is not seen is an answer, also of a peer that is gone; an error is only a name that nobody ever had.
Rule 3: who examines all of them works on a copy beside the loop, one at a time; what was found serves for the next pages.
Rule 4: of a moment that is past nothing is known of who was online.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from engine.contracts.queries import Query
from engine.domain.aggregates import Node
from engine.domain.errors import Invalid, NotFound
from engine.domain.events import tag_of
from engine.domain.refs import node_of, number_of, peer_of
from engine.domain.values import Millis, Position
from engine.policy.text.quoting import quoted
from engine.ports import Recorded
from projections.history.causes import Gone
from projections.history.doctor import Report, examine
from projections.history.findings import Explanation, Finding
from projections.history.moment import moment
from projections.history.scene import Scene, frozen
from projections.history.why import between, explain, removed
from projections.inventory.lists import nobody
from projections.live import Live
from projections.pages import MAX_ROWS, Page, page
from projections.past import Past, Then

KEPT_SECONDS: Final = 10.0
"""How long what was examined is told again if nothing is appended: clients come and go, and keys near their end."""


class CauseRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A record that made something so."""

    position: int
    type: str
    at: int
    actor: str
    reason: str
    command_id: str
    cause: str


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of the policy: where it stands, and as JSON what it says."""

    place: str
    line: int
    text: str


class FindingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, as `findings.py` says."""

    code: str
    verdict: str
    text: str
    fix: str
    node: int | None
    peer: int | None
    rule: RuleRow | None
    causes: tuple[CauseRow, ...]


class _Examined(NamedTuple):
    """What was found at one moment, for `KEPT_SECONDS`; `policy` is its text then."""

    key: object
    made: float
    position: Position
    report: Report
    policy: str


class Reasons:
    """Answers of why from what one projection process knows."""

    def __init__(self, live: Live, past: Past) -> None:
        self._live: Final = live
        self._past: Final = past
        self._turn: Final = asyncio.Lock()
        self._last: _Examined | None = None

    async def why(self, query: Query) -> dict[str, object]:
        """Return why a node sees a WireGuard-only peer, or another node, or does not.

        Raises:
            Invalid: `query.node_missing`, `query.peer_missing`.
            NotFound: `node.not_found`, `peer.not_found`: there was never any.
        """
        for field, ref in (("node", query.node), ("peer", query.peer)):
            if ref is None:
                raise Invalid(f"query.{field}_missing", f"why what? {field!r} is missing", field=field)
        then = await self._then(query)
        scene = self._scene(then, query)
        node = node_of(then.state.tailnet, query.node or 0)
        peer, found = _explained(scene, node, query.peer or 0)
        position = then.state.position
        shown = await self._shown(found.findings, self._text(then), query)
        return {
            "position": position,
            "node": {"id": node.id, "name": node.name, "capver": scene.capver(node)},
            "peer": peer,
            "seen": found.is_seen,
            "usable": found.is_usable,
            "findings": shown.rows,
            "next": shown.next,
        }

    async def doctor(self, query: Query) -> dict[str, object]:
        """Return what is wrong with the WireGuard-only peers and their connections, the worst first, in pages."""
        then = await self._then(query)
        key = (then.state.epoch, then.state.position, query.at)
        async with self._turn:
            if self._last is None or self._last.key != key or self._is_late(self._last):
                self._last = await self._examined(key, then, query)
            return await self._page(self._last, query)

    async def _examined(self, key: object, then: Then, query: Query) -> "_Examined":
        then = Then(frozen(then.state), then.causes.copy())
        known = {number: self._live.soft.presence(number) for number in then.state.tailnet.peers_of_node}
        presence = nobody if query.at is not None else known.get
        scene = Scene(then.state, then.causes, self._now(then, query), presence)
        made, text = self._live.clock.monotonic(), self._text(then)
        report = await asyncio.to_thread(examine, scene)
        return _Examined(key, made, then.state.position, report, text)

    def _is_late(self, examined: "_Examined") -> bool:
        return self._live.clock.monotonic() - examined.made > KEPT_SECONDS

    async def _page(self, examined: "_Examined", query: Query) -> dict[str, object]:
        found = examined.report
        shown = await self._shown(found.findings, examined.policy, query)
        more = [
            {"verdict": verdict, "code": code, "count": n}
            for (verdict, code), n in sorted(found.more.items())
        ]
        return {
            "position": examined.position,
            "blocks": found.count("blocks"),
            "warn": found.count("warn"),
            "note": found.count("note"),
            "more": more,
            "findings": shown.rows,
            "next": shown.next,
        }

    async def _shown(self, findings: tuple[Finding, ...], policy: str, query: Query) -> Page:
        """Return a page of findings, by their number from 1; what is not on it is not looked up."""
        last = query.after + min(query.limit, MAX_ROWS)
        rows = await self._rows(findings[query.after : last], policy)
        shown = page(enumerate(rows, query.after + 1), after=query.after, limit=query.limit)
        follows = last if shown.next is None and last < len(findings) else shown.next
        return Page(shown.rows, follows)

    async def _then(self, query: Query) -> Then:
        return await self._past.then(moment(query.at, self._live.clock.now()))

    def _now(self, then: Then, query: Query) -> Millis:
        return self._live.clock.now() if query.at is None else then.state.at

    def _scene(self, then: Then, query: Query) -> Scene:
        presence = nobody if query.at is not None else self._live.soft.presence
        return Scene(then.state, then.causes, self._now(then, query), presence)

    def _text(self, then: Then) -> str:
        policy = then.state.tailnet.policy
        return "" if policy is None else policy.text

    async def _rows(self, findings: Iterable[Finding], policy: str) -> list[FindingRow]:
        found = list(findings)
        places = {finding.rule for finding in found if finding.rule}
        texts = await asyncio.to_thread(quoted, policy, places) if places else {}
        causes: dict[int, CauseRow] = {}
        for position in sorted({position for finding in found for position in finding.made}):
            records = await self._live.reader.read(Position(position - 1), 1)
            causes.update({record.position: _cause(record) for record in records})
        return [_row(finding, causes, texts) for finding in found]


def _explained(scene: Scene, node: Node, ref: int | str) -> tuple[dict[str, object], Explanation]:
    """Return whom the reference means, and why the node sees it or not."""
    tailnet = scene.tailnet
    try:
        peer = peer_of(tailnet, ref)
    except NotFound:
        gone = _gone(scene, ref)
        if gone is not None:
            number, what = gone
            shown: dict[str, object] = {"id": number, "name": what.name, "kind": "wireguard"}
            return shown, removed(node, number, what)
        try:
            other = node_of(tailnet, ref, field="peer")
        except NotFound:
            other = None
        if other is None:
            raise
        return {"id": other.id, "name": other.name, "kind": "node"}, between(scene, node, other)
    return {"id": peer.id, "name": peer.name, "kind": "wireguard"}, explain(scene, node, peer)


def _gone(scene: Scene, ref: int | str) -> tuple[int, Gone] | None:
    number = number_of(ref)
    if number is None:
        is_node = str(ref).lower() in scene.tailnet.node_by_name
        return None if is_node else scene.causes.gone_by_name("peer", str(ref).lower())
    found = scene.causes.gone("peer", number)
    return None if found is None else (number, found)


def _cause(record: Recorded) -> CauseRow:
    envelope = record.envelope
    return CauseRow(
        position=record.position,
        type=tag_of(record.event),
        at=envelope.at,
        actor=envelope.actor,
        reason=envelope.reason,
        command_id=envelope.command_id,
        cause=envelope.cause,
    )


def _row(finding: Finding, causes: Mapping[int, CauseRow], texts: Mapping[str, str]) -> FindingRow:
    rule = RuleRow(place=finding.rule, line=finding.line, text=texts.get(finding.rule, ""))
    return FindingRow(
        code=finding.code,
        verdict=finding.verdict,
        text=finding.text,
        fix=finding.fix,
        node=finding.node or None,
        peer=finding.peer or None,
        rule=rule if finding.rule else None,
        causes=tuple(_known(finding.made, causes)),
    )


def _known(made: Iterable[Position], causes: Mapping[int, CauseRow]) -> Iterator[CauseRow]:
    return (causes[position] for position in made if position in causes)
