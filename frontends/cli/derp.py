"""`netmap derp`: the map of relays that every node gets."""

import click

from frontends.cli.groups import noun
from frontends.cli.operator import Operator, changing

derp = noun("The DERP map: which relays every node is told of.")


@derp.command("set")
@click.argument("source", metavar="FILE|URL|-")
@changing
def set_(operator: Operator, source: str) -> None:
    """Set the DERP map from JSON or YAML, in the wire's or in Headscale's spelling."""
    from engine.domain.commands import SetDerpMap
    from frontends.cli.derpmap import read

    operator.done(operator.send(SetDerpMap(derp_map=read(source))), {})
