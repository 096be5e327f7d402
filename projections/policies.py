"""Questions about policies: the text and its versions, what is wrong with a text, what its tests say, what it would change.

Rule 1: what is wrong with a text is an answer (`ok`, `faults`, `failures`), never an error.
Rule 2: `policy` in a question is a text; without it the policy in force is meant, then or now.
Rule 3: what takes long runs beside the loop, one at a time; people and devices are taken before, so that it sees one moment.
"""

import asyncio
import difflib
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from engine.contracts.queries import Query
from engine.domain.errors import Invalid
from engine.domain.events import PolicySet
from engine.domain.state import Tailnet
from engine.domain.values import NodeId, Position
from engine.domain.whom import devices_of, domains_of, people_of
from engine.policy.checks.failures import failures, outcomes
from engine.policy.document import EMPTY, Document
from engine.policy.faults import PolicyFault
from engine.policy.preview.compare import preview
from engine.policy.preview.rows import Party, Row
from engine.policy.text.hujson import excerpt
from engine.policy.text.reading import read
from engine.ports import Fault
from projections.inventory.versions import Version, rules_of
from projections.live import Live
from projections.netmap.state import NetmapState
from projections.pages import PAGE_OCTETS, page

MAX_ROWS: Final = 1_000
"""Rows of a preview that are looked for; how many of them are sent is the question's `limit`."""
_T = TypeVar("_T")
StateOf = Callable[[Query], Awaitable[NetmapState]]
Reply = dict[str, object]


class FaultRow(msgspec.Struct, frozen=True, kw_only=True):
    """Why a text is no policy, and where; the excerpt is the line and a caret under it."""

    kind: str
    message: str
    line: int
    column: int
    excerpt: str
    hint: str


class Policies:
    """Answers about policies from what one projection process knows."""

    def __init__(self, live: Live, state_of: StateOf) -> None:
        self._live = live
        self._state_of = state_of
        self._turn = asyncio.Lock()

    async def get(self, query: Query) -> Reply:
        """Return the policy in force, or by `id` any version that was; `policy` is null where there is none."""
        state = await self._state_of(query)
        if query.id is not None:
            version = self._live.policies.find(query.id, until=state.position, field="id")
            text = await self._text(version)
        else:
            held, found = state.tailnet.policy, self._live.policies.at(state.position)
            if held is None or found is None:
                return {"position": state.position, "policy": None}
            version, text = found, held.text
        return {"position": state.position, "policy": msgspec.to_builtins(version) | {"text": text}}

    async def log(self, query: Query) -> Reply:
        """Return the versions, oldest first, in pages."""
        state = await self._state_of(query)
        rows = ((row.position, row) for row in self._live.policies.all if row.position <= state.position)
        found = page(rows, after=query.after, limit=query.limit)
        return {"position": state.position, "versions": found.rows, "next": found.next}

    async def diff(self, query: Query) -> Reply:
        """Return a unified diff: of two versions, of one and its predecessor, or of one and a text.

        Raises:
            Invalid, NotFound: `from` or `to` names no version.
        """
        state = await self._state_of(query)
        versions, until = self._live.policies, state.position
        if query.policy is not None and query.to is not None:
            raise Invalid("query.malformed", "either 'to' or 'policy'", field="to")
        to = versions.at(until)
        if query.to is not None:
            to = versions.find(query.to, until=until, field="to")
        since = to
        if query.from_ is not None:
            since = versions.find(query.from_, until=until, field="from")
        elif query.policy is None and to is not None:
            since = versions.before(to)
        old = await self._text(since)
        new = query.policy if query.policy is not None else await self._text(to)
        names = (_name(since), "the text" if query.policy is not None else _name(to))
        diff = await self._beside(lambda: _unified(old, new, names))
        return {
            "position": until,
            "from": since,
            "to": None if query.policy is not None else to,
            "diff": diff[:PAGE_OCTETS],
            "cut": len(diff) > PAGE_OCTETS,
        }

    async def check(self, query: Query) -> Reply:
        """Return whether a text can be set as it is: its faults and its failing tests."""
        state = await self._state_of(query)
        text, whom = _text_of(query, state.tailnet), _Whom(state.tailnet)

        def work() -> Reply:
            document, faults = whom.read(text)
            failed = () if document is None else failures(document, whom.people, whom.devices)
            return {
                "ok": not faults and not failed,
                "faults": faults,
                "failures": failed,
                "warnings": () if document is None else document.warnings,
                "rules": 0 if document is None else rules_of(document),
                "tests": 0 if document is None else len(document.tests) + len(document.ssh_tests),
                "digest": hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
            }

        return {"position": state.position, **await self._beside(work)}

    async def test(self, query: Query) -> Reply:
        """Return every test of a text and whether it holds."""
        state = await self._state_of(query)
        text, whom = _text_of(query, state.tailnet), _Whom(state.tailnet)

        def work() -> Reply:
            document, faults = whom.read(text)
            found = () if document is None else outcomes(document, whom.people, whom.devices)
            failed = sum(bool(outcome.failures) for outcome in found)
            rows = [
                (n, {"ok": not row.failures, **msgspec.to_builtins(row)}) for n, row in enumerate(found, 1)
            ]
            tests = page(rows, after=query.after, limit=query.limit)
            return {
                "ok": not faults and not failed,
                "faults": faults,
                "passed": len(found) - failed,
                "failed": failed,
                "tests": tests.rows,
                "next": tests.next,
            }

        return {"position": state.position, **await self._beside(work)}

    async def preview(self, query: Query) -> Reply:
        """Return who would gain and who would lose access to what if a text were the policy."""
        state = await self._state_of(query)
        text, whom, present = _text_of(query, state.tailnet), _Whom(state.tailnet), state.policy.document
        nodes = {number: node.name for number, node in state.tailnet.nodes.items()}

        def work() -> Reply:
            document, faults = whom.read(text)
            if document is None:
                return {"ok": False, "faults": faults, "gain": 0, "lose": 0, "rows": (), "more": 0}
            found = preview(present, document, whom.people, whom.devices, limit=MAX_ROWS)
            rows = page(enumerate((_row(row, nodes) for row in found.rows), 1), after=0, limit=query.limit)
            return {
                "ok": True,
                "faults": (),
                "gain": found.gain,
                "lose": found.lose,
                "rows": rows.rows,
                "more": found.more + len(found.rows) - len(rows.rows),
            }

        return {"position": state.position, **await self._beside(work)}

    async def _text(self, version: Version | None) -> str:
        if version is None or not version.digest:
            return ""
        records = await self._live.reader.read(Position(version.position - 1), 1)
        event = records[0].event if records else None
        if not isinstance(event, PolicySet):
            raise Fault(f"the log has no policy at {version.position}")
        return event.text

    async def _beside(self, work: Callable[[], _T]) -> _T:
        async with self._turn:
            return await asyncio.to_thread(work)


def _text_of(query: Query, tailnet: Tailnet) -> str:
    """Return the text that a question is about (rule 2)."""
    if query.policy is not None:
        return query.policy
    return "" if tailnet.policy is None else tailnet.policy.text


class _Whom:
    """A tailnet's people and devices at one moment, and how texts are read there."""

    def __init__(self, tailnet: Tailnet) -> None:
        self.people: Final = people_of(tailnet)
        self.devices: Final = devices_of(tailnet)
        self._domains: Final = domains_of(tailnet)

    def read(self, text: str) -> tuple[Document | None, tuple[FaultRow, ...]]:
        """Return what a text says, or why it is no policy; no text is no policy at all, and fine."""
        if not text:
            return EMPTY, ()
        try:
            return read(text, domains=self._domains), ()
        except PolicyFault as fault:
            row = FaultRow(
                kind=fault.kind,
                message=fault.message,
                line=fault.line,
                column=fault.column,
                excerpt=excerpt(text, fault.line, fault.column),
                hint=fault.hint,
            )
            return None, (row,)


def _row(row: Row, nodes: Mapping[NodeId, str]) -> dict[str, Any]:
    """Return a row with its devices by id and name."""
    return {
        "kind": row.kind,
        "subject": _party(row.subject, nodes),
        "target": _party(row.target, nodes),
        "gains": row.gains,
        "loses": row.loses,
    }


def _party(party: Party, nodes: Mapping[NodeId, str]) -> dict[str, Any]:
    devices = [{"id": number, "name": nodes.get(NodeId(number), "")} for number in party.devices]
    return {"kind": party.kind, "name": party.name, "devices": devices, "more": party.more}


def _name(version: Version | None) -> str:
    if version is None or not version.digest:
        return "no policy" if version is None else f"no policy (position {version.position})"
    return f"{version.digest[:12]} (position {version.position})"


def _unified(old: str, new: str, names: tuple[str, str]) -> str:
    rows = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return "".join(f"{row}\n" for row in rows)
