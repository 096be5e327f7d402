"""The entries of `acls` and `grants`; pure.

Rule 1: an acl's destination is cut at its last colon: what follows are its ports. So `autogroup:self` has the port `self`.
Rule 2: `users` and `ports` of old acls stand for `src` and `dst`.
Rule 3: only what stands for users reaches `autogroup:self`, and in acls everybody does (policy-semantics §3.4).
Rule 4: a rule without `src` or `dst` is read with a warning: it does nothing.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from engine.policy.document import Acl, Grant, Kind, Ports, Selector
from engine.policy.text.fields import (
    MAX_SELECTORS,
    fault,
    fields_of,
    is_null,
    items_of,
    keys,
    members_of,
    text_of,
    texts_of,
    wrong_type,
)
from engine.policy.text.hujson import Array, Node, Text, raw, shown
from engine.policy.text.ports import MAX_PORTS, are_useless, ports_of, protocol_of, traffic_of
from engine.policy.text.postures import postures_of
from engine.policy.text.selectors import (
    PEOPLE,
    Scope,
    misplaced,
    selectors_in,
    selectors_of,
    tag,
    too_many_selectors,
)

_ACL: Final = keys("action", "src", "dst", "proto", "srcPosture", users="src", ports="dst")
_GRANT: Final = keys("src", "dst", "ip", "app", "via", "srcPosture")
_CAPABILITY: Final = re.compile(r"(?P<domain>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)/[^\s:]\S*")
_OWN_DOMAIN: Final = "tailscale.com"
_OWN: Final = frozenset(
    f"{_OWN_DOMAIN}/cap/{name}"
    for name in ("drive", "relay", "webui", "kubernetes", "tsidp", "secrets", "golink")
)
"""What a grant may give in that domain; the rest is for the service itself to give."""
_MAX_VIA: Final = 100
_ALL_IPV4: Final = "0.0.0.0/0"
_ALL_IPV6: Final = "::/0"


def read_acls(scope: Scope, node: Node | None) -> tuple[Acl, ...] | None:
    """Return the acls, None if the text has none.

    Raises:
        PolicyFault: `acl-action`, `bad-port`, `bad-protocol`, `self-in-src`, `self-dst-needs-user-src`,
            `danger-all-in-dst`, `misplaced-selector`, and those of selectors and of fields.
    """
    return None if node is None else tuple(_acl(scope, item) for item in _section(node, "acls"))


def read_grants(scope: Scope, node: Node | None) -> tuple[Grant, ...] | None:
    """Return the grants, None if the text has none.

    Raises:
        PolicyFault: `grant-empty`, `cap-name-form`, `cap-name-reserved`, `app-to-internet`, `via-not-tag`,
            `default-route-dst`, and all that acls raise but `acl-action`.
    """
    return None if node is None else tuple(_grant(scope, item) for item in _section(node, "grants"))


def sources_of(scope: Scope, texts: tuple[Text, ...]) -> tuple[Selector, ...]:
    """Return the sources of a rule.

    Raises:
        PolicyFault: `self-in-src`, `misplaced-selector`, `too-many`, and those of selectors.
    """
    return selectors_of(scope, texts, _check_source)


def check_destination(selector: Selector, text: Text) -> None:
    """Refuse what can be no destination.

    Raises:
        PolicyFault: `danger-all-in-dst`.
    """
    if selector.kind is Kind.DANGER_ALL:
        message = "autogroup:danger-all cannot be a destination: no device has all addresses of the world"
        raise fault(
            "danger-all-in-dst", text, message, 'write "*" for all devices, autogroup:internet for the rest'
        )


def check_self(sources: tuple[Selector, ...], place: Text, *, is_acl: bool) -> None:
    """Refuse `autogroup:self` if one of the sources is not of users.

    Raises:
        PolicyFault: `self-dst-needs-user-src`.
    """
    for source in sources:
        if source.kind not in PEOPLE and not (is_acl and source.kind is Kind.ANY):
            name = source.value or source.kind.value
            message = f"autogroup:self is each user's own devices: the source {shown(name)} is no user"
            hint = "write users, groups or autogroup:member as sources, in a rule of its own"
            raise fault("self-dst-needs-user-src", place, message, hint)


def _section(node: Node, name: str) -> tuple[Node, ...]:
    if is_null(node):
        raise wrong_type(node, name, "a list; [] allows nothing, leaving it out says nothing")
    return items_of(node, name)


def _check_source(selector: Selector, text: Text) -> None:
    if selector.kind is Kind.SELF:
        hint = "write autogroup:member as the source and autogroup:self as the destination"
        raise fault("self-in-src", text, "autogroup:self cannot be a source", hint)
    if selector.kind is Kind.INTERNET:
        raise misplaced(text, "a source", "autogroup:danger-all is everything that can send")


def _acl(scope: Scope, node: Node) -> Acl:
    fields = fields_of(node, "an acl", _ACL)
    _check_action(fields.get("action"), node)
    _warn_absent(scope, fields, node, "an acl")
    sources = sources_of(scope, texts_of(fields.get("src"), "src"))
    destinations = _acl_destinations(scope, fields.get("dst"), sources)
    protocol = _protocol(fields.get("proto"))
    for _, ports in destinations:
        _warn_useless(scope, protocol, ports, node)
    return Acl(
        sources=sources,
        destinations=destinations,
        protocol=protocol,
        postures=postures_of(scope, fields.get("srcPosture"), "srcPosture"),
        line=node.line,
    )


def _acl_destinations(
    scope: Scope, node: Node | None, sources: tuple[Selector, ...]
) -> tuple[tuple[Selector, Ports], ...]:
    destinations: list[tuple[Selector, Ports]] = []
    for text in texts_of(node, "dst"):
        found = _acl_destination(scope, text)
        if any(selector.kind is Kind.SELF for selector, _ in found):
            check_self(sources, text, is_acl=True)
        destinations.extend(found)
        scope.count(1, text)
        if len(destinations) > MAX_SELECTORS:
            raise too_many_selectors(text)
    return tuple(destinations)


def _protocol(node: Node | None) -> int | None:
    if node is None or is_null(node):
        return None
    text = text_of(node, "proto")
    return protocol_of(text.value, text)


def _warn_useless(scope: Scope, protocol: int | None, ports: Ports, node: Node) -> None:
    if are_useless(protocol, ports):
        scope.warn(node, f"packets of the protocol {protocol} have no ports: write * for them")


def _check_action(node: Node | None, rule: Node) -> None:
    action = "" if node is None or is_null(node) else text_of(node, "action").value.strip()
    if action != "accept":
        hint = 'write "action": "accept"; what no rule accepts is refused anyhow'
        raise fault("acl-action", node or rule, f"action {shown(action)} is not supported", hint)


def _warn_absent(scope: Scope, fields: Mapping[str, Node], node: Node, name: str) -> None:
    for key in ("src", "dst"):
        if is_null(fields.get(key)):
            scope.warn(node, f"{name} without {key} does nothing")


def _acl_destination(scope: Scope, text: Text) -> tuple[tuple[Selector, Ports], ...]:
    name, colon, ports = text.value.strip().rpartition(":")
    if not colon:
        hint = f"write {shown(f'{text.value.strip()}:*')} for all ports"
        raise fault("bad-port", text, f"the destination {shown(text.value)} has no port", hint)
    found = ports_of(ports, text)
    name = name.strip()
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") and ":" in name else name
    selectors = selectors_in(scope, bare, text)
    for selector in selectors:
        check_destination(selector, text)
    return tuple((selector, found) for selector in selectors)


def _grant(scope: Scope, node: Node) -> Grant:
    fields = fields_of(node, "a grant", _GRANT)
    items = texts_of(fields.get("ip"), "ip", MAX_PORTS)
    app = _app(fields.get("app"))
    if not items and not app:
        hint = 'add "ip": ["*"] for traffic, or "app" with a capability'
        raise fault("grant-empty", node, "a grant needs ip or app: both are empty", hint)
    _warn_absent(scope, fields, node, "a grant")
    sources = sources_of(scope, texts_of(fields.get("src"), "src"))

    def check(selector: Selector, text: Text) -> None:
        check_destination(selector, text)
        _check_grant_destination(selector, text, has_app=bool(app))
        if selector.kind is Kind.SELF:
            check_self(sources, text, is_acl=False)

    traffic = traffic_of(items)
    for part in traffic:
        _warn_useless(scope, part.protocol, part.ports, node)
    return Grant(
        sources=sources,
        destinations=selectors_of(scope, texts_of(fields.get("dst"), "dst"), check),
        traffic=traffic,
        app=app,
        via=tuple(_via(scope, text) for text in texts_of(fields.get("via"), "via", _MAX_VIA)),
        postures=postures_of(scope, fields.get("srcPosture"), "srcPosture"),
        line=node.line,
    )


def _check_grant_destination(selector: Selector, text: Text, *, has_app: bool) -> None:
    if selector.value in (_ALL_IPV4, _ALL_IPV6):
        message = f"{shown(text.value)} cannot be a grant's destination"
        hint = 'write "*" for all devices, autogroup:internet for what lies behind exit nodes'
        raise fault("default-route-dst", text, message, hint)
    if has_app and selector.kind is Kind.INTERNET:
        message = "app capabilities cannot be granted on autogroup:internet: nobody there could ask for them"
        raise fault("app-to-internet", text, message, "put the app into a grant of its own, on devices")


def _via(scope: Scope, text: Text) -> str:
    name = text.value.strip()
    if not name.startswith("tag:"):
        message = f"via names routers by their tags: {shown(text.value)} is no tag"
        raise fault("via-not-tag", text, message, "give the routers a tag and write it here")
    return tag(scope, name, text).value


def _app(node: Node | None) -> dict[str, msgspec.Raw]:
    found: dict[str, msgspec.Raw] = {}
    for key, value in members_of(node, "app"):
        _check_capability(key)
        if not isinstance(value, Array) and not is_null(value):
            raise wrong_type(value, f"the value of {shown(key.value)}", "a list")
        found[key.value] = raw(value)
    return found


def _check_capability(key: Text) -> None:
    found = _CAPABILITY.fullmatch(key.value)
    if found is None or "://" in key.value:
        message = f"{shown(key.value)} cannot be the name of a capability"
        raise fault(
            "cap-name-form",
            key,
            message,
            "write {domain}/{path}, as in example.com/cap/admin, without https://",
        )
    if found["domain"].lower() == _OWN_DOMAIN and key.value not in _OWN:
        message = f"{shown(key.value)} cannot be granted: names in {_OWN_DOMAIN} are not yours to give"
        raise fault(
            "cap-name-reserved",
            key,
            message,
            f"take a domain of your own, or one of {', '.join(sorted(_OWN))}",
        )
