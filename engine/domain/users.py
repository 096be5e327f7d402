"""Decisions about users."""

import re
from typing import Final

from engine.domain.commands import CreateUser
from engine.domain.decision import Decision
from engine.domain.errors import Conflict, Invalid
from engine.domain.events import UserCreated
from engine.domain.state import Tailnet

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")
"""A login name or an e-mail address: clients show it, and store it in their profiles."""


def create_user(tailnet: Tailnet, command: CreateUser) -> Decision:
    """Decide whether there may be such a user.

    Raises:
        Invalid: `user.name`, `user.text`.
        Conflict: `user.taken`; names are compared without regard to case.
    """
    name = command.name
    if not _NAME.fullmatch(name):
        raise Invalid(
            "user.name",
            f"{name[:80]!r} cannot be a user's name: letters, digits and . _ @ + - only, first a letter or digit",
            field="name",
            hint="--display-name takes any text",
        )
    if name.isdigit():
        raise Invalid(
            "user.name",
            f"{name[:80]!r} cannot be a user's name: a number is taken for an id",
            field="name",
        )
    for field, text in (("displayName", command.display_name), ("email", command.email)):
        if text and not text.isprintable():
            raise Invalid("user.text", f"{field} must be printable", field=field)
    if name.lower() in tailnet.user_by_name:
        other = tailnet.users[tailnet.user_by_name[name.lower()]]
        raise Conflict(
            "user.taken", f"the name {name!r} is taken by user {other.id}({other.name})", field="name"
        )
    event = UserCreated(
        user=tailnet.next_user, name=name, display_name=command.display_name, email=command.email
    )
    return Decision(
        events=(event,),
        result={
            "id": event.user,
            "name": name,
            "displayName": command.display_name,
            "email": command.email,
        },
    )
