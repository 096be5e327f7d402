"""`netmap completion`: what a shell needs to complete commands, and names of nodes, users and peers."""

import click

_HOW = {
    "bash": 'eval "$(netmap completion bash)"      in ~/.bashrc',
    "zsh": 'eval "$(netmap completion zsh)"       in ~/.zshrc',
    "fish": "netmap completion fish | source       in ~/.config/fish/config.fish",
}


@click.command("completion", epilog="\b\n" + "\n".join(_HOW.values()))
@click.argument("shell", type=click.Choice(tuple(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Write the completion script of a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion for {shell}")
    root = ctx.find_root()
    script = found(root.command, {}, "netmap", "_NETMAP_COMPLETE")
    click.echo(script.source_template % script.source_vars())
