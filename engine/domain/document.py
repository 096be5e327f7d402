"""The policy in force, as it was understood.

Rule 1: the same text under the same domains is read once.
Rule 2: without a policy everybody may reach everybody, and it names no tag and no approver (`EMPTY`).
Rule 3: a policy that was set and cannot be read any more (by a later compiler) permits nothing, and names nothing.
"""

from functools import lru_cache
from typing import Final

from engine.domain.aggregates import Node
from engine.domain.state import Tailnet
from engine.domain.whom import device_of, domains_of, person_of
from engine.policy.compiled import Policy
from engine.policy.document import EMPTY, Document
from engine.policy.faults import PolicyFault
from engine.policy.policy import Standing
from engine.policy.text.reading import read

_REMEMBERED: Final = 8
"""Texts that are kept as understood: the present policy, the one before it, and what is being tried."""
_SHUT: Final = Document(acls=())


def document_of(tailnet: Tailnet) -> Document:
    """Return what the policy in force says."""
    return _document(tailnet.policy.text if tailnet.policy else "", domains_of(tailnet))


def _document(text: str, domains: tuple[str, ...]) -> Document:
    if not text:
        return EMPTY
    try:
        return understood(text, domains)
    except PolicyFault:
        return _SHUT


def standing_of(tailnet: Tailnet, node: Node) -> Standing:
    """Return what the policy in force says of a node."""
    user = tailnet.users.get(node.user)
    policy = _compiled(tailnet.policy.text if tailnet.policy else "", domains_of(tailnet))
    return policy.stand(policy.identify(device_of(tailnet, node), None if user is None else person_of(user)))


@lru_cache(maxsize=1)
def _compiled(text: str, domains: tuple[str, ...]) -> Policy:
    return Policy(_document(text, domains))


@lru_cache(maxsize=_REMEMBERED)
def understood(text: str, domains: tuple[str, ...]) -> Document:
    """Return what a text says in a tailnet of these e-mail domains.

    Raises:
        PolicyFault: it is not a policy.
    """
    return read(text, domains=domains)
