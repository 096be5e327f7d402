"""Golden logs: rows as a released version stored them, and the tailnet that they mean.

`python -m tests.golden.logs VERSION` writes one with today's code: once for each release that adds an event; a file
that was ever released is never written again.
"""

import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from eventsourcing.persistence import Notification

from engine.adapters.store.codec import Codec
from engine.domain.aggregates import ApiKey, AuthKey, Connection, Node, Peer, PolicyText, Settings, User
from engine.domain.device import Device, Provider
from engine.domain.events import EVENTS
from engine.domain.state import Tailnet
from engine.domain.values import DEFAULT_TAILNET
from engine.ports import Pending, Recorded
from tests.kit.histories import TELLERS, events_of, records

FOLDER: Final = Path(__file__).parent / "logs"


class Row(msgspec.Struct, frozen=True):
    """A row of the store; `state` is the stored text."""

    id: int
    stream: str
    version: int
    topic: str
    state: str


def decoded(rows: Iterable[Row]) -> list[Recorded]:
    """Read the rows as a store of today does, chain and all."""
    stored = [Notification(row.stream, row.version, row.topic, row.state.encode(), id=row.id) for row in rows]
    return Codec(DEFAULT_TAILNET).decode(stored, "")


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says; a field that came later has its default in an older meaning."""

    settings: Settings
    users: list[User]
    auth_keys: list[AuthKey]
    nodes: list[Node]
    peers: list[Peer]
    connections: list[Connection]
    next: list[int]
    policy: PolicyText | None = None
    policies: dict[str, str] = {}
    api_keys: list[ApiKey] = []
    providers: list[Provider] = []
    devices: list[Device] = []


def folded(found: Iterable[Recorded]) -> Meaning:
    """What the records mean."""
    tailnet = Tailnet()
    for record in found:
        tailnet.apply(record.event, record.envelope.at)
    return Meaning(
        settings=tailnet.settings,
        users=list(tailnet.users.values()),
        auth_keys=list(tailnet.auth_keys.values()),
        nodes=list(tailnet.nodes.values()),
        peers=list(tailnet.peers.values()),
        connections=list(tailnet.connections.values()),
        next=[tailnet.next_user, tailnet.next_auth_key, tailnet.next_node, tailnet.next_peer],
        policy=tailnet.policy,
        policies=tailnet.policies,
        api_keys=list(tailnet.api_keys.values()),
        providers=list(tailnet.provided.providers.values()),
        devices=list(tailnet.provided.devices.values()),
    )


def plain(meaning: Meaning) -> Any:
    """The meaning as plain values, all fields named."""
    return msgspec.json.decode(msgspec.json.encode(meaning))


def stored_today() -> list[Row]:
    """A log with every event of today in it."""
    dice = random.Random(1)
    names = sorted(TELLERS)
    course = [("user", 0, 0), ("node", 0, 0), ("peer", 0, 0)]
    course += [(dice.choice(names), dice.randrange(20), dice.randrange(20)) for _ in range(400)]
    course += [
        ("peer", 0, 0),
        ("settings", 3, 4),
        *((name, 1, number) for name in ("peer_change", "settings") for number in range(10)),
        *(("settings", number, 6) for number in range(4)),
        *(("node", 0, 0), ("connect", 0, 0), ("connect", 0, 0)),
        *(("export", 0, number) for number in range(4)),
        *(("node", 0, 0), ("provider", 0, 0), *[("device", 0, 0)] * 50),
        *(("device", number, happening) for happening in range(6) for number in range(3)),
    ]
    pending = [Pending(envelope=r.envelope, event=r.event) for r in records(events_of(course))]
    rows, _ = Codec(DEFAULT_TAILNET).encode(pending, "")
    found = [
        Row(number, str(row.originator_id), row.originator_version, row.topic, row.state.decode())
        for number, row in enumerate(rows, 1)
    ]
    missing = {str(event.__struct_config__.tag) for event in EVENTS} - {row.topic for row in found}
    assert not missing, missing
    return found


def write(version: str) -> None:
    """Write the golden log of a version, and what it means."""
    rows = stored_today()
    FOLDER.mkdir(exist_ok=True)
    lines = b"\n".join(map(msgspec.json.encode, rows))
    (FOLDER / f"{version}.jsonl").write_bytes(lines + b"\n")
    meaning = msgspec.json.format(msgspec.json.encode(folded(decoded(rows))))
    (FOLDER / f"{version}.meaning.json").write_bytes(meaning + b"\n")


if __name__ == "__main__":
    write(sys.argv[1])
