"""Completion with live names, within 300 ms, or without.

Rule 1: completion never says anything of its own: no server, no names.
"""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from frontends.cli.failure import Failure
from frontends.cli.place import Place

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

LIMIT_SECONDS: Final = 0.3
"""What a person does not notice after a tab (reference: ecosystem §6.2)."""

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def names_of(resource: str, key: str) -> Completer:
    """Return a completer for the names that `q.<resource>.list` answers under `key`."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        rows = _rows(ctx, resource, key)
        named = [(str(row.get("name") or ""), str(row.get("id") or "")) for row in rows]
        return [CompletionItem(name, help=number) for name, number in named if name.startswith(incomplete)]

    return complete


def _rows(ctx: click.Context, resource: str, key: str) -> list[dict[str, Any]]:
    import asyncio

    from frontends.cli.session import session
    from frontends.cli.world import world_of

    given = ctx.params
    place = Place(
        directory=given.get("directory") or Place().directory,
        nats=given.get("nats") or "",
        context=given.get("context") or "",
        tailnet=given.get("tailnet") or Place().tailnet,
        timeout=LIMIT_SECONDS,
    )

    async def ask() -> dict[str, Any]:
        async with asyncio.timeout(LIMIT_SECONDS), session(place, world_of(ctx)) as tailnet:
            return await tailnet.ask(resource, "list")

    with contextlib.suppress(Failure, TimeoutError):
        rows = asyncio.run(ask()).get(key)
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return []


nodes: Final = names_of("node", "nodes")
users: Final = names_of("user", "users")
peers: Final = names_of("peer", "peers")
providers: Final = names_of("provider", "providers")
