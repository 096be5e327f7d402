"""A policy's text, read: from HuJSON to a document with every name in it resolved, or a fault with its place; pure.

    text ──hujson──► tree ──groups, hosts, tagOwners, ipsets, postures──► names ──acls, grants, ssh, …──► Document

Rule 1: what is defined is read before what uses it, wherever it stands in the text. The first fault in this order is told.
Rule 2: every fault has a stable kind; those of the recorded vectors are named as their classes.
Rule 3: what we take and do not act on is said in `Document.warnings`; what would open or close something if it were not acted
        on is refused.
Rule 4: `tests` and `sshTests` go into the document as they are written, but for SSH destinations that can never be any.
"""

from collections.abc import Collection
from typing import Final

from engine.policy.document import Document, Kind, NodeAttribute, Selector
from engine.policy.text.fields import fault, fields_of, flag_of, is_null, keys, members_of, text_of
from engine.policy.text.hujson import Node, Text, parse, shown
from engine.policy.text.ipsets import read_ipsets
from engine.policy.text.names import read_groups, read_hosts, read_tag_owners
from engine.policy.text.nodes import read_approvers, read_node_attributes
from engine.policy.text.postures import postures_of, read_postures
from engine.policy.text.rules import read_acls, read_grants
from engine.policy.text.selectors import Scope
from engine.policy.text.ssh import check_ssh_tests, read_ssh, read_tests

_SECTIONS: Final = keys(
    "groups",
    "hosts",
    "tagOwners",
    "acls",
    "grants",
    "ssh",
    "nodeAttrs",
    "autoApprovers",
    "tests",
    "sshTests",
    "ipsets",
    "postures",
    "defaultSrcPosture",
    "randomizeClientPort",
    "disableIPv4",
    "OneCGNATRoute",
    "derpMap",
)
_CGNAT_ROUTES: Final = ("", "mac-always", "mac-never")


def read(text: str, *, domains: Collection[str] = ()) -> Document:
    """Return what a policy's text says. `domains` are the tailnet's own: only they may stand in `user:*@domain`.

    Raises:
        PolicyFault: the text is refused; its kinds are told by the readers of the sections, and by `hujson.parse`.
    """
    fields = fields_of(parse(text), "a policy", _SECTIONS)
    scope = Scope(domains)
    read_groups(scope, fields.get("groups"))
    read_hosts(scope, fields.get("hosts"))
    owners = read_tag_owners(scope, fields.get("tagOwners"))
    read_ipsets(scope, fields.get("ipsets"))
    postures = read_postures(scope, fields.get("postures"))
    default_postures = postures_of(scope, fields.get("defaultSrcPosture"), "defaultSrcPosture")
    acls, grants = read_acls(scope, fields.get("acls")), read_grants(scope, fields.get("grants"))
    ssh = read_ssh(scope, fields.get("ssh"))
    attributes = read_node_attributes(scope, fields.get("nodeAttrs"))
    routes, exits = read_approvers(scope, fields.get("autoApprovers"))
    check_ssh_tests(scope, fields.get("sshTests"))
    attributes += _without_ipv4(fields.get("disableIPv4"))
    _warn_ignored(scope, fields.get("OneCGNATRoute"), fields.get("derpMap"))
    return Document(
        groups=scope.groups,
        tag_owners=owners,
        hosts=scope.hosts,
        acls=acls,
        grants=grants,
        ssh=ssh,
        node_attributes=attributes,
        route_approvers=routes,
        exit_approvers=exits,
        postures=postures,
        default_postures=default_postures,
        tests=read_tests(fields.get("tests"), "tests"),
        ssh_tests=read_tests(fields.get("sshTests"), "sshTests"),
        randomize_client_port=flag_of(fields.get("randomizeClientPort"), "randomizeClientPort"),
        warnings=tuple(scope.warnings),
    )


def _without_ipv4(node: Node | None) -> tuple[NodeAttribute, ...]:
    """Return `disableIPv4: true` as what it is short for: the attribute `disable-ipv4` on all devices."""
    if node is None or not flag_of(node, "disableIPv4"):
        return ()
    return (NodeAttribute(targets=(Selector(kind=Kind.ANY),), names=("disable-ipv4",), line=node.line),)


def _warn_ignored(scope: Scope, route: Node | None, relays: Node | None) -> None:
    if route is not None and not is_null(route):
        _check_cgnat_route(text_of(route, "OneCGNATRoute"))
        scope.warn(route, "OneCGNATRoute has no effect here: clients choose it for themselves")
    if relays is not None and not is_null(relays):
        members_of(relays, "derpMap")
        scope.warn(relays, "derpMap has no effect here: relays are part of the server's settings")


def _check_cgnat_route(text: Text) -> None:
    if text.value not in _CGNAT_ROUTES:
        hint = "write mac-always or mac-never, or leave it out"
        raise fault("bad-value", text, f"{shown(text.value)} is no value of OneCGNATRoute", hint)
