"""Questions of what would follow, and of what became of a whole tailnet.

Commands are decided and folded on a copy, then or now, and never appended.

Rule 1: a body is read as a command's is, strictly; what cannot be read is an error of the whole question.
Rule 2: it runs beside the loop, one at a time; the tailnet is copied before, so that it sees one moment.
"""

import asyncio
from typing import Final

import msgspec

from engine.contracts.queries import Query, Wanted
from engine.domain.commands import BY_NAME
from engine.domain.errors import Invalid
from engine.domain.refs import node_of
from projections.history.between import between
from projections.history.moment import moment
from projections.history.supposed import Start, Wish, suppose
from projections.live import Live
from projections.netmap.state import NetmapState
from projections.pages import page
from projections.past import Past

MOST: Final = 1_000
"""Nodes whose netmaps are compared; about 1 ms each in a tailnet of 500 (rule 4 of `history/supposed.py`)."""
_UNDECIDED: Final = frozenset({"login.approve", "login.reject"})
"""Commands about logins that wait in the engine: no projection knows them."""


class Suppositions:
    """Answers of what would be from what one projection process knows."""

    def __init__(self, live: Live, past: Past) -> None:
        self._live: Final = live
        self._past: Final = past
        self._turn: Final = asyncio.Lock()

    async def suppose(self, query: Query) -> dict[str, object]:
        """Return what commands would be answered, and how netmaps would differ, in pages by row.

        Raises:
            Invalid: `suppose.command`, `suppose.body`, `suppose.nothing`.
            NotFound: `node.not_found`: the one node that is asked about.
        """
        if not query.commands:
            raise Invalid("suppose.nothing", "what would be done? 'commands' is empty", field="commands")
        wishes = [_wish(wanted, number) for number, wanted in enumerate(query.commands)]
        async with self._turn:
            state = await self._past.at(moment(query.at, self._live.clock.now()))
            only = None if query.node is None else node_of(state.tailnet, query.node).id
            now = self._live.clock.now() if query.at is None else state.at
            start = Start(
                tailnet=state.tailnet.draft(),
                epoch=state.epoch,
                position=state.position,
                now=max(now, state.at),
            )
            found = await asyncio.to_thread(suppose, start, wishes, most=MOST, only=only)
        shown = page(enumerate(found.rows, 1), after=query.after, limit=query.limit)
        return {
            "position": start.position,
            "outcomes": found.outcomes,
            "nodes": len({row.node for row in found.rows}),
            "unseen": found.unseen,
            "changes": shown.rows,
            "next": shown.next,
        }

    async def diff(self, query: Query) -> dict[str, object]:
        """Return what of the whole tailnet came, went or changed between two moments, in pages.

        Raises:
            Invalid: `query.from_missing`.
        """
        if query.from_ is None:
            raise Invalid("query.from_missing", "'from' is missing", field="from")
        now = self._live.clock.now()
        async with self._turn:
            old = await self._past.at(moment(query.from_, now))
            new = await self._past.at(moment(query.to, now))
            ends = {"from": _end(old), "to": _end(new)}
            before, after = old.tailnet.draft(), new.tailnet.draft()
            found = await asyncio.to_thread(lambda: tuple(between(before, after)))
        shown = page(enumerate(found, 1), after=query.after, limit=query.limit)
        return {
            "position": ends["to"]["position"],
            **ends,
            "changes": shown.rows,
            "next": shown.next,
        }


def _end(state: NetmapState) -> dict[str, int]:
    """Return where a state is now: the present goes on."""
    return {"position": state.position, "at": state.at}


def _wish(wanted: Wanted, number: int) -> Wish:
    field = f"commands[{number}]"
    kind = BY_NAME.get(wanted.command)
    if kind is None or wanted.command in _UNDECIDED:
        raise Invalid(
            "suppose.command",
            f"{wanted.command!r} is no command whose effect can be told beforehand",
            field=field,
            hint="a name as peer.register: netmap schema commands",
        )
    try:
        command = msgspec.convert(wanted.body, kind)
    except msgspec.ValidationError as error:
        raise Invalid("suppose.body", f"{wanted.command}: {error}"[:300], field=field) from None
    return Wish(name=wanted.command, command=command)
