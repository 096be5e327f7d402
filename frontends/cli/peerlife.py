"""`netmap wg update`, `rename`, `set-tags`, `move`, `drain`, `undrain`, `set-masq-pool`, `remove`: a peer over its life.

Rule 1: id and stable id stay: whoever has chosen the peer as its exit has still chosen it.
"""

import click

from frontends.cli import live
from frontends.cli.node import sure
from frontends.cli.operator import Operator, changing
from frontends.cli.options import JSON_OBJECT, only, subject
from frontends.cli.text import listed, reference
from frontends.cli.usage import before_cutting_off

_peer = subject("peer", "-i", "--peer", "--wg-peer-id", complete=live.peers)


@click.command("update")
@_peer
@click.option("--public-key", default=None, metavar="KEY", help="Another WireGuard key, in base64.")
@click.option("--allowed-ips", multiple=True, metavar="PREFIX,…", help="All that it may route from now on.")
@click.option(
    "--endpoints", multiple=True, metavar="ADDRESS:PORT,…", help="All places where it is from now on."
)
@click.option(
    "--extra-config",
    type=JSON_OBJECT,
    default=None,
    metavar="JSON",
    help="The fields to replace; null takes one away.",
)
@click.option(
    "--provider",
    metavar="PROVIDER",
    shell_complete=live.providers,
    help="Whose relay it is from now on (`netmap provider`); empty for nobody's.",
)
@click.option(
    "--managed-by", default=None, metavar="MARK", help="Which declarative file keeps it; an empty text: none."
)
@changing
def update(
    operator: Operator,
    *,
    words: tuple[str, ...],
    peer_by_flag: str | None,
    public_key: str | None,
    allowed_ips: tuple[str, ...],
    endpoints: tuple[str, ...],
    extra_config: dict[str, object] | None,
    provider: str | None,
    managed_by: str | None,
) -> None:
    """Change a WireGuard-only peer in place; what is not given stays."""
    from engine.domain.commands import UpdatePeer

    (which,) = only(words, peer_by_flag)
    command = UpdatePeer(
        peer=reference(which),
        public_key=public_key,
        allowed_ips=listed(allowed_ips) or None,
        endpoints=listed(endpoints) or None,
        extra_config=extra_config,
        provider="" if provider == "" else None if provider is None else reference(provider),
        managed_by=managed_by,
    )
    operator.done(operator.send(command), {})


@click.command("rename")
@_peer
@changing
def rename(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Give the peer another name: `netmap wg rename PEER NAME`."""
    from engine.domain.commands import RenamePeer

    which, name = only(words, peer_by_flag, "NAME")
    operator.done(operator.send(RenamePeer(peer=reference(which), name=name)), {})


@click.command("set-tags")
@_peer
@changing
def set_tags(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Give the peer these tags, and no others: `netmap wg set-tags PEER [TAG…]`."""
    from engine.domain.commands import TagPeer

    given = words if peer_by_flag is None else (peer_by_flag, *words)
    which, *tags = given or only(given, None)
    operator.done(operator.send(TagPeer(peer=reference(which), tags=listed(tags))), {})


@click.command("move")
@_peer
@changing
def move(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Let the peer belong to another user: `netmap wg move PEER USER`."""
    from engine.domain.commands import MovePeer

    which, user = only(words, peer_by_flag, "USER")
    operator.done(operator.send(MovePeer(peer=reference(which), user=reference(user))), {})


@click.command("drain")
@_peer
@changing
def drain(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Let nodes with `--exit-node=auto:any` choose another exit; who stays is still served."""
    from engine.domain.commands import DrainPeer

    (which,) = only(words, peer_by_flag)
    operator.done(operator.send(DrainPeer(peer=reference(which))), {}, f"netmap wg undrain {which}")


@click.command("undrain")
@_peer
@changing
def undrain(operator: Operator, words: tuple[str, ...], peer_by_flag: str | None) -> None:
    """Let a drained peer be chosen again."""
    from engine.domain.commands import UndrainPeer

    (which,) = only(words, peer_by_flag)
    operator.done(operator.send(UndrainPeer(peer=reference(which))), {})


@click.command("set-masq-pool")
@_peer
@click.option(
    "--ipv4", default="", metavar="PREFIX", help="From where nodes get their IPv4 masquerade address."
)
@click.option(
    "--ipv6", default="", metavar="PREFIX", help="From where nodes get their IPv6 masquerade address."
)
@click.option("--none", "ends", is_flag=True, help="No pool any more.")
@changing
def set_masq_pool(
    operator: Operator,
    *,
    words: tuple[str, ...],
    peer_by_flag: str | None,
    ipv4: str,
    ipv6: str,
    ends: bool,
) -> None:
    """Let connections without a masquerade address get the next free one of these prefixes."""
    from engine.domain.commands import SetMasqueradePool

    (which,) = only(words, peer_by_flag)
    if ends == bool(ipv4 or ipv6):
        raise click.UsageError("--ipv4, --ipv6 or both, or --none is needed")
    operator.done(operator.send(SetMasqueradePool(peer=reference(which), ipv4=ipv4, ipv6=ipv6)), {})


@click.command("remove")
@_peer
@click.option("--cascade", is_flag=True, help="End its connections too.")
@click.option("--force", is_flag=True, help="Do not ask.")
@changing
def remove(
    operator: Operator, words: tuple[str, ...], peer_by_flag: str | None, cascade: bool, force: bool
) -> None:
    """Remove a WireGuard-only peer; while a node is connected to it, only with --cascade."""
    from engine.domain.commands import RemovePeer

    (which,) = only(words, peer_by_flag)
    sure(f"Remove {which}{' and its connections' if cascade else ''}?", force=force)
    if cascade:
        before_cutting_off(operator, which)
    operator.done(operator.send(RemovePeer(peer=reference(which), cascade=cascade)), {})
