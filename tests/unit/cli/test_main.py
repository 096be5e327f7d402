"""The tree of commands as a whole."""

from collections.abc import Iterator

import click
import pytest

from frontends.cli.groups import Nouns
from frontends.cli.main import main
from tests.unit.cli.stage import Stage


def leaves(
    group: Nouns = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, Nouns):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("path", [path for path, _ in leaves()], ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = Stage().run(*path, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()[2].strip()) > 10


@pytest.mark.parametrize(("alias", "name"), [*main.aliases.items()])
def test_an_alias_of_a_noun_leads_to_the_noun(alias: str, name: str) -> None:
    context = click.Context(main)
    assert main.get_command(context, alias) is main.get_command(context, name) is not None


def test_every_command_that_changes_something_takes_a_reason_and_an_id() -> None:
    reading = {
        "list",
        "list-routes",
        "get",
        "show",
        "verify",
        "prove",
        "rebuild",
        "replay",
        "check-proof",
        "checkpoint",
        "key",
        "tail",
        "export",
        "poll-script",
        "check",
        "test",
        "preview",
        "log",
        "diff",
        "watch",
        "whatif",
        "why",
        "plan",
        "dump",
        "doctor",
        "health",
        "backup",
        "version",
        "completion",
        "serve",
    }
    for path, command in leaves():
        if path[-1] in reading or path[0] in ("run", "schema", "admin"):
            continue
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {"--reason", "--id", "--dir", "--nats", "--context", "-o"} <= flags, path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion_script(shell: str) -> None:
    assert "_NETMAP_COMPLETE" in Stage().run("completion", shell).stdout


def completed(*words: str, incomplete: str) -> list[str]:
    from click.shell_completion import ShellComplete

    found = ShellComplete(main, {"obj": None}, "netmap", "_NETMAP_COMPLETE")
    return [item.value for item in found.get_completions(list(words), incomplete)]


def test_commands_are_completed() -> None:
    assert "register-wg-only" in completed("node", incomplete="reg")


def test_without_a_server_no_names_are_completed(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETMAP_DIR", str(tmp_path))
    assert completed("node", "expire", "-i", incomplete="") == []


def test_names_are_completed_by_asking() -> None:
    from click.shell_completion import ShellComplete

    stage = Stage()
    stage.answers(
        "user.list", {"position": 1, "users": [{"id": 1, "name": "alice"}, {"id": 2, "name": "bob"}]}
    )
    shell = ShellComplete(main, {"obj": stage.world}, "netmap", "_NETMAP_COMPLETE")
    assert [item.value for item in shell.get_completions(["node", "list", "--user"], "al")] == ["alice"]
