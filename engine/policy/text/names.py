"""What a policy defines: groups, hosts, and tags with their owners; pure.

Rule 1: names are ASCII: `tag:sеrver` with a Cyrillic letter would look like another tag and be none.
Rule 2: a group has users only; a group in a group is refused.
Rule 3: a tag may own a tag, even itself, in circles too: that says who may give it and no more.
"""

import re
from typing import Final

from engine.policy.document import Kind, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.addresses import span_in
from engine.policy.text.fields import MAX_MEMBERS, MAX_SELECTORS, fault, members_of, text_of, texts_of
from engine.policy.text.hujson import Node, Text, shown
from engine.policy.text.selectors import PEOPLE, Scope, is_there, login_of, person_in, range_in

_GROUP: Final = re.compile(r"group:[A-Za-z0-9][A-Za-z0-9._@+-]*")
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_TAG: Final = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*")
OWNERS: Final = PEOPLE | {Kind.TAG}


def read_groups(scope: Scope, node: Node | None) -> None:
    """Put the groups into the scope.

    Raises:
        PolicyFault: `group-name`, `group-nested`, `group-member`, `wrong-type`, `too-many`.
    """
    nested: list[tuple[str, Text]] = []
    for key, value in members_of(node, "groups"):
        if not _GROUP.fullmatch(key.value):
            hint = "write group: and a name of a-z, 0-9, ., _, @, + and -"
            raise fault("group-name", key, f"{shown(key.value)} cannot be the name of a group", hint)
        members: dict[str, None] = {}
        for text in texts_of(value, key.value, MAX_MEMBERS):
            login = login_of(text)
            if login is not None:
                members[login] = None
            elif text.value.strip().startswith("group:"):
                nested.append((key.value, text))
            else:
                message = f"{shown(text.value)} cannot be a member of {shown(key.value)}"
                raise fault("group-member", text, message, "members are users: alice@example.com, or alice@")
        scope.groups[key.value] = tuple(members)
    if nested:
        name, text = max(nested, key=lambda pair: pair[0])
        message = f"the group {shown(text.value)} cannot be a member of {shown(name)}: groups have users only"
        raise fault("group-nested", text, message, "list its users here, or name both groups in the rules")


def read_hosts(scope: Scope, node: Node | None) -> None:
    """Put the hosts into the scope.

    Raises:
        PolicyFault: `host-name`, `bad-address`, `wrong-type`, `too-many`.
    """
    for key, value in members_of(node, "hosts"):
        if not _HOST.fullmatch(key.value) or span_in(key.value) is not None:
            hint = "write a name of a-z, 0-9, ., _ and - that is no address"
            raise fault("host-name", key, f"{shown(key.value)} cannot be the name of a host", hint)
        text = text_of(value, f"the host {shown(key.value)}")
        found = range_in(scope, text.value, text)
        if found is None:
            message = f"{shown(text.value)} is no address: the host {shown(key.value)} needs one"
            raise fault(
                "bad-address", text, message, "write an address or a prefix: 100.64.0.1 or 10.0.0.0/8"
            )
        scope.hosts[key.value] = found


def read_tag_owners(scope: Scope, node: Node | None) -> dict[str, tuple[Selector, ...]]:
    """Return the owners of the tags, and put the tags into the scope.

    Raises:
        PolicyFault: `tag-name`, `unknown-tag`, `unknown-group`, `misplaced-selector`, and those of selectors.
    """
    written = members_of(node, "tagOwners")
    for key, _ in written:
        if not _TAG.fullmatch(key.value):
            raise _bad_tag(key)
        if key.value != key.value.lower():
            scope.warn(key, f"devices have tags in lower case only: none can have {key.value}")
        scope.tags[key.value] = key
    check = is_there(OWNERS, "the owner of a tag")
    owners: dict[str, tuple[Selector, ...]] = {}
    for key, value in written:
        texts = texts_of(value, f"the owners of {key.value}", MAX_SELECTORS)
        owners[key.value] = tuple(one for text in texts for one in person_in(scope, text, check))
        scope.count(len(texts), key)
    return owners


def _bad_tag(key: Text) -> PolicyFault:
    name = key.value.removeprefix("tag:")
    if name == key.value:
        hint = f"write {shown(f'tag:{name}')}"
    elif not name.isascii():
        hint = "ASCII only: other letters can look the same and be different"
    else:
        hint = "write tag: and a letter, then a-z, 0-9 and -"
    return fault(
        "tag-name", key, f"{shown(key.value)} cannot be a tag: after tag: it starts with a letter a-z", hint
    )
