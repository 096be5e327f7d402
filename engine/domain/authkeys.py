"""Decisions about pre-auth keys.

Rule 1: the secret is `nmkey-<id>-<32 hex digits>`; it is told once, and the log has only its SHA-256.
Rule 2: a key is one-off unless it says reusable; a one-off key opens once, in the decision that says so.
"""

from typing import Final

from engine.domain.aggregates import AuthKey
from engine.domain.commands import CreateAuthKey, ExpireAuthKey
from engine.domain.decision import Decision, Given
from engine.domain.errors import NotAllowed
from engine.domain.events import AuthKeyCreated, AuthKeyExpired
from engine.domain.refs import auth_key_by_secret, auth_key_of, digest_of, user_of
from engine.domain.state import Tailnet
from engine.domain.tags import known_tags
from engine.domain.values import NEVER, AuthKeyId, Millis

_SHOWN_DIGITS: Final = 4
"""Digits of the secret in the prefix: people tell keys apart by them; 112 bits stay unknown."""


def secret_text(key: AuthKeyId, secret: str) -> str:
    """Return the key as it is given to people; `secret` is 32 hex digits (`Given.secret`)."""
    return f"nmkey-{key}-{secret}"


def create_auth_key(tailnet: Tailnet, command: CreateAuthKey, given: Given) -> Decision:
    """Decide on a new pre-auth key.

    Raises:
        NotFound: `user.not_found`.
        Invalid: `tag.syntax`, `tag.many`, `tag.unknown`.
    """
    user = user_of(tailnet, command.user)
    tags, warnings = known_tags(tailnet, command.tags, field="tags")
    expiry = NEVER
    if command.expires_in_seconds:
        expiry = Millis(given.now + command.expires_in_seconds * 1_000)
    else:
        warnings.append("authkey.no_expiry: this key never expires: whoever finds it can join")
    number = tailnet.next_auth_key
    text = secret_text(number, given.secret)
    event = AuthKeyCreated(
        key=number,
        user=user.id,
        prefix=text[: len(text) - len(given.secret) + _SHOWN_DIGITS],
        digest=digest_of(text),
        reusable=command.reusable,
        ephemeral=command.ephemeral,
        tags=tags,
        expiry=expiry,
    )
    return Decision(
        events=(event,),
        result={
            "id": number,
            "user": user.id,
            "prefix": event.prefix,
            "reusable": event.reusable,
            "ephemeral": event.ephemeral,
            "tags": list(tags),
            "expiry": expiry,
        },
        secret_result={"key": text},
        warnings=tuple(warnings),
    )


def expire_auth_key(tailnet: Tailnet, command: ExpireAuthKey) -> Decision:
    """End a pre-auth key; one that was ended before stays so.

    Raises:
        NotFound: `authkey.not_found`.
    """
    key = auth_key_of(tailnet, command.key)
    events = () if key.expired else (AuthKeyExpired(key=key.id),)
    return Decision(events=events, result={"id": key.id, "prefix": key.prefix})


def open_with(tailnet: Tailnet, secret: str, now: Millis) -> AuthKey:
    """Return the pre-auth key that the secret is, if it still opens.

    Raises:
        NotAllowed: `authkey.unknown`, `authkey.expired`, `authkey.used`; the secret is not repeated.
    """
    key = auth_key_by_secret(tailnet, secret)
    if key is None:
        raise NotAllowed("authkey.unknown", "the pre-auth key is not known here", field="authKey")
    if key.expired or NEVER < key.expiry <= now:
        raise NotAllowed("authkey.expired", "the pre-auth key has expired", field="authKey")
    if key.used and not key.reusable:
        raise NotAllowed("authkey.used", "the pre-auth key was for one node, and is used", field="authKey")
    return key
