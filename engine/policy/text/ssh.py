"""The entries of `ssh`, and what of `sshTests` can be refused by reading; pure.

Rule 1: users are literal names, but for `autogroup:nonroot` and `localpart:*@domain`, whose domain must be the tailnet's.
Rule 2: `checkPeriod` is a duration as Go writes it, from 0s to 168h, or `always`. 0s is always, too.
Rule 3: whether an entry of `sshTests` is well made is for the check of tests to say; only destinations that can never be any
        are refused here (policy-semantics §3.14).
"""

import re
from decimal import Decimal
from typing import Final

from engine.policy.document import Check, Kind, Selector, SshRule
from engine.policy.faults import PolicyFault
from engine.policy.text.addresses import span_in
from engine.policy.text.fields import (
    MAX_SELECTORS,
    fault,
    fields_of,
    is_null,
    items_of,
    keys,
    suggestion,
    text_of,
    texts_of,
    wrong_type,
)
from engine.policy.text.hujson import Array, Node, Object, Text, plain, shown
from engine.policy.text.postures import postures_of
from engine.policy.text.rules import check_self, sources_of
from engine.policy.text.selectors import Scope, checked_domain, misplaced, selectors_of

MAX_CHECK_SECONDS: Final = 168 * 3600
_RULE: Final = keys(
    "action", "src", "dst", "users", "checkPeriod", "acceptEnv", "srcPosture", "recorder", "enforceRecorder"
)
_LOCALPART: Final = "localpart:*@"
_DESTINATIONS: Final = frozenset(
    {Kind.USER, Kind.DOMAIN, Kind.GROUP, Kind.TAG, Kind.MEMBER, Kind.TAGGED, Kind.SELF, Kind.ROLE}
)
_PART: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "μs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}


def read_ssh(scope: Scope, node: Node | None) -> tuple[SshRule, ...]:
    """Return the SSH rules.

    Raises:
        PolicyFault: `ssh-action-missing`, `ssh-action-invalid`, `ssh-users-missing`, `ssh-user-invalid`,
            `ssh-check-period`, `ssh-accept-env-empty`, `ssh-dst-host-alias`, `self-dst-needs-user-src`, `unsupported`,
            and those of selectors and of fields.
    """
    return tuple(_rule(scope, item) for item in items_of(node, "ssh"))


def read_tests(node: Node | None, name: str) -> tuple[Check, ...]:
    """Return the entries of `tests` or `sshTests` as they are written.

    Raises:
        PolicyFault: `wrong-type`, `too-many`.
    """
    found: list[Check] = []
    for item in items_of(node, name):
        entry = plain(item)
        if not isinstance(entry, dict):
            raise wrong_type(item, f"an entry of {name}", "an object")
        found.append(Check(entry=entry, line=item.line))
    return tuple(found)


def check_ssh_tests(scope: Scope, node: Node | None) -> None:
    """Refuse destinations of SSH tests that can be none.

    Raises:
        PolicyFault: `sshtest-dst-element`, `sshtest-dst-tag`.
    """
    for item in items_of(node, "sshTests"):
        members = item.members if isinstance(item, Object) else ()
        for key, value in members:
            if key.value.lower() == "dst" and isinstance(value, Array):
                for text in value.items:
                    _check_test_destination(scope, text)


def _check_test_destination(scope: Scope, node: Node) -> None:
    if not isinstance(node, Text):
        return
    name = node.value.strip()
    if name == "autogroup:internet" or ("/" in name and span_in(name) is not None):
        message = f"{shown(name)} cannot be the destination of an SSH test: no session ends there"
        raise fault("sshtest-dst-element", node, message, "name a tag, a user, a host or one address")
    if name.startswith("tag:") and name not in scope.tags:
        hint = suggestion(name, scope.tags) or "define it in tagOwners; no port can stand here"
        raise fault("sshtest-dst-tag", node, f"tag not found: {shown(name)}", hint)


def _rule(scope: Scope, node: Node) -> SshRule:
    fields = fields_of(node, "an ssh rule", _RULE)
    for key in ("recorder", "enforceRecorder"):
        if key in fields and plain(fields[key]):
            raise fault("unsupported", fields[key], f"{key}: sessions are not recorded here", f"remove {key}")
    is_check = _is_check(fields.get("action"), node)
    sources = sources_of(scope, texts_of(fields.get("src"), "src"))

    def check(selector: Selector, text: Text) -> None:
        _check_destination(scope, selector, text)
        if selector.kind is Kind.SELF:
            check_self(sources, text, is_acl=False)

    period = fields.get("checkPeriod")
    if period is not None and not is_null(period) and not is_check:
        scope.warn(period, "checkPeriod has no meaning without the action check")
    return SshRule(
        is_check=is_check,
        sources=sources,
        destinations=selectors_of(scope, texts_of(fields.get("dst"), "dst"), check),
        users=_users(scope, fields.get("users"), node),
        accept_env=_accept_env(fields.get("acceptEnv")),
        check_seconds=None if period is None or is_null(period) else _seconds(text_of(period, "checkPeriod")),
        postures=postures_of(scope, fields.get("srcPosture"), "srcPosture"),
        line=node.line,
    )


def _is_check(node: Node | None, rule: Node) -> bool:
    action = "" if node is None or is_null(node) else text_of(node, "action").value.strip()
    if not action:
        hint = 'write "action": "accept", or "check" to ask for a log-in now and then'
        raise fault("ssh-action-missing", node or rule, "an ssh rule needs an action", hint)
    if action not in ("accept", "check"):
        hint = suggestion(action.lower(), ("accept", "check")) or 'write "accept" or "check"'
        raise fault("ssh-action-invalid", node or rule, f"{shown(action)} is no action of an ssh rule", hint)
    return action == "check"


def _check_destination(scope: Scope, selector: Selector, text: Text) -> None:
    if text.value.strip().removeprefix("host:") in scope.hosts:
        message = f"the host {shown(text.value)} cannot be the destination of an ssh rule"
        raise fault("ssh-dst-host-alias", text, message, "give the device a tag and write that")
    if selector.kind not in _DESTINATIONS:
        raise misplaced(text, "the destination of an ssh rule", "write tags, users or autogroup:self")


def _users(scope: Scope, node: Node | None, rule: Node) -> tuple[str, ...]:
    texts = texts_of(node, "users")
    if not texts:
        hint = 'write "users": ["autogroup:nonroot"], or names of accounts'
        raise fault("ssh-users-missing", node or rule, "an ssh rule needs users", hint)
    for text in texts:
        name = text.value.strip()
        if name in ("", "*"):
            hint = "write autogroup:nonroot for every account but root, and root besides if you mean it"
            raise fault("ssh-user-invalid", text, f"{shown(text.value)} is no account", hint)
        if name.startswith(_LOCALPART):
            checked_domain(scope, name.removeprefix(_LOCALPART), text)
    return tuple(text.value.strip() for text in texts)


def _accept_env(node: Node | None) -> tuple[str, ...] | None:
    if node is None or is_null(node):
        return None
    texts = texts_of(node, "acceptEnv", MAX_SELECTORS)
    for text in texts:
        if not text.value.strip():
            hint = "write names, with * and ? for parts of them: LC_*"
            raise fault("ssh-accept-env-empty", text, "acceptEnv has an empty name", hint)
    return tuple(text.value for text in texts)


def _seconds(text: Text) -> int:
    """Return a duration in whole seconds."""
    written = text.value.strip()
    if written == "always":
        return 0
    rest = written.removeprefix("+")
    seconds, at = Decimal(0), 0
    while found := _PART.match(rest, at):
        seconds += Decimal(found.group(1)) * _UNITS[found.group(2)]
        at = found.end()
        if seconds > MAX_CHECK_SECONDS:
            raise _bad_period(text, "is above the most, 168h")
    if rest != "0" and (not rest or at != len(rest)):
        raise _bad_period(text, "is no duration")
    return int(seconds)


def _bad_period(text: Text, why: str) -> PolicyFault:
    hint = "write 30m, 12h, 1h30m (168h at most) or always"
    return fault("ssh-check-period", text, f"checkPeriod {shown(text.value)} {why}", hint)
