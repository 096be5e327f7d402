"""The decision that a user is to be forgotten (`personal.py`).

Rule 1: whoever is erased is deleted too, with the same conditions; one that was deleted before can still be erased, by its id.
Rule 2: what nothing can be done about is said: policy texts that name the user, and records from before names were sealed; for the
        latter only with `force`.
Rule 3: neither the answer nor a warning names the user: both are kept.
"""

from typing import Final

from engine.domain.commands import DeleteUser
from engine.domain.decision import Decision, Given
from engine.domain.errors import Conflict
from engine.domain.events import Event, UserErased
from engine.domain.personalcommands import EraseUser
from engine.domain.refs import number_of, user_of
from engine.domain.state import Tailnet
from engine.domain.users import delete_user
from engine.domain.values import UserId

MAX_POLICIES: Final = 20
"""Policy texts that an answer names."""


def erase_user(tailnet: Tailnet, command: EraseUser, given: Given) -> Decision:
    """Decide that what the log says of a user is to be readable no more.

    Raises:
        NotFound: `user.not_found`.
        Conflict: `user.in_use`, as for `user.delete`; `user.plain`: some of it stays readable (rule 2).
    """
    number = number_of(command.user)
    if number is not None and UserId(number) in tailnet.erased:
        return Decision(result={"id": number})
    was_deleted = (
        number is not None and UserId(number) not in tailnet.users and 0 < number < tailnet.next_user
    )
    user = UserId(number) if was_deleted and number is not None else user_of(tailnet, command.user).id
    plain = given.plain.get(user, 0)
    if plain and not command.force:
        raise Conflict(
            "user.plain",
            f"{plain} records of user {user} are from before names were sealed: they stay readable for ever",
            field="user",
            hint="--force erases the others",
        )
    events: tuple[Event, ...] = ()
    warnings: tuple[str, ...] = ()
    policies = [] if was_deleted else _naming(tailnet, user)
    if not was_deleted:
        deletion = delete_user(tailnet, DeleteUser(user=user, cascade=command.cascade))
        events, warnings = deletion.events, deletion.warnings
    if plain:
        warnings += (f"user.plain: {plain} records from before names were sealed stay readable",)
    if policies:
        warnings += (f"user.policy: {len(policies)} policy texts name the user: {', '.join(policies)}",)
    return Decision(
        events=(*events, UserErased(user=user)),
        result={"id": user, "policies": policies, "plain": plain},
        warnings=warnings,
    )


def _naming(tailnet: Tailnet, number: UserId) -> list[str]:
    """Return the policies that say the user's name or e-mail address: the first 12 digits of their digests, the newest first."""
    user = tailnet.users[number]
    texts = [text.lower() for text in (user.email, f"{user.name}@", f'"{user.name}"') if text]
    found = [digest for digest, text in tailnet.policies.items() if any(t in text.lower() for t in texts)]
    return [digest[:12] for digest in reversed(found)][:MAX_POLICIES]
