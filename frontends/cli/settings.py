"""`netmap settings`: what holds for the whole tailnet."""

import click

from frontends.cli import output
from frontends.cli.groups import Nouns
from frontends.cli.operator import Operator, changing, reading
from frontends.cli.options import AT, Moment
from frontends.cli.text import listed, pick

settings = Nouns(help="Settings: what holds for the whole tailnet.", aliases={"show": "get"})


@settings.command("get")
@AT
@reading
def get(operator: Operator, at: Moment) -> None:
    """Show the settings."""
    reply = operator.ask("settings", "get", at=at)
    found = pick(reply, "settings", default=reply)
    if operator.form != "table":
        output.emit(operator.form, found)
        return
    derp_map = pick(found, "derpMap", default={})
    regions = derp_map.get("Regions", {}) if isinstance(derp_map, dict) else {}
    relays = [
        f"{number} {region.get('RegionCode', '')}".strip() for number, region in regions.items() if region
    ]
    output.emit_facts({**found, "derpMap": relays, "position": reply.get("position")})


@settings.command("set-domain")
@click.argument("domain")
@changing
def set_domain(operator: Operator, domain: str) -> None:
    """Set the domain under which MagicDNS names live."""
    from engine.domain.commands import SetBaseDomain

    operator.done(operator.send(SetBaseDomain(domain=domain)), {"domain": domain})


@settings.command("set-domains")
@click.argument("domains", nargs=-1)
@changing
def set_domains(operator: Operator, domains: tuple[str, ...]) -> None:
    """Set the e-mail domains that belong to the tailnet; none: those of its users' addresses."""
    from engine.domain.commands import SetDomains

    operator.done(operator.send(SetDomains(domains=listed(domains))), {})


@settings.command("set-auto-updates")
@click.argument("state", type=click.Choice(["on", "off"]))
@changing
def set_auto_updates(operator: Operator, state: str) -> None:
    """Let clients update themselves, or not, where their person has not said otherwise."""
    from engine.domain.commands import SetAutoUpdates

    operator.done(operator.send(SetAutoUpdates(on=state == "on")), {})


@settings.command("set-wg-mode")
@click.argument("mode", metavar="bypass|enforce")
@changing
def set_wg_mode(operator: Operator, mode: str) -> None:
    """Set whether the policy rules over WireGuard-only peers too, or a connection is enough."""
    from engine.domain.commands import SetWireGuardMode

    operator.done(operator.send(SetWireGuardMode(mode=mode)), {})


@settings.command("set-wg-dns")
@click.argument("mode", metavar="demote|keep")
@changing
def set_wg_dns(operator: Operator, mode: str) -> None:
    """Set whether the tailnet's resolvers give way to those of a WireGuard-only exit where a node has one."""
    from engine.domain.commands import SetWireGuardDns

    operator.done(operator.send(SetWireGuardDns(mode=mode)), {})


@settings.command("set-pools")
@click.option("--nodes-v4", required=True, metavar="PREFIX")
@click.option("--nodes-v6", required=True, metavar="PREFIX")
@click.option("--peers-v4", required=True, metavar="PREFIX")
@click.option("--peers-v6", required=True, metavar="PREFIX")
@changing
def set_pools(operator: Operator, nodes_v4: str, nodes_v6: str, peers_v4: str, peers_v6: str) -> None:
    """Set where addresses of nodes and of WireGuard-only peers come from."""
    from engine.domain.commands import SetPools

    pools = {"nodes_v4": nodes_v4, "nodes_v6": nodes_v6, "peers_v4": peers_v4, "peers_v6": peers_v6}
    operator.done(operator.send(SetPools(**pools)), {})
