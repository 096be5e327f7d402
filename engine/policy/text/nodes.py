"""What a policy gives to devices: `nodeAttrs`, and whose routes are approved without asking; pure.

Rule 1: names of attributes are not checked: clients know more of them than we do (policy-semantics §3.10).
Rule 2: `ipPool` is checked and has no effect: addresses are handed out from the tailnet's own pools.
"""

from typing import Final

import msgspec

from engine.policy.document import Kind, NodeAttribute, RouteApprover, Selector
from engine.policy.ranges import overlap, span_of
from engine.policy.text.addresses import prefix_text, span_in
from engine.policy.text.fields import (
    fault,
    fields_of,
    is_null,
    items_of,
    keys,
    members_of,
    texts_of,
)
from engine.policy.text.hujson import Node, Text, raw, shown
from engine.policy.text.names import OWNERS
from engine.policy.text.selectors import Scope, is_there, misplaced, person_in, range_in, selectors_of

_ATTRIBUTE: Final = keys("target", "attr", "app", "ipPool")
_APPROVERS: Final = keys("routes", "exitNode", "services")
_RESERVED: Final = ("100.100.0.0/24", "100.100.100.0/24", "100.115.92.0/23")
"""Ranges that devices keep for themselves: resolver, and those of ChromeOS."""
_MAX_NAMES: Final = 1_000

Approvers = tuple[tuple[RouteApprover, ...], tuple[Selector, ...]]


def read_node_attributes(scope: Scope, node: Node | None) -> tuple[NodeAttribute, ...]:
    """Return the attributes of devices.

    Raises:
        PolicyFault: `internal-error` (`autogroup:self`, named after what the hosted service answers), `attr-empty`,
            `ip-pool-reserved`, `bad-address`, `misplaced-selector`, and those of selectors and of fields.
    """
    return tuple(_attribute(scope, item) for item in items_of(node, "nodeAttrs"))


def read_approvers(scope: Scope, node: Node | None) -> Approvers:
    """Return who may offer which routes, and who an exit, without being asked.

    Raises:
        PolicyFault: `bad-address`, `misplaced-selector`, and those of selectors and of fields.
    """
    if node is None or is_null(node):
        return (), ()
    fields = fields_of(node, "autoApprovers", _APPROVERS)
    if not is_null(fields.get("services")):
        members_of(fields["services"], "services")
        scope.warn(fields["services"], "autoApprovers.services has no effect: there are no services here")
    routes = tuple(
        RouteApprover(prefix=_prefix(scope, key), approvers=_approvers(scope, value, key.value))
        for key, value in members_of(fields.get("routes"), "autoApprovers.routes")
    )
    return routes, _approvers(scope, fields.get("exitNode"), "exitNode")


def _attribute(scope: Scope, node: Node) -> NodeAttribute:
    fields = fields_of(node, "an entry of nodeAttrs", _ATTRIBUTE)
    names = texts_of(fields.get("attr"), "attr", _MAX_NAMES)
    for text in names:
        if not text.value.strip():
            raise fault("attr-empty", text, "an attribute has no name", "remove it")
    _check_pool(scope, fields.get("ipPool"))
    return NodeAttribute(
        targets=selectors_of(scope, texts_of(fields.get("target"), "target"), _check_target),
        names=tuple(text.value.strip() for text in names),
        app={key.value: _app_value(value) for key, value in members_of(fields.get("app"), "app")},
        line=node.line,
    )


def _app_value(node: Node) -> msgspec.Raw:
    items_of(node, "the value of an app")
    return raw(node)


def _check_target(selector: Selector, text: Text) -> None:
    if selector.kind is Kind.SELF:
        message = "autogroup:self cannot be a target: no device is meant"
        raise fault("internal-error", text, message, "write autogroup:member for the devices of all users")
    if selector.kind in (Kind.INTERNET, Kind.DANGER_ALL):
        raise misplaced(text, "a target", 'write "*" for all devices')


def _check_pool(scope: Scope, node: Node | None) -> None:
    for text in texts_of(node, "ipPool"):
        found = span_in(text.value.strip())
        if found is None or prefix_text(found[0]) is None:
            message = f"{shown(text.value)} is no prefix: an ipPool has those only"
            raise fault("bad-address", text, message, "write 100.81.0.0/16")
        for reserved in _RESERVED:
            if overlap(found[0], span_of(reserved)):
                message = (
                    f"the ipPool {shown(text.value)} touches {reserved}, which devices keep for themselves"
                )
                raise fault("ip-pool-reserved", text, message, "choose another part of 100.64.0.0/10")
    if node is not None and not is_null(node):
        scope.warn(node, "ipPool has no effect: addresses come from the pools of the tailnet")


def _prefix(scope: Scope, key: Text) -> str:
    found = range_in(scope, key.value, key)
    prefix = None if found is None else prefix_text((found.version, found.first, found.last))
    if prefix is None:
        raise fault("bad-address", key, f"{shown(key.value)} is no route", "write a prefix: 10.0.0.0/8")
    return prefix


def _approvers(scope: Scope, node: Node | None, name: str) -> tuple[Selector, ...]:
    check = is_there(OWNERS | {Kind.TAGGED}, "an approver")
    texts = texts_of(node, f"the approvers of {name}")
    if texts:
        scope.count(len(texts), texts[0])
    return tuple(one for text in texts for one in person_in(scope, text, check))
