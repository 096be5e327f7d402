"""Decisions about API keys.

Rule 1: a key is `hskey-api-<12 hex digits>-<64 hex digits>`, as tools for Headscale know it; it is told once, and the
        log has only its SHA-256. The first part, its prefix, may be shown; nothing of the second follows from it.
Rule 2: a key of the scope `export` opens one WireGuard-only peer's export, perhaps one node's part of it, and no more.
Rule 3: a key that is named by itself is not repeated.
"""

import hashlib
import hmac
import re
from typing import Final

from engine.domain.aggregates import ApiKey
from engine.domain.command import Ref
from engine.domain.commands import CreateApiKey, DeleteApiKey, ExpireApiKey
from engine.domain.decision import Decision, Given
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import ApiKeyCreated, ApiKeyDeleted, ApiKeyExpired
from engine.domain.refs import digest_of, node_of, number_of, peer_of
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, ApiKeyId, Millis, NodeId, PeerId

ADMIN: Final = "admin"
EXPORT: Final = "export"
SCOPES: Final = (ADMIN, EXPORT)
HEAD: Final = "hskey-api-"
"""How the text of a key begins (Headscale 0.28)."""
PREFIX_DIGITS: Final = 12
SECRET_DIGITS: Final = 64
_TEXT: Final = re.compile(rf"{HEAD}([0-9a-f]{{{PREFIX_DIGITS}}})-[0-9a-f]{{{SECRET_DIGITS}}}")
_NAMED: Final = re.compile(rf"(?:{HEAD})?([0-9a-f]{{{PREFIX_DIGITS}}})(?:[-.*].*)?")


def key_text(secret: str) -> str:
    """Return the key as it is given to people; `secret` is `Given.secret`, 128 bits that nobody can guess."""
    return f"{HEAD}{_digits('prefix', secret)[:PREFIX_DIGITS]}-{_digits('secret', secret)}"


def prefix_in(text: str) -> str | None:
    """Return the prefix of a whole key; None when the text is none."""
    found = _TEXT.fullmatch(text)
    return found.group(1) if found else None


def create_api_key(tailnet: Tailnet, command: CreateApiKey, given: Given) -> Decision:
    """Decide on a new API key.

    Raises:
        Invalid: `apikey.scope`, `apikey.peer_missing`, `apikey.unbound`.
        NotFound: `peer.not_found`, `node.not_found`.
        Conflict: `apikey.prefix_taken`.
    """
    peer, node = _bound(tailnet, command)
    warnings = []
    if peer is not None and node is not None and (node, peer) not in tailnet.connections:
        warnings.append(
            "apikey.not_connected: that node is not connected to that peer: nothing to export yet"
        )
    expiry = NEVER
    if command.expires_in_seconds:
        expiry = Millis(given.now + command.expires_in_seconds * 1_000)
    else:
        warnings.append("apikey.no_expiry: this key never expires: whoever finds it may use it for ever")
    text = key_text(given.secret)
    prefix = text[len(HEAD) :][:PREFIX_DIGITS]
    if prefix in tailnet.api_key_by_prefix:
        raise Conflict(
            "apikey.prefix_taken",
            "another key begins like that",
            hint="send it again with another command id",
        )
    event = ApiKeyCreated(
        key=tailnet.next_api_key,
        prefix=prefix,
        digest=digest_of(text),
        scope=command.scope,
        peer=peer,
        node=node,
        expiry=expiry,
    )
    result = {"id": event.key, "prefix": prefix, "scope": event.scope, "expiry": expiry}
    result |= {name: to for name, to in (("peer", peer), ("node", node)) if to is not None}
    return Decision(events=(event,), result=result, secret_result={"key": text}, warnings=tuple(warnings))


def expire_api_key(tailnet: Tailnet, command: ExpireApiKey) -> Decision:
    """End an API key; one that was ended before stays so.

    Raises:
        NotFound: `apikey.not_found`.
    """
    key = api_key_of(tailnet, command.key)
    events = () if key.expired else (ApiKeyExpired(key=key.id),)
    return Decision(events=events, result={"id": key.id, "prefix": key.prefix})


def delete_api_key(tailnet: Tailnet, command: DeleteApiKey) -> Decision:
    """Delete an API key.

    Raises:
        NotFound: `apikey.not_found`.
    """
    key = api_key_of(tailnet, command.key)
    return Decision(events=(ApiKeyDeleted(key=key.id),), result={"id": key.id, "prefix": key.prefix})


def api_key_of(tailnet: Tailnet, ref: Ref, *, field: str = "key") -> ApiKey:
    """Return the API key with this id or prefix, or the one that this is; a prefix may have stars behind it.

    Raises:
        NotFound: `apikey.not_found`; the reference is not repeated when it may be a key.
    """
    number = number_of(ref)
    found = _named(tailnet, ref) if isinstance(ref, str) else None  # a prefix may be digits alone
    if found is None and number is not None:
        found = tailnet.api_keys.get(ApiKeyId(number))
    if found is None:
        shown = "with this text" if number is None else str(number)
        raise NotFound(
            "apikey.not_found", f"API key {shown} not found", field=field, hint="netmap apikey list shows all"
        )
    return found


def good_key(tailnet: Tailnet, prefix: str, digest: str, now: Millis) -> ApiKey | None:
    """Return the key with the prefix if the digest is its own and it still opens; in constant time for the digest."""
    key = key_by_prefix(tailnet, prefix)
    same = hmac.compare_digest((key.digest if key else "0" * 64).encode(), digest.encode())
    return key if key is not None and same and key.is_good(now) else None


def key_by_prefix(tailnet: Tailnet, prefix: str) -> ApiKey | None:
    """Return the key with the prefix."""
    number = tailnet.api_key_by_prefix.get(prefix)
    return None if number is None else tailnet.api_keys.get(number)


def _bound(tailnet: Tailnet, command: CreateApiKey) -> tuple[PeerId | None, NodeId | None]:
    """Return to whom the key is bound."""
    if command.scope not in SCOPES:
        raise Invalid(
            "apikey.scope",
            f"{command.scope[:40]!r} is not a scope of API keys",
            field="scope",
            hint="one of " + ", ".join(SCOPES),
        )
    if command.scope == EXPORT and command.peer is None:
        raise Invalid(
            "apikey.peer_missing",
            "a key of the scope 'export' is for one WireGuard-only peer",
            field="peer",
            hint="netmap apikey create --scope export --peer PEER",
        )
    if command.scope == ADMIN and (command.peer is not None or command.node is not None):
        raise Invalid(
            "apikey.unbound",
            "a key of the scope 'admin' is for everything: it cannot be bound to a peer or a node",
            field="peer" if command.peer is not None else "node",
            hint="leave it out, or make the scope 'export'",
        )
    peer = None if command.peer is None else peer_of(tailnet, command.peer).id
    return peer, None if command.node is None else node_of(tailnet, command.node).id


def _named(tailnet: Tailnet, text: str) -> ApiKey | None:
    """Return the key that a text names: a prefix, with or without what is before and behind it in a key."""
    whole = prefix_in(text)
    if whole is not None:
        key = key_by_prefix(tailnet, whole)
        return key if key is not None and hmac.compare_digest(key.digest, digest_of(text)) else None
    named = _NAMED.fullmatch(text)
    return key_by_prefix(tailnet, named.group(1)) if named else None


def _digits(purpose: str, secret: str) -> str:
    return hashlib.sha256(f"api-key {purpose} {secret}".encode()).hexdigest()
