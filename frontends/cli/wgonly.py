"""`netmap node register-wg-only`, `add-wg-connection`, `remove-wg-connection`, as the user's document has them.

Rule 1: the document's names and flags are an interface, word for word; its examples work as typed.
Rule 2: lists have commas, with or without spaces, and their flags may repeat.
"""

from typing import TYPE_CHECKING

import click

from frontends.cli import live
from frontends.cli.operator import Operator, changing
from frontends.cli.options import JSON_OBJECT
from frontends.cli.text import listed, reference
from frontends.cli.usage import before_connecting, before_cutting_off

if TYPE_CHECKING:
    from engine.domain.commands import AddConnection, UpdateConnection

_NODE = click.option(
    "--node-id", required=True, metavar="NODE", shell_complete=live.nodes, help="The node: id or name."
)
_PEER = click.option(
    "--wg-peer-id",
    required=True,
    metavar="PEER",
    shell_complete=live.peers,
    help="The WireGuard-only peer: id or name.",
)
MASQUERADE_V4 = click.option(
    "--ipv4-masq-addr",
    default="",
    metavar="ADDRESS",
    help="The IPv4 source that the peer expects of the node.",
)
MASQUERADE_V6 = click.option(
    "--ipv6-masq-addr",
    default="",
    metavar="ADDRESS",
    help="The IPv6 source that the peer expects of the node.",
)
PART = click.option(
    "--allowed-ips",
    multiple=True,
    metavar="PREFIX,…",
    help="What the node gets of the peer's allowed IPs; not given: all.",
)


@click.command("register-wg-only")
@click.option("--name", required=True, help="Name for people, and in MagicDNS.")
@click.option(
    "--user", required=True, metavar="USER", shell_complete=live.users, help="The owner: id or name."
)
@click.option("--public-key", required=True, metavar="KEY", help="The peer's WireGuard key, in base64.")
@click.option(
    "--allowed-ips",
    required=True,
    multiple=True,
    metavar="PREFIX,…",
    help="What the peer may route: `0.0.0.0/0,::/0` for an exit node.",
)
@click.option(
    "--endpoints",
    required=True,
    multiple=True,
    metavar="ADDRESS:PORT,…",
    help="Where it is: `1.2.3.4:51820,[2001:db8::1]:51820,home.example.org:51820+53`.",
)
@click.option(
    "--extra-config",
    type=JSON_OBJECT,
    default=None,
    metavar="JSON",
    help="exitNodeDNSResolvers, suggestExitNode, tags, location.",
)
@click.option(
    "--provider",
    metavar="PROVIDER",
    shell_complete=live.providers,
    help="Whose relay it is: nodes are registered there by us (`netmap provider`).",
)
@changing
def register(
    operator: Operator,
    *,
    name: str,
    user: str,
    public_key: str,
    allowed_ips: tuple[str, ...],
    endpoints: tuple[str, ...],
    extra_config: dict[str, object] | None,
    provider: str | None,
) -> None:
    """Register a WireGuard-only peer; nobody sees it until a connection is added."""
    from engine.domain.commands import RegisterPeer

    accepted = operator.send(
        RegisterPeer(
            name=name,
            user=reference(user),
            public_key=public_key,
            allowed_ips=listed(allowed_ips),
            endpoints=listed(endpoints),
            extra_config=extra_config or {},
            provider=None if provider is None else reference(provider),
        )
    )
    following = (
        f"netmap node add-wg-connection --node-id NODE --wg-peer-id {accepted.id} --ipv4-masq-addr ADDRESS"
    )
    operator.done(accepted, {"name": name}, following)


@click.command("add-wg-connection")
@_NODE
@_PEER
@MASQUERADE_V4
@MASQUERADE_V6
@PART
@click.option(
    "--unjailed", is_flag=True, help="Let the far side call the node, as far as the policy names it."
)
@changing
def add(
    operator: Operator,
    *,
    node_id: str,
    wg_peer_id: str,
    ipv4_masq_addr: str,
    ipv6_masq_addr: str,
    allowed_ips: tuple[str, ...],
    unjailed: bool,
) -> None:
    """Connect a node to a WireGuard-only peer; without a masquerade address the peer's pool gives one."""
    from engine.domain.commands import AddConnection

    command = AddConnection(
        node=reference(node_id),
        peer=reference(wg_peer_id),
        ipv4_masq_addr=ipv4_masq_addr,
        ipv6_masq_addr=ipv6_masq_addr,
        allowed_ips=listed(allowed_ips) or None,
        jailed=not unjailed,
    )
    before_connecting(operator, node_id)
    connect(operator, command, node_id, wg_peer_id, "what the far side needs")


@click.command("update-wg-connection")
@_NODE
@_PEER
@MASQUERADE_V4
@MASQUERADE_V6
@PART
@click.option("--all-allowed-ips", "whole", is_flag=True, help="All that the peer has, again.")
@click.option("--jailed/--unjailed", "jailed", default=None, help="Whether the far side may only answer.")
@changing
def update(
    operator: Operator,
    *,
    node_id: str,
    wg_peer_id: str,
    ipv4_masq_addr: str,
    ipv6_masq_addr: str,
    allowed_ips: tuple[str, ...],
    whole: bool,
    jailed: bool | None,
) -> None:
    """Replace both masquerade addresses of a connection (one that is not given is taken away), or the rest.

    With none given, but another option, they stay.
    """
    from engine.domain.commands import UpdateConnection

    command = UpdateConnection(
        node=reference(node_id),
        peer=reference(wg_peer_id),
        ipv4_masq_addr=ipv4_masq_addr,
        ipv6_masq_addr=ipv6_masq_addr,
        allowed_ips=() if whole else listed(allowed_ips) or None,
        jailed=jailed,
    )
    connect(operator, command, node_id, wg_peer_id, "what the far side needs now")


def connect(
    operator: Operator, command: "AddConnection | UpdateConnection", node_id: str, wg_peer_id: str, why: str
) -> None:
    """Send the command; show the pair as it was typed, the addresses that it has, and what the far side needs."""
    accepted = operator.send(command)
    said = {
        "node": node_id,
        "peer": wg_peer_id,
        "ipv4MasqAddr": accepted.result.get("ipv4MasqAddr", command.ipv4_masq_addr),
        "ipv6MasqAddr": accepted.result.get("ipv6MasqAddr", command.ipv6_masq_addr),
    }
    operator.done(accepted, said, f"netmap wg export --peer {wg_peer_id}   # {why}")


@click.command("remove-wg-connection")
@_NODE
@_PEER
@changing
def remove(operator: Operator, node_id: str, wg_peer_id: str) -> None:
    """Disconnect a node from a WireGuard-only peer."""
    from engine.domain.commands import RemoveConnection

    before_cutting_off(operator, wg_peer_id, node_id)
    accepted = operator.send(RemoveConnection(node=reference(node_id), peer=reference(wg_peer_id)))
    operator.done(accepted, {"node": node_id, "peer": wg_peer_id})


_SELECTOR = click.option(
    "--selector", required=True, metavar="tag:…|group:…|USER", help="Whose nodes: a tag, a group, or a user."
)


@click.command("add-selector")
@_SELECTOR
@_PEER
@PART
@click.option(
    "--unjailed", is_flag=True, help="Let the far side call the nodes, as far as the policy names it."
)
@changing
def add_selector(
    operator: Operator, *, selector: str, wg_peer_id: str, allowed_ips: tuple[str, ...], unjailed: bool
) -> None:
    """Connect every node of a tag, a group or a user to a WireGuard-only peer, now and from now on.

    The peer's pool gives the masquerade addresses (`netmap wg set-masq-pool`).
    """
    from engine.domain.commands import AddSelector

    command = AddSelector(
        selector=selector,
        peer=reference(wg_peer_id),
        allowed_ips=listed(allowed_ips) or None,
        jailed=not unjailed,
    )
    following = f"netmap connection list --peer {wg_peer_id}   # who is connected"
    operator.done(operator.send(command), {"selector": selector, "peer": wg_peer_id}, following)


@click.command("remove-selector")
@_SELECTOR
@_PEER
@changing
def remove_selector(operator: Operator, selector: str, wg_peer_id: str) -> None:
    """Connect nobody any more because of a selector; connections that somebody asked for stay."""
    from engine.domain.commands import RemoveSelector

    command = RemoveSelector(selector=selector, peer=reference(wg_peer_id))
    operator.done(operator.send(command), {"selector": selector, "peer": wg_peer_id})
