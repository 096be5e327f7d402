"""What the far side reads with wg(8) and wg-quick(8): `[Peer]` blocks, or `wg set` lines.

Rule 1: there are only public keys; the interface's own lines are a comment, since its private key stays where it is.
"""

from collections.abc import Sequence

from frontends.farside.remotes import Remote, Side


def blocks(remotes: Sequence[Remote], side: Side) -> str:
    """Return a `[Peer]` block for each node: for `wg setconf`, `wg addconf` or a wg-quick file."""
    head = [
        f"# The far side of {side.name}: add these to its wg-quick file, below what it has, or use `wg addconf`.",
        "# [Interface]",
        "# PrivateKey = (its own, which stays there)",
        f"# ListenPort = {side.port}",
    ]
    return "\n\n".join(["\n".join(head), *(_block(remote) for remote in remotes)])


def commands(remotes: Sequence[Remote], side: Side) -> str:
    """Return a `wg set` line for each node."""
    return "\n".join(
        f"wg set {side.interface} peer {remote.publicKey} allowed-ips {','.join(remote.allowedIps)}"
        for remote in remotes
    )


def _block(remote: Remote) -> str:
    return "\n".join(
        [
            "[Peer]",
            f"# {remote.about}",
            f"PublicKey = {remote.publicKey}",
            f"AllowedIPs = {', '.join(remote.allowedIps)}",
        ]
    )
