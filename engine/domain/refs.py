"""From an id or a name to the thing.

Rule 1: a number, or a text of digits, is an id; anything else is a name.
Rule 2: a node or WireGuard-only peer is also found by its tailnet address, and by its key: `nodekey:…`, 64 hex digits, or
        base64 as `wg` prints it.
Rule 3: a pre-auth key that is named by itself is not repeated.
"""

import hashlib
import ipaddress
from typing import Final

from engine.domain.aggregates import AuthKey, Node, Peer, User
from engine.domain.commands import Ref
from engine.domain.errors import NotFound
from engine.domain.keys import node_key_of
from engine.domain.state import Tailnet
from engine.domain.values import FIRST_PEER_ID, AuthKeyId, NodeId, PeerId, UserId

MAX_DIGITS: Final = 18
"""Digits of an id in text: below 2^63, and no number that is slow to read."""


def number_of(ref: Ref) -> int | None:
    """Return the id that the reference is, or None when it is a name."""
    if isinstance(ref, int):
        return ref
    return int(ref) if ref.isascii() and ref.isdigit() and len(ref) <= MAX_DIGITS else None


def user_of(tailnet: Tailnet, ref: Ref, *, field: str = "user") -> User:
    """Return the user.

    Raises:
        NotFound: `user.not_found`.
    """
    number = number_of(ref)
    found = tailnet.user_by_name.get(str(ref).lower()) if number is None else UserId(number)
    user = None if found is None else tailnet.users.get(found)
    if user is None:
        raise NotFound(
            "user.not_found",
            f"user {_shown(ref)} not found",
            field=field,
            hint="netmap user list shows all; netmap user create makes one",
        )
    return user


def node_of(tailnet: Tailnet, ref: Ref, *, field: str = "node") -> Node:
    """Return the node.

    Raises:
        NotFound: `node.not_found`.
    """
    number = number_of(ref)
    if number is None:
        text = str(ref).lower()
        key = node_key_of(str(ref))
        by_key = None if key is None else tailnet.node_by_key.get(key)
        number = by_key or tailnet.node_by_name.get(text) or _holder(tailnet, text)
    node = None if number is None else tailnet.nodes.get(NodeId(number))
    if node is None:
        is_peer = number is not None and number in tailnet.peers
        hint = "this is a WireGuard-only peer" if is_peer else "netmap node list shows all"
        raise NotFound("node.not_found", f"node {_shown(ref)} not found", field=field, hint=hint)
    return node


def peer_of(tailnet: Tailnet, ref: Ref, *, field: str = "peer") -> Peer:
    """Return the WireGuard-only peer.

    Raises:
        NotFound: `peer.not_found`.
    """
    number = number_of(ref)
    if number is None:
        text = str(ref).lower()
        key = node_key_of(str(ref))
        by_key = None if key is None else tailnet.peer_by_key.get(key)
        number = by_key or tailnet.peer_by_name.get(text) or _holder(tailnet, text)
    peer = None if number is None else tailnet.peers.get(PeerId(number))
    if peer is None:
        is_small = number is not None and number < FIRST_PEER_ID
        hint = (
            f"ids of WireGuard-only peers begin at {FIRST_PEER_ID}"
            if is_small
            else "netmap peer list shows all"
        )
        raise NotFound(
            "peer.not_found", f"WireGuard-only peer {_shown(ref)} not found", field=field, hint=hint
        )
    return peer


def auth_key_of(tailnet: Tailnet, ref: Ref, *, field: str = "key") -> AuthKey:
    """Return the pre-auth key with this id, or the one whose secret this is.

    Raises:
        NotFound: `authkey.not_found`.
    """
    number = number_of(ref)
    found = auth_key_by_secret(tailnet, str(ref)) if number is None else None
    if number is not None:
        found = tailnet.auth_keys.get(AuthKeyId(number))
    if found is None:
        named = "with this secret" if number is None else str(number)
        raise NotFound(
            "authkey.not_found",
            f"pre-auth key {named} not found",
            field=field,
            hint="netmap authkey list shows all",
        )
    return found


def auth_key_by_secret(tailnet: Tailnet, secret: str) -> AuthKey | None:
    """Return the pre-auth key whose secret this is.

    The look-up is by digest: how long it takes says nothing about the secrets of others.
    """
    number = tailnet.auth_key_by_digest.get(digest_of(secret))
    return None if number is None else tailnet.auth_keys.get(number)


def digest_of(secret: str) -> str:
    """Return SHA-256 in hex: enough for a secret of 128 random bits, for which a slow hash adds nothing."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _holder(tailnet: Tailnet, text: str) -> int | None:
    try:
        return tailnet.holders.get(int(ipaddress.ip_address(text)))
    except ValueError:
        return None


def _shown(ref: Ref) -> str:
    return str(ref) if isinstance(ref, int) else repr(ref[:80])
