"""`netmap wg`: WireGuard-only peers, and what their own side needs to know."""

from frontends.cli import live, output
from frontends.cli.groups import Nouns
from frontends.cli.node import addresses
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment, only, subject
from frontends.cli.output import Column, Row
from frontends.cli.peerfind import peer_of
from frontends.cli.text import ago, pick, reference, short_key
from frontends.cli.told import warn_of

_LIFE = "frontends.cli.peerlife"
wg = Nouns(
    help="WireGuard-only peers: external endpoints without a Tailscale client.",
    lazy={
        "register": "frontends.cli.wgonly:register",
        "update": f"{_LIFE}:update",
        "rename": f"{_LIFE}:rename",
        "set-tags": f"{_LIFE}:set_tags",
        "move": f"{_LIFE}:move",
        "drain": f"{_LIFE}:drain",
        "undrain": f"{_LIFE}:undrain",
        "set-masq-pool": f"{_LIFE}:set_masq_pool",
        "backend": "frontends.cli.wgbackend:backend",
        "switch": "frontends.cli.wgbackend:switch",
        "remove": f"{_LIFE}:remove",
        "plan": "frontends.cli.wgplan:plan",
        "apply": "frontends.cli.wgplan:apply",
        "dump": "frontends.cli.wgplan:dump",
        "export": "frontends.cli.wgexport:export",
        "poll-script": "frontends.cli.wgpoll:poll_script",
        "import": "frontends.cli.wgimport:import_",
        "import-relays": "frontends.cli.wgrelays:import_relays",
        "doctor": "frontends.cli.why:doctor",
    },
    aliases={"ls": "list", "rm": "remove", "delete": "remove", "show": "get"},
)
_peer = subject("peer", "-i", "--peer", "--wg-peer-id", complete=live.peers)
_EMPTY = (
    "no WireGuard-only peers",
    "netmap node register-wg-only --name NAME --user USER --public-key KEY --allowed-ips IPS --endpoints A:PORT",
)


@wg.command("list")
@AT
@reading
def list_(operator: Operator, at: Moment) -> None:
    """List the WireGuard-only peers."""
    columns = (
        Column("ID", lambda row: row.get("id")),
        Column("NAME", lambda row: row.get("name")),
        Column("PUBLIC KEY", lambda row: short_key(pick(row, "publicKeyBase64", "publicKey"))),
        Column("ADDRESSES", addresses),
        Column("ALLOWED IPS", lambda row: row.get("allowedIps")),
        Column("ENDPOINTS", lambda row: row.get("endpoints")),
        Column("STATE", state),
        Column("CONNECTED", lambda row: row.get("connectedNodes")),
    )
    operator.rows(operator.listed("peer", "peers", at=at), columns, empty=_EMPTY)


def state(row: Row) -> str:
    """Return whether a peer carries traffic, or where it is cannot be looked up, in a word or two."""
    if row.get("disabled"):
        return "disabled"
    if row.get("expiredAt"):
        return "expired"
    if row.get("hosts") and not row.get("places"):
        return "not found"
    if row.get("drained"):
        return "drained"
    return "lookup fails" if any(host.get("failingSince") for host in row.get("hosts") or ()) else "enabled"


def lookups(row: Row, now: int) -> list[str]:
    """Return what looking each host name up gave, as people say it; `now` is in Unix milliseconds."""
    said = []
    for host in row.get("hosts") or ():
        found = ", ".join(host.get("addresses") or ()) or "not found yet"
        since = ago(host.get("failingSince"), now, unset="")
        said.append(
            f"{host['host']}: {found}"
            + (f" (lookups fail, since {since}: {host['failure']})" if since else "")
        )
    return said


def _backends(row: Row) -> list[str]:
    return [
        f"{one['name']} (present)" if one.get("present") else one["name"] for one in row.get("backends") or ()
    ]


@wg.command("get")
@_peer
@AT
@reading
def get(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None, at: Moment) -> None:
    """Show one WireGuard-only peer."""
    (which,) = only(words, peer_by_flag)
    found = operator.talk(lambda tailnet: peer_of(tailnet, which, at))
    if operator.form == "table":
        now = operator.now()
        times = {"created": ago(found.get("created"), now), "expiredAt": ago(found.get("expiredAt"), now)}
        stale = found.get("stale") or ()
        names = [f"{row.get('node')}({row.get('nodeName')})" for row in stale]
        output.emit_facts(
            {**found, **times, "stale": names, "hosts": lookups(found, now), "backends": _backends(found)}
        )
        warn_of(stale, now)
    else:
        output.emit(operator.form, found)


@wg.command("disable")
@_peer
@changing
def disable(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Cut every connected node off, in place: nothing leaks, and the nodes' choice of exit stays."""
    from engine.domain.commands import DisablePeer

    (which,) = only(words, peer_by_flag)
    operator.done(operator.send(DisablePeer(peer=reference(which))), {}, f"netmap wg enable {which}")


@wg.command("expire")
@_peer
@changing
def expire(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Let clients count it as expired; those in userspace mode then go out directly (see disable)."""
    from engine.domain.commands import ExpirePeer

    (which,) = only(words, peer_by_flag)
    operator.done(operator.send(ExpirePeer(peer=reference(which))), {}, f"netmap wg enable {which}")


@wg.command("enable")
@_peer
@changing
def enable(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Bring back what was disabled or expired."""
    from engine.domain.commands import EnablePeer

    (which,) = only(words, peer_by_flag)
    operator.done(operator.send(EnablePeer(peer=reference(which))), {})
