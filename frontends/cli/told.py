"""What the far sides of WireGuard-only peers were told, and whether it still holds: as people are told.

Rule 1: a far side that knows something else than what holds is told of with the way out.
"""

from collections.abc import Iterable

from frontends.cli.output import Row
from frontends.cli.text import ago, next_step, warn


def told(row: Row, now: int) -> str:
    """Return when the far side was told of the connection, or since when that no longer holds."""
    stale, exported = row.get("stale"), row.get("exported")
    if stale:
        return f"stale {ago(stale.get('since'), now)}"
    return ago(exported.get("at"), now) if exported else "-"


def stale_in(rows: Iterable[Row]) -> list[Row]:
    """Return what the rows say of far sides that know something else."""
    return [row["stale"] for row in rows if row.get("stale")]


def warn_of(stale: Iterable[Row], now: int) -> None:
    """Warn of far sides that know something else, and say what to type."""
    fixes = []
    for row in stale:
        since = ago(row.get("since"), now)
        what = "key" if row.get("because") == "ConnectionStale.v1" else "masquerade addresses"
        warn(
            f"the far side does not know node {row.get('node')}({row.get('nodeName')}) as it is: its {what} changed "
            f"{since} ({row.get('because')})"
        )
        fixes.append(str(row.get("fix")))
    if fixes:
        next_step(*fixes)
