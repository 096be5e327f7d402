"""Differences of netmaps for people: a line for each thing that is not as it was."""

from collections.abc import Mapping
from typing import Any, Final

from frontends.cli.output import Column
from frontends.cli.text import pick, short_key

SIGNS: Final[Mapping[str, str]] = {"added": "+", "removed": "-", "changed": "~"}


def columns() -> tuple[Column, ...]:
    """Return the columns of rows as `q.netmap.diff` has them."""
    return (
        Column("", lambda row: SIGNS.get(row["what"], "?")),
        Column("KIND", lambda row: row["kind"]),
        Column("ID", lambda row: row.get("id") or ""),
        Column("NAME", lambda row: row["name"]),
        Column("WHAT", said),
    )


def said(row: Mapping[str, Any]) -> str:
    """Return the fields that changed, old → new; of what came or went its addresses."""
    if row["what"] != "changed":
        whole = row.get("after") or row.get("before") or {}
        return ", ".join(filter(None, (pick(whole, "ipv4"), pick(whole, "ipv6"))))
    if row["kind"] == "netmap":
        return "differs"
    old, new = row["before"], row["after"]
    return "; ".join(f"{name} {_short(old.get(name))} → {_short(value)}" for name, value in new.items())


def _short(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_short, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short_key(value) if "key:" in str(value) else str(value)


def patch(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the operations of RFC 6902 on a document that holds things by kind and id, as `/node/7`."""
    found: list[dict[str, Any]] = []
    for row in changes:
        path = f"/{row['kind']}/{row['id'] if row.get('id') else row['name']}"
        if row["what"] == "removed":
            found.append({"op": "remove", "path": path})
        elif row["what"] == "added":
            found.append({"op": "add", "path": path, "value": row["after"]})
        elif row["kind"] == "netmap":
            found.append({"op": "replace", "path": path, "value": row.get("after")})
        else:
            found += [
                {"op": "replace", "path": f"{path}/{name}", "value": value}
                for name, value in row["after"].items()
            ]
    return found
