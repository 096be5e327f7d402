"""Which tags there are, who gets them, and an operator's word on a node's tags.

Rule 1: a policy that has tag owners names every tag there is; without one any well-formed tag is.
Rule 2: an operator may give a node any tag there is. A client gets those that its user owns; a tagged one keeps its
        tags, and gets those that they own: it never loses one by asking for less.
Rule 3: a tagged node acts for its tags and its key has no expiry. It belongs to a user again when it logs in anew.
Rule 4: what a client asks for is not repeated to it.
"""

import difflib
import re
from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from engine.domain.commands import TagNode
from engine.domain.decision import Decision, Given
from engine.domain.document import document_of
from engine.domain.errors import Invalid
from engine.domain.events import Event, NodeExpirySet, NodeTagged
from engine.domain.extra import parse_tags
from engine.domain.refs import node_of
from engine.domain.routes import route_events
from engine.domain.state import Tailnet
from engine.domain.values import NEVER, UserId
from engine.domain.whom import person_of
from engine.policy.approval import owns

MAX_TAGS: Final = 64
"""Tags of one node: each set of tags is a class of its own."""
_TAG: Final = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*")
_MAX_SHOWN: Final = 10


def known_tags(tailnet: Tailnet, texts: tuple[str, ...], *, field: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the tags without repetitions, in the order given, and warnings.

    Raises:
        Invalid: `tag.syntax`, `tag.many`, `tag.unknown`.
    """
    tags, warnings = parse_tags(texts, field=field)
    if len(tags) > MAX_TAGS:
        raise Invalid(
            "tag.many", f"{len(tags)} tags are too many: a node has at most {MAX_TAGS}", field=field
        )
    defined = document_of(tailnet).tag_owners
    for tag in tags:
        if defined and tag not in defined:
            raise Invalid(
                "tag.unknown",
                f"the policy does not define {tag}: its tagOwners name every tag there is",
                field=field,
                hint=_nearest(tag, defined),
            )
    return tags, warnings


def granted(
    tailnet: Tailnet, asked: tuple[str, ...], *, user: UserId, tags: tuple[str, ...] = ()
) -> tuple[str, ...] | None:
    """Return the tags that a client of the user gets when it asks for these and has `tags`; None: it may not."""
    more = tuple(tag for tag in dict.fromkeys(asked) if tag not in tags)
    if not more:
        return tags
    if len(tags) + len(more) > MAX_TAGS:
        return None
    document = document_of(tailnet)
    owner = tailnet.users.get(user)
    person = None if tags or owner is None else person_of(owner)
    may = all(_TAG.fullmatch(tag) and owns(document, tag, person=person, tags=tags) for tag in more)
    return (*tags, *more) if may else None


def tag_node(tailnet: Tailnet, command: TagNode, given: Given) -> Decision:
    """Decide to let the node act for these tags, in the place of its user or of the tags that it had.

    Raises:
        NotFound: `node.not_found`.
        Invalid: `tag.none`, `tag.syntax`, `tag.many`, `tag.unknown`.
    """
    node = node_of(tailnet, command.node)
    if not command.tags:
        raise Invalid(
            "tag.none",
            "a node cannot be given no tags: it would belong to nobody",
            field="tags",
            hint="it belongs to a user again when it logs in anew: tailscale up --force-reauth",
        )
    found, warnings = known_tags(tailnet, command.tags, field="tags")
    tags = tuple(sorted(found))
    result = {"id": node.id, "name": node.name, "tags": list(tags)}
    if set(tags) == set(node.tags):
        return Decision(result=result, warnings=tuple(warnings))
    events: list[Event] = [NodeTagged(node=node.id, tags=tags)]
    if node.expiry != NEVER and not node.is_expired(given.now):
        events.append(NodeExpirySet(node=node.id, expiry=NEVER))
    events += route_events(tailnet, node, replace(node, tags=tags), None, given.now)
    return Decision(events=tuple(events), result=result, warnings=tuple(warnings))


def _nearest(tag: str, defined: Collection[str]) -> str:
    near = difflib.get_close_matches(tag[:80], defined, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    names = sorted(defined)
    return "defined are " + ", ".join(names[:_MAX_SHOWN]) + (", …" if len(names) > _MAX_SHOWN else "")
