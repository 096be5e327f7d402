"""`netmap version`: which program this is."""

import click

from frontends.cli import output

DISTRIBUTION = "netmap-engine"


@click.command("version")
@click.option("-o", "--output", "form", type=click.Choice(output.FORMS), default="table")
def version(form: str) -> None:
    """Say which version this is."""
    from importlib.metadata import version as of
    from platform import python_version

    found = {"version": of(DISTRIBUTION), "python": python_version()}
    if form == "table":
        click.echo(f"netmap {found['version']} (Python {found['python']})")
    else:
        output.emit(form, found)
