"""The program `netmap`; only here is it said which noun is where."""

import os

import click

from frontends.cli.groups import Nouns

_HERE = "frontends.cli"


@click.pass_context
def _start(ctx: click.Context) -> None:
    if "NO_COLOR" in os.environ:
        ctx.color = False


main = Nouns(
    name="netmap",
    callback=_start,
    help="A control plane for Tailscale clients and WireGuard-only peers.",
    epilog="Start with `netmap serve`; it prints what to type next.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    lazy={
        "serve": f"{_HERE}.run:serve",
        "run": f"{_HERE}.run:run",
        "user": f"{_HERE}.user:user",
        "preauthkey": f"{_HERE}.preauthkey:preauthkey",
        "apikey": f"{_HERE}.apikey:apikey",
        "auth": f"{_HERE}.auth:auth",
        "node": f"{_HERE}.node:node",
        "connection": f"{_HERE}.connection:connection",
        "wg": f"{_HERE}.wg:wg",
        "why": f"{_HERE}.why:why",
        "provider": f"{_HERE}.provider:provider",
        "netmap": f"{_HERE}.netmap:netmap",
        "whatif": f"{_HERE}.whatif:whatif",
        "projection": f"{_HERE}.projection:projection",
        "replay": f"{_HERE}.replay:replay",
        "events": f"{_HERE}.events:events",
        "schema": f"{_HERE}.schema:schema",
        "backup": f"{_HERE}.backup:backup",
        "restore": f"{_HERE}.backup:restore",
        "derp": f"{_HERE}.derp:derp",
        "dns": f"{_HERE}.dns:dns",
        "settings": f"{_HERE}.settings:settings",
        "policy": f"{_HERE}.policy:policy",
        "admin": f"{_HERE}.admin:admin",
        "health": f"{_HERE}.health:health",
        "version": f"{_HERE}.version:version",
        "completion": f"{_HERE}.completion:completion",
    },
    aliases={
        "what-if": "whatif",
        "nodes": "node",
        "users": "user",
        "preauthkeys": "preauthkey",
        "apikeys": "apikey",
        "authkey": "preauthkey",
        "authkeys": "preauthkey",
        "connections": "connection",
        "event": "events",
        "schemas": "schema",
        "projections": "projection",
        "providers": "provider",
        "peer": "wg",
        "peers": "wg",
    },
)
