"""`netmap events stream`: the events as other systems read them, in JetStream."""

from frontends.cli import output
from frontends.cli.groups import noun
from frontends.cli.operator import Operator, reading
from frontends.cli.text import note

stream = noun("The stream of events that other systems read.", {"status": "get"})


@stream.command("get")
@reading
def get(operator: Operator) -> None:
    """Show how far the stream is, and the log."""
    reply = operator.ask("stream", "get")
    if operator.form == "table":
        output.emit_facts(reply)
    else:
        output.emit(operator.form, reply)


@stream.command("rebuild")
@reading
def rebuild(operator: Operator) -> None:
    """Make the stream anew and fill it from the log; whoever reads it begins again."""
    reply = operator.ask("stream", "rebuild")
    if operator.form == "table":
        output.emit_facts(reply)
        note("it is being filled: netmap events stream get")
    else:
        output.emit(operator.form, reply)
