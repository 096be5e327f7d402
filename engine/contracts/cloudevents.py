"""How an event is told to other systems: CloudEvents 1.0 over NATS, in binary mode.

Rule 1: the body is the event as it is stored; everything about it is in headers.
Rule 2: `Nats-Msg-Id` is the epoch and the position: a stream drops what it has already.
Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md
"""

from datetime import UTC, datetime
from typing import Final

from engine.contracts import subjects
from engine.domain.values import Epoch, Millis, Position, TailnetName

SPEC_VERSION: Final = "1.0"
CONTENT_TYPE: Final = "application/json"
MESSAGE_ID: Final = "Nats-Msg-Id"
ID: Final = "ce-id"
SOURCE: Final = "ce-source"
TYPE: Final = "ce-type"
TIME: Final = "ce-time"
VERSION: Final = "ce-specversion"
SUBJECT: Final = "ce-subject"
CONTENT: Final = "ce-datacontenttype"
EPOCH: Final = "ce-epoch"
POSITION: Final = "ce-position"
STREAM_VERSION: Final = "ce-streamversion"
ACTOR: Final = "ce-actor"
COMMAND: Final = "ce-command"
CAUSE: Final = "ce-cause"
REASON: Final = "ce-reason"
DIGEST: Final = "ce-digest"
HEADERS: Final = {
    MESSAGE_ID: "The epoch and the position: `<epoch>-<position>`.",
    ID: "The same: unique with `ce-source`.",
    SOURCE: "Whose log: `/netmap/v1/<tailnet>`.",
    TYPE: "The event's tag, as `PeerRegistered.v1`.",
    TIME: "When it was recorded: RFC 3339 in UTC, with milliseconds.",
    VERSION: "`1.0`.",
    SUBJECT: "The aggregate that it belongs to, as `peer/100000001`.",
    CONTENT: "`application/json`.",
    EPOCH: "Which history: another one after a restore.",
    POSITION: "The place in the log, decimal; positions grow and may have holes.",
    STREAM_VERSION: "The place among the events of the aggregate, from 1.",
    ACTOR: "Who did it.",
    COMMAND: "The id of the command that it is a result of.",
    CAUSE: "Of what it is a consequence; absent if there is nothing to say.",
    REASON: "Why, in the words of who did it, percent-encoded as CloudEvents has it; absent if there is none.",
    DIGEST: "The hash of this record and all before it, in hex.",
}
"""What each header says, for documents."""
OPTIONAL: Final = (CAUSE, REASON)


def id_of(epoch: Epoch, position: Position) -> str:
    """Return the id of an event, which is the message's too."""
    return f"{epoch}-{position}"


def place_of(message_id: str) -> tuple[Epoch, Position] | None:
    """Return the epoch and the position in a message's id, None when it is no such id."""
    epoch, _, position = message_id.rpartition("-")
    if not epoch or not position.isascii() or not position.isdecimal():
        return None
    return Epoch(epoch), Position(int(position))


def source_of(tailnet: TailnetName) -> str:
    """Return the `ce-source` of a tailnet's events."""
    return "/" + subjects.ROOT.replace(".", "/") + f"/{tailnet}"


def time_of(at: Millis) -> str:
    """Return a recorded time as RFC 3339 with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def escaped(text: str) -> str:
    """Return a header's value as CloudEvents has it: space, quotation mark, percent sign and all outside of ASCII by percent."""
    return "".join(
        character if "!" <= character <= "~" and character not in '"%' else _percent(character)
        for character in text
    )


def _percent(character: str) -> str:
    return "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "replace"))
