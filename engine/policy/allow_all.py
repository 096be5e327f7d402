"""The policy of a tailnet that has none: everybody sees everybody and may send to every port."""

from collections.abc import Mapping

from engine.policy.policy import Identity, Rule, Standing


class AllowAll:
    """One standing that all classes share; it takes the same path as any other policy (docs/adr/0003)."""

    def relate(self, identities: Mapping[str, Identity]) -> Mapping[str, Standing]:
        """See `Policy.relate`; the cost is that of sorting the classes once."""
        everybody = tuple(sorted(identities))
        standing = Standing(sees=everybody, rules=(Rule(sources=everybody),))
        return dict.fromkeys(everybody, standing)
