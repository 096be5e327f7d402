"""The policy in force, as it was understood.

Rule 1: the same text under the same domains is read once.
Rule 2: without a policy everybody may reach everybody, and it names no tag and no approver (`EMPTY`).
Rule 3: a policy that was set and cannot be read any more (by a later compiler) permits nothing, and names nothing.
"""

from functools import lru_cache
from typing import Final

from engine.domain.state import Tailnet
from engine.domain.whom import domains_of
from engine.policy.document import EMPTY, Document
from engine.policy.faults import PolicyFault
from engine.policy.reading import read

_REMEMBERED: Final = 8
"""Texts that are kept as understood: the present policy, the one before it, and what is being tried."""
_SHUT: Final = Document(acls=())


def document_of(tailnet: Tailnet) -> Document:
    """Return what the policy in force says."""
    if tailnet.policy is None:
        return EMPTY
    try:
        return understood(tailnet.policy.text, domains_of(tailnet))
    except PolicyFault:
        return _SHUT


@lru_cache(maxsize=_REMEMBERED)
def understood(text: str, domains: tuple[str, ...]) -> Document:
    """Return what a text says in a tailnet of these e-mail domains.

    Raises:
        PolicyFault: it is not a policy.
    """
    return read(text, domains=domains)
