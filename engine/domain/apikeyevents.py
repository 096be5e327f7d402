"""What happened to API keys; a part of `events.py`, whose rules hold here."""

import msgspec

from engine.domain.values import NEVER, ApiKeyId, Millis, NodeId, PeerId


class ApiKeyCreated(msgspec.Struct, frozen=True, kw_only=True, tag="ApiKeyCreated.v1"):
    """An API key exists; the store keeps only `digest`, SHA-256 of the whole key in hex."""

    key: ApiKeyId
    prefix: str
    """The part of the key that may be shown: 12 hex digits, unique among living keys."""
    digest: str
    scope: str
    """`admin`: all of the HTTP API; `export`: what the far side of one WireGuard-only peer reads."""
    peer: PeerId | None = None
    """Of the scope `export`: whose."""
    node: NodeId | None = None
    """Of the scope `export`: of this node's connection alone; None: of all."""
    expiry: Millis = NEVER


class ApiKeyExpired(msgspec.Struct, frozen=True, kw_only=True, tag="ApiKeyExpired.v1"):
    """The API key was ended by hand; it opens nothing any more."""

    key: ApiKeyId


class ApiKeyDeleted(msgspec.Struct, frozen=True, kw_only=True, tag="ApiKeyDeleted.v1"):
    """The API key is gone; its id is never used again."""

    key: ApiKeyId


ApiKeyEvent = ApiKeyCreated | ApiKeyExpired | ApiKeyDeleted
