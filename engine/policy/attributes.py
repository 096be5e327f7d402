"""What a device's own client is told that it may do: node attributes, and its user's role; pure.

Rule 1: targets speak of a device by its addresses, never by its routes (policy-semantics §3.10).
Rule 2: names that the policy uses are passed on as they are, known or not.
"""

from collections import defaultdict
from typing import Final

from engine.policy.document import Document
from engine.policy.policy import Identity
from engine.policy.program import key_of

IS_ADMIN: Final = "https://tailscale.com/cap/is-admin"
IS_OWNER: Final = "https://tailscale.com/cap/is-owner"
DISABLE_IPV4: Final = "disable-ipv4"
_RANDOM_PORT: Final = "randomize-client-port"
_FUNNEL: Final = (
    "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000",
    "https://tailscale.com/cap/warn-funnel-no-https",
)
"""What the hosted service adds to `funnel` where HTTPS is off (policy-semantics §3.10)."""


class Attributes:
    """The node attributes of one document, by the keys of their targets."""

    def __init__(self, document: Document) -> None:
        self._everybody: Final = (_RANDOM_PORT,) if document.randomize_client_port else ()
        self._by_key: Final[dict[str, list[str]]] = defaultdict(list)
        for entry in document.node_attributes:
            for target in entry.targets:
                self._by_key[key_of(target)] += entry.names
        self._groups: Final[dict[str, list[str]]] = defaultdict(list)
        for group, members in document.groups.items():
            for login in members:
                self._groups[login].append(group)

    def groups_of(self, login: str) -> list[str]:
        """Return the groups that a login name is in."""
        return self._groups.get(login, [])

    def of(self, identity: Identity, near: frozenset[str]) -> tuple[str, ...]:
        """Return the capabilities of such devices beyond everybody's, sorted."""
        found = set(self._everybody)
        for key in near:
            found.update(self._by_key.get(key, ()))
        if "funnel" in found:
            found.update(_FUNNEL)
        if identity.user is None or "owner" in identity.roles:
            found.add(IS_OWNER)  # the hosted service counts a tagged device as its owner's (vectors' README)
        if "admin" in identity.roles:
            found.add(IS_ADMIN)
        return tuple(sorted(found))
