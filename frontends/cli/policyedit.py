"""`netmap policy edit`: fetch, open, set; again if it is refused.

Rule 1: the text lives in a file from the first moment, and the file goes only when its text was set, or not changed.
Rule 2: what is set replaces the text that was opened, and no other (`expected`).
"""

from pathlib import Path
from typing import Final

import click

from frontends.cli import policytext
from frontends.cli.failure import Exit, Failure, Trouble
from frontends.cli.operator import Operator
from frontends.cli.text import note

CHANGED: Final = "policy.changed"
"""The refusal of who began from another policy."""
_BLANK: Final = """\
// There is no policy: everybody may reach everybody.
// Save another text to have one; save nothing to leave it so.
{
  // "acls": [
  //   {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]},
  // ],
}
"""


class Round:
    """One text on its way through an editor."""

    def __init__(self, operator: Operator, *, force: bool, quiet: bool) -> None:
        self._operator: Final = operator
        self._force: Final = force
        self._quiet: Final = quiet

    def run(self) -> None:
        """Let the person edit until the text is set, or the person gives up.

        Raises:
            Failure: it is not set; the file that has the text is told.
        """
        found = self._operator.ask("policy", "get").get("policy")
        opened = _BLANK if found is None else str(found["text"])
        expected = "" if found is None else str(found["digest"])
        file = policytext.keep(opened)
        is_done = False
        try:
            is_done = self._edited(file, opened, expected)
        finally:
            if is_done:
                file.unlink(missing_ok=True)
            else:
                note(f"your text is kept in {file}")

    def _edited(self, file: Path, opened: str, expected: str) -> bool:
        """Return whether the file is needed no longer: its text was set, or is what was opened."""
        turn = 0
        while True:
            click.edit(filename=str(file))
            text = policytext.read(str(file))
            if text in {opened, ""}:
                note("nothing was changed" if text else "the text is empty: nothing was changed")
                return True
            if not self._quiet:
                policytext.tell_changes(self._operator, text)
            try:
                self._put(text, file, expected, turn)
            except Failure as failure:
                if failure.exit_code != Exit.REFUSED or failure.trouble.code == CHANGED:
                    raise
                self._ask_again(failure)
                turn += 1
            else:
                return True

    def _put(self, text: str, file: Path, expected: str, turn: int) -> None:
        suffix = f"-{turn}" if turn else ""  # another text is another command
        try:
            policytext.put(
                self._operator, text, source=str(file), expected=expected, force=self._force, suffix=suffix
            )
        except Failure as failure:
            if failure.trouble.code == CHANGED:
                raise _overtaken(failure, file) from None
            raise

    def _ask_again(self, failure: Failure) -> None:
        """Show why it was refused, and ask whether to edit again; who is not there to answer says no.

        Raises:
            click.exceptions.Exit: no.
        """
        failure.form = self._operator.form
        failure.show()
        try:
            is_wanted = click.confirm("Edit again?", default=True, err=True)
        except click.Abort:
            is_wanted = False
        if not is_wanted:
            raise click.exceptions.Exit(failure.exit_code)


def _overtaken(failure: Failure, file: Path) -> Failure:
    hint = f"netmap policy diff --file {file} shows how they differ, netmap policy set {file} sets yours"
    message = "somebody else set another policy meanwhile"
    trouble = Trouble(failure.trouble.code, message, hint=hint, command_id=failure.trouble.command_id)
    return Failure(Exit(failure.exit_code), trouble)
