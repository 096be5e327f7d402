"""Histories under policies that do not allow everything: whose users, tags, addresses and routes are those of `histories.py`."""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.domain.events import PolicySet
from engine.ports import Recorded

COMMON: Final[dict[str, Any]] = {
    "groups": {"group:few": ["user1@", "user3@"]},
    "tagOwners": {"tag:a": ["user1@"], "tag:b": ["tag:a"]},
    "hosts": {"lan": "192.168.1.0/24", "two": "100.64.0.2"},
}
PEOPLE: Final = {"action": "accept", "src": ["group:few", "tag:a"], "dst": ["tag:b:22", "user2@:*"]}
ROUTED: Final = {
    "action": "accept",
    "src": ["autogroup:member", "10.1.0.0/16"],
    "dst": ["lan:443", "10.0.0.0/8:*"],
}
RANGES: Final = {
    "action": "accept",
    "src": ["100.64.0.0/30", "two"],
    "dst": ["autogroup:tagged:*", "100.64.0.4/30:80"],
}
SELF: Final = {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}
VIA: Final = {"src": ["user2@"], "dst": ["10.0.0.0/8"], "ip": ["*"], "via": ["tag:a"]}
APP: Final = {"src": ["autogroup:admin"], "dst": ["tag:a"], "app": {"tailscale.com/cap/drive": []}}
EXITS: Final = {"src": ["autogroup:member"], "dst": ["autogroup:internet"], "ip": ["*"]}
SSH: Final = {"action": "check", "src": ["autogroup:admin"], "dst": ["tag:b"], "users": ["root"]}
ATTRIBUTE: Final = {"target": ["tag:b", "user1@"], "attr": ["disable-ipv4", "funnel"]}
RULES: Final[tuple[dict[str, Any], ...]] = (
    {"acls": [PEOPLE]},
    {"acls": [PEOPLE, ROUTED]},
    {"acls": [ROUTED, RANGES, SELF]},
    {"acls": [ROUTED, RANGES], "grants": [VIA]},
    {"acls": [], "grants": [VIA, APP]},
    {"grants": [APP, EXITS], "ssh": [SSH], "nodeAttrs": [ATTRIBUTE]},
    {"acls": [SELF, PEOPLE], "grants": [EXITS, VIA], "ssh": [SSH]},
    {"ssh": [SSH]},
    {"acls": []},
)
RICH: Final = tuple(json.dumps(COMMON | rules) for rules in RULES)
"""Policies under which not everybody sees everybody; each differs from some other in one rule, from some in more."""


def governed(log: Sequence[Recorded]) -> list[Recorded]:
    """The same log, with policies that do not allow everything."""
    return [
        msgspec.structs.replace(
            record, event=msgspec.structs.replace(record.event, text=RICH[number % len(RICH)])
        )
        if isinstance(record.event, PolicySet)
        else record
        for number, record in enumerate(log)
    ]
