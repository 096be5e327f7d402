"""What is found about a node and a peer: one finding for each fact, with its verdict, the records that made it so, and the fix; pure.

Rule 1: `blocks`: it does not work as it is; `warn`: a part does not, or will not; `note`: good to know, and no fault, also
        what nobody but the client knows; `ok`: it is as it must be.
Rule 2: a finding's code is for programs and never changes; its text names the values.
Rule 3: the fix is a command line as a person would type it; what must be filled in is in capital letters. Without a fix
        there is nothing to do here.
"""

from typing import Final, Literal

import msgspec

from engine.domain.values import Position

Verdict = Literal["blocks", "warn", "note", "ok"]
SEVERITY: Final[dict[Verdict, int]] = {"blocks": 0, "warn": 1, "note": 2, "ok": 3}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact."""

    code: str
    verdict: Verdict
    text: str
    fix: str = ""
    made: tuple[Position, ...] = ()
    """Where in the log it was made so."""
    rule: str = ""
    """The policy's rule that it is about, by its place: `acls[0]`."""
    line: int = 0
    """The rule's line in the policy's text, from 1."""
    node: int = 0
    """Whom it is about, 0: nobody in particular."""
    peer: int = 0


def severity(finding: Finding) -> tuple[int, int, int, str]:
    """Return by what findings are sorted: the worst first, then by peer, by node and by code."""
    return SEVERITY[finding.verdict], finding.peer, finding.node, finding.code


def extra_config(peer: str, fields: str) -> str:
    """Return the command line that replaces fields of a peer's extra config; `fields` is a JSON object."""
    return f"netmap wg update {peer} --extra-config '{fields}'"


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a node sees a peer or not, and whether it can use it."""

    is_seen: bool
    findings: tuple[Finding, ...]

    @property
    def is_usable(self) -> bool:
        """Whether nothing that is known here keeps the node from using it."""
        return self.is_seen and all(finding.verdict != "blocks" for finding in self.findings)
