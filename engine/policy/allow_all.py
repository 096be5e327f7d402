"""The policy of a tailnet that has none: everybody sees everybody and may send to every port."""

from collections.abc import Mapping
from typing import Final

from engine.policy.policy import Identity, Relations, Rule, Standing

EVERYBODY: Final = "all"
"""The one set: every class is in it."""
_STANDING: Final = Standing(sees=(EVERYBODY,), rules=(Rule(sources=(EVERYBODY,)),))


class AllowAll:
    """One set and one standing that all classes share; it takes the same path as any other policy (docs/adr/0003)."""

    def relate(self, identities: Mapping[str, Identity]) -> Relations:
        """See `Policy.relate`; the cost is that of sorting the classes once."""
        everybody = tuple(sorted(identities))
        return Relations(
            sets={EVERYBODY: everybody} if everybody else {},
            standings=dict.fromkeys(everybody, _STANDING),
        )
