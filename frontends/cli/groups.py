"""Groups of commands that import what they hold when it is asked for, and that know other names for it.

Rule 1: a noun's module imports click and what is light; libraries and the engine's words are imported inside
        commands, so that help and completion stay fast.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Nouns(click.Group):
    """A group whose commands are `module:attribute`, imported on demand.

    Args:
        lazy: name → `module:attribute`.
        aliases: other name → name; aliases work, but are not listed.
        **rest: as for `click.Group`.
    """

    def __init__(
        self,
        *,
        lazy: Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.lazy = dict(lazy or {})
        self.aliases = dict(aliases or {})

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names in the order in which they were written down."""
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name or alias, importing it if need be; None if there is none."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name in self.lazy:
            module, attribute = self.lazy[name].split(":")
            loaded = getattr(import_module(module), attribute)
            if not isinstance(loaded, click.Command):
                raise TypeError(f"{self.lazy[name]} is not a command")
            return loaded
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does; a name that is not there is answered with the names that are near."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            known = [*self.list_commands(ctx), *self.aliases]
            raise click.exceptions.NoSuchCommand(args[0], possibilities=known, ctx=ctx) from error


ALIASES: Mapping[str, str] = {
    "ls": "list",
    "rm": "remove",
    "del": "remove",
    "destroy": "remove",
    "show": "get",
}
"""Headscale's and everybody's other names for the common verbs."""


def noun(text: str, aliases: Mapping[str, str] | None = None) -> Nouns:
    """Return an empty group for one noun; `text` is its help."""
    return Nouns(help=text, aliases=ALIASES if aliases is None else {**ALIASES, **aliases})
