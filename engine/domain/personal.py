"""What of a log speaks of a person, and what stands there once that is erased; pure.

Rule 1: a *subject* is a user, by id. The fields of `PERSONAL` are stored sealed under the subject's own key, together with the
        answer to a command whenever it says one of these texts (`said_in`).
Rule 2: what stands in their place without the key is a tombstone. No user and no node can be given its name: `:` and `_` are in
        no name, so nothing that is alive is ever mistaken for it.
Rule 3: what people type freely (reasons, policy texts, names of WireGuard-only peers, which are devices and change hands) is not
        sealed: `netmap user erase` says where it stands.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.domain.events import CommandHandled, Event, NodeRegistered, NodeRenamed, UserCreated
from engine.domain.state import Tailnet
from engine.domain.values import NodeId, UserId

PERSONAL: Final[Mapping[type[Event], tuple[str, ...]]] = {
    UserCreated: ("name", "display_name", "email"),
    NodeRegistered: ("name", "hostname"),
    NodeRenamed: ("name",),
    CommandHandled: ("digest", "result"),
}
"""The fields that are sealed, by event. A receipt's digest is one too: names are short enough to be tried out."""
HOSTNAME: Final = "erased"
ERASED_ANSWER: Final = b'{"result":{"erased":true}}'


def tombstone(event: Event) -> Event:
    """Return the event as it reads once its subject is erased; an event of which nothing is personal as it is."""
    match event:
        case UserCreated():
            return replace(event, name=f"erased:{event.user}", display_name="", email="")
        case NodeRegistered():
            return replace(event, name=f"erased_{event.node}", hostname=HOSTNAME)
        case NodeRenamed():
            return replace(event, name=f"erased_{event.node}")
        case CommandHandled():
            return replace(event, digest="", result=msgspec.Raw(ERASED_ANSWER))
        case _:
            return event


def subject_of(event: Event, tailnet: Tailnet) -> UserId | None:
    """Return of whom the personal fields of an event speak, asked before it is applied; None if it has none."""
    match event:
        case UserCreated() | NodeRegistered():
            return event.user
        case NodeRenamed(node=number):
            node = tailnet.nodes.get(number)
            return None if node is None else node.user
        case _:
            return None


def said_in(
    answer: bytes, events: Iterable[Event], result: Mapping[str, object], tailnet: Tailnet
) -> tuple[UserId, ...]:
    """Return the subjects of whom an answer speaks, in order of their ids; asked before the events are applied.

    Args:
        answer: the JSON that would be stored.
        events: what was decided.
        result: what the sender is told; of a command that changed nothing it says whom it was about.
        tailnet: as it was decided upon.
    """
    texts: dict[UserId, set[str]] = {}
    for event in events:
        _collect(texts, tailnet, getattr(event, "user", None), getattr(event, "node", None))
        subject = subject_of(event, tailnet)
        if subject is not None:
            fields = (getattr(event, name) for name in PERSONAL[type(event)])
            texts.setdefault(subject, set()).update(fields)
    _collect(texts, tailnet, result.get("user"), result.get("node"))
    _collect(texts, tailnet, result.get("id"), result.get("id"))
    return tuple(
        sorted(user for user, found in texts.items() if any(_stands_in(answer, text) for text in found))
    )


def _collect(texts: dict[UserId, set[str]], tailnet: Tailnet, user: object, node: object) -> None:
    """Add the texts of a user, and of a node with its user, where there are such."""
    held = tailnet.nodes.get(NodeId(node)) if isinstance(node, int) else None
    owner = held.user if held is not None else None
    for number in (user, owner):
        person = tailnet.users.get(UserId(number)) if isinstance(number, int) else None
        if person is not None and person.id not in texts:
            texts[person.id] = {person.name, person.display_name, person.email}
    if held is not None:
        texts.setdefault(held.user, set()).update((held.name, held.hostname))


def _stands_in(answer: bytes, text: str) -> bool:
    return bool(text) and msgspec.json.encode(text)[1:-1] in answer
