"""Declarative files against a tailnet in memory: what is there as the lists say it, plans, and plans carried out."""

from typing import Any

import msgspec

from engine.domain.state import Tailnet
from frontends.cli.declared.planning import plan
from frontends.cli.declared.present import Present, present
from frontends.cli.declared.reading import read
from frontends.cli.declared.steps import Plan
from frontends.cli.declared.wanted import wanted
from projections.inventory import lists
from tests.kit.scenario import Scene


def rows(found: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(msgspec.json.encode(row)) for row in found]


def there(tailnet: Tailnet) -> Present:
    """What the lists say of the tailnet, through JSON as over the bus."""
    return present(
        rows(lists.nodes(tailnet)),
        rows(lists.peers(tailnet)),
        rows(lists.connections(tailnet)),
        rows(lists.users(tailnet)),
    )


def planned(scene: Scene, *texts: str, prune: bool = False) -> Plan:
    files = [read(f"f{number}.yaml", text) for number, text in enumerate(texts)]
    return plan(wanted(files), there(scene.tailnet), prune=prune)


def carried_out(scene: Scene, *texts: str, prune: bool = False) -> list[str]:
    """Carry a plan out; return what was done, as `create peer oslo`."""
    found = planned(scene, *texts, prune=prune)
    for step in found.steps:
        scene.when(step.command)
    return [f"{step.what} {step.kind} {step.name}" for step in found.steps]
