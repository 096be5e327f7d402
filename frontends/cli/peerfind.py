"""One WireGuard-only peer, by whatever it is called."""

from frontends.cli.failure import Exit, Failure, Trouble
from frontends.cli.output import Row
from frontends.cli.session import Session
from frontends.cli.text import reference


async def peer_of(tailnet: Session, which: str, at: int | str | None = None) -> Row:
    """Return a peer's row by its id or name, as it is or was at a moment.

    Raises:
        Failure: there is none (exit 4).
    """
    reply = await tailnet.ask("peer", "list", peer=reference(which), at=at)
    rows: list[Row] = reply.get("peers") or []
    if len(rows) != 1:
        message = f"no WireGuard-only peer {which!r}"
        raise Failure(Exit.NOT_FOUND, Trouble("peer.not_found", message, "peer", hint="netmap wg list"))
    return rows[0]
