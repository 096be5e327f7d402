"""The poll URL of routers: `GET /wg/export/{peer}`, what `netmap wg export` prints.

Rule 1: read-only for whoever asks; of a key of the scope `export` everything but its own peer, and its own node, is not there.
Rule 2: the ETag is weak, and follows from keys and addresses alone: what a far side does not act on changes nothing.
Rule 3: a node that is not connected any more leaves an empty list, so that the far side drops it.
Rule 4: what was sent is noted as told (`connection.exported`); what was told already adds nothing to the log. A poll is
        answered also when nothing can be noted.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from engine.domain.commands import RecordExport
from engine.domain.wgcommands import ToldConnection
from frontends.admin import bodies
from frontends.admin.errors import Refused, no, not_found
from frontends.admin.visit import Visit, missing
from frontends.farside import rendering
from frontends.farside.polling import INTERFACE
from frontends.farside.remotes import Remote, checksum, entries_of, remote_of, side_of

DEFAULT_STYLE: Final = "wg-quick"
DEFAULT_INTERFACE: Final = "wg0"
RECORDED_AT_ONCE: Final = 1_000
"""Nodes in one command: what `RecordExport` takes."""
_TOLD: Final = ("nodeKey", "ipv4MasqAddr", "ipv6MasqAddr")


async def exported(visit: Visit) -> Response:
    """`GET /wg/export/{peer}`, with `node`, `format` and `interface`."""
    style, interface = _manner(visit)
    peer = await _peer(visit)
    node = await _node(visit)
    rows = await visit.asking.ask_all("connection", "connections", peer=peer["id"], node=node)
    remotes = sorted(map(_remote, rows), key=lambda remote: remote.node)
    digest = checksum(entries_of(remotes))
    tag = f'W/"{digest.removeprefix("sha256:")}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if visit.request.method == "GET":
        news = [remote for row, remote in zip(rows, map(_remote, rows), strict=True) if not _was_told(row)]
        with contextlib.suppress(Refused):  # the next poll notes it
            await _record(visit, peer["id"], news, style, digest)
    if _is_known(visit.request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    text = rendering.render(remotes, style, side_of(peer, interface)) + "\n"
    return Response(text, 200, headers, "text/plain; charset=utf-8")


def _manner(visit: Visit) -> tuple[str, str]:
    style = visit.query("format") or DEFAULT_STYLE
    if style not in rendering.TEXTS:
        raise no(
            400, "export.format", "there is no such format", field="format", hint=", ".join(rendering.TEXTS)
        )
    interface = visit.query("interface") or DEFAULT_INTERFACE
    if not INTERFACE.fullmatch(interface):
        raise no(
            400,
            "export.interface",
            "an interface's name has letters, digits, '_', '.' and '-', at most 64",
            field="interface",
        )
    return style, interface


async def _peer(visit: Visit) -> dict[str, Any]:
    """Return the peer's row, if it is there for this key (rule 1)."""
    try:
        rows = (await visit.asking.ask("peer", "list", peer=_ref(visit.path("peer"))))["peers"]
    except Refused as refused:
        raise not_found() if missing(refused) else refused from None
    row: dict[str, Any] = rows[0]
    if not visit.holder.is_admin and row["id"] != visit.holder.peer:
        raise not_found()
    return row


async def _node(visit: Visit) -> int | None:
    """Return the one node that is asked for, if it is there for this key; None: all."""
    bound, wanted = visit.holder.node, visit.query("node")
    if wanted is None:
        return bound
    try:
        number = int((await visit.asking.ask("node", "get", node=_ref(wanted)))["node"]["id"])
    except Refused as refused:
        raise not_found() if missing(refused) else refused from None
    if bound not in (None, number):
        raise not_found()
    return number


def _remote(row: Mapping[str, Any]) -> Remote:
    node = {
        "id": row["node"],
        "name": row["nodeName"],
        "nodeKey": row["nodeKey"],
        "expired": row["nodeExpired"],
    }
    return remote_of(row, node)


def _was_told(row: Mapping[str, Any]) -> bool:
    """Return whether it is noted already that the far side was told this connection as it is."""
    told = row["exported"]
    return told is not None and row["stale"] is None and all(row[name] == told[name] for name in _TOLD)


async def _record(visit: Visit, peer: int, news: Sequence[Remote], style: str, digest: str) -> None:
    """Note that the far side was told (rule 4)."""
    told = [
        ToldConnection(
            node=remote.node,
            public_key=remote.publicKey,
            ipv4_masq_addr=next((text for text in remote.allowedIps if ":" not in text), ""),
            ipv6_masq_addr=next((text for text in remote.allowedIps if ":" in text), ""),
        )
        for remote in news
    ]
    for start in range(0, len(told), RECORDED_AT_ONCE):
        part = tuple(told[start : start + RECORDED_AT_ONCE])
        await visit.send(RecordExport(peer=peer, connections=part, style=style, checksum=digest))


def _ref(text: str) -> int | str:
    number = bodies.number_in(text)
    if number is None and len(text) > bodies.MAX_REF:
        raise not_found()
    return text if number is None else number


def _is_known(header: str, tag: str) -> bool:
    """Return whether `If-None-Match` names the tag, weakly compared (RFC 9110 §13.1.2)."""
    opaque = tag.removeprefix("W/")
    return any(one.strip().removeprefix("W/") in (opaque, "*") for one in header.split(","))
