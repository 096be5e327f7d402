"""Decisions about the policy itself.

Rule 1: a text that is no policy is refused, with the place of its first fault; one whose own tests fail is refused
        unless it is forced.
Rule 2: what the new policy approves of the routes that nodes offer is approved in the same decision; an approval is
        only ever added.
Rule 3: whoever names the policy that they began from (`expected`) changes no other (as an ETag does).
Rule 4: the tailnet remembers its last policies (`KEPT_POLICIES`); going back is setting the text again, with all checks.
Rule 5: an empty text is no policy, and is never refused.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from engine.domain.commands import RevertPolicy, SetPolicy
from engine.domain.decision import Decision
from engine.domain.document import understood
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import Event, PolicySet
from engine.domain.routes import approval_events
from engine.domain.state import Tailnet
from engine.domain.whom import devices_of, domains_of, people_of
from engine.policy.checks.failures import Failed, failures
from engine.policy.document import EMPTY, Document
from engine.policy.faults import PolicyFault

COMPILER: Final = 1
_FIELD: Final = "text"
_SHORTEST: Final = 8
"""Digits of a digest that name a policy."""
_MAX_FAILED: Final = 10
_MAX_SHOWN: Final = 5


def set_policy(tailnet: Tailnet, command: SetPolicy) -> Decision:
    """Decide on the policy; `result` has its digest and how many rules it has.

    Raises:
        Invalid: `policy.<kind of fault>`, `policy.test-failed`.
        Conflict: `policy.changed`.
    """
    held = "" if tailnet.policy is None else tailnet.policy.digest
    if command.expected is not None and command.expected != held:
        raise Conflict(
            "policy.changed",
            f"the policy is {_named(held)}, and not {_named(command.expected[:64])}, which this text was made from",
            field="expected",
            hint="netmap policy get shows it",
        )
    return _decide(tailnet, command.text, is_forced=command.force)


def revert_policy(tailnet: Tailnet, command: RevertPolicy) -> Decision:
    """Decide to set a former policy again; it is checked as any other text.

    Raises:
        NotFound: `policy.not_found`.
        Invalid: `policy.digest`, and as `set_policy`.
    """
    wanted = command.digest.lower()
    found = [digest for digest in tailnet.policies if digest.startswith(wanted)]
    if len(wanted) < _SHORTEST or len(found) > 1:
        raise Invalid(
            "policy.digest",
            f"a policy is named by the first {_SHORTEST} digits of its digest, or by more where two begin alike",
            field="digest",
        )
    if not found:
        raise NotFound(
            "policy.not_found",
            f"no policy with the digest {wanted[:64]!r} is remembered",
            field="digest",
            hint="netmap policy get --at TIME | netmap policy set -",
        )
    return _decide(tailnet, tailnet.policies[found[0]], is_forced=False)


def _decide(tailnet: Tailnet, text: str, *, is_forced: bool) -> Decision:
    document, warnings = _checked(tailnet, text, is_forced=is_forced) if text else (EMPTY, [])
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    events: list[Event] = []
    if text != ("" if tailnet.policy is None else tailnet.policy.text):
        events.append(PolicySet(text=text, digest=digest, compiler=COMPILER))
        for node in tailnet.nodes.values():
            events += approval_events(tailnet, document, node, node.advertised) if node.advertised else ()
    rules = sum(map(len, (document.acls or (), document.grants or (), document.ssh)))
    return Decision(
        events=tuple(events),
        result={"digest": digest if text else "", "rules": rules, "approvals": max(0, len(events) - 1)},
        warnings=(
            *(f"policy.warning: {text}" for text in document.warnings),
            *warnings,
            *(_orphans(tailnet, document) if text else ()),
        ),
    )


def _checked(tailnet: Tailnet, text: str, *, is_forced: bool) -> tuple[Document, list[str]]:
    try:
        document = understood(text, domains_of(tailnet))
    except PolicyFault as fault:
        place = f"line {fault.line}, column {fault.column}: " if fault.line else ""
        raise Invalid(f"policy.{fault.kind}", place + fault.message, field=_FIELD, hint=fault.hint) from None
    if not document.tests and not document.ssh_tests:
        return document, []
    failed = failures(document, people_of(tailnet), devices_of(tailnet))
    if failed and not is_forced:
        raise Invalid("policy.test-failed", _told(failed), field=_FIELD, hint="--force sets it all the same")
    return document, [f"policy.test-failed: {_told(failed)}"] if failed else []


def _told(failed: tuple[Failed, ...]) -> str:
    rows = [f"line {row.line}: {row.text}" for row in failed[:_MAX_FAILED]]
    if len(failed) > _MAX_FAILED:
        rows.append(f"and {len(failed) - _MAX_FAILED} more")
    return f"{len(failed)} of the policy's tests fail: " + "; ".join(rows)


def _orphans(tailnet: Tailnet, document: Document) -> Iterable[str]:
    """Yield a warning of nodes with tags that the policy does not define."""
    if not document.tag_owners:
        return
    found = sorted(
        {tag for node in tailnet.nodes.values() for tag in node.tags if tag not in document.tag_owners}
    )
    if found:
        more = f" and {len(found) - _MAX_SHOWN} more" if len(found) > _MAX_SHOWN else ""
        yield f"policy.undefined-tags: nodes have {', '.join(found[:_MAX_SHOWN])}{more}, which it does not define"


def _named(digest: str) -> str:
    return digest or "none"
