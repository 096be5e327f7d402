"""Headscale's JSON of what we know (reference: ecosystem §2.2); pure.

Rule 1: ids are text, arrays are never null, times are RFC 3339 in UTC or null; keys are in the client's text form.
Rule 2: a tagged node belongs to a user of its own, `tagged-devices`: tools want a user everywhere.
Rule 3: `extraConfig` is text that holds JSON, with the location in the wire's PascalCase, as headscale-mullvad reads it;
        what is not known is left out, since `null` there stops it. Our own objects have camelCase.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

Row = Mapping[str, Any]
Shape = dict[str, Any]

TAGGED_DEVICES: Final = 2_147_455_555
"""Headscale's id of the user of tagged nodes (hscontrol/types/users.go)."""


def time_of(millis: int) -> str | None:
    """Return a time in Unix milliseconds as text; 0 is none."""
    if millis <= 0:
        return None
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def user_of(row: Row) -> Shape:
    """Return a user."""
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "createdAt": time_of(row["created"]),
        "displayName": row["displayName"],
        "email": row["email"],
        "providerId": "",
        "provider": "",
        "profilePicUrl": "",
    }


def _tagged() -> Shape:
    return user_of(
        {"id": TAGGED_DEVICES, "name": "tagged-devices", "created": 0, "displayName": "", "email": ""}
    )


def _owner(row: Row, users: Mapping[int, Row]) -> Shape:
    known = users.get(row["user"])
    unknown = {"id": row["user"], "name": row["userName"], "created": 0, "displayName": "", "email": ""}
    return user_of(known or unknown)


def node_of(row: Row, users: Mapping[int, Row]) -> Shape:
    """Return a node; `users` are rows by id."""
    tags = list(row["tags"])
    method = "REGISTER_METHOD_AUTH_KEY" if row["authKey"] is not None else "REGISTER_METHOD_CLI"
    return {
        "id": str(row["id"]),
        "machineKey": row["machineKey"],
        "nodeKey": row["nodeKey"],
        "discoKey": "",
        "ipAddresses": [row["ipv4"], row["ipv6"]],
        "name": row["hostname"] or row["name"],
        "givenName": row["name"],
        "user": _tagged() if tags else _owner(row, users),
        "lastSeen": time_of(row["lastSeen"]),
        "lastSuccessfulUpdate": time_of(row["lastSeen"]),
        "expiry": time_of(row["expiry"]),
        "createdAt": time_of(row["created"]),
        "preAuthKey": None,
        "registerMethod": method,
        "online": bool(row["online"]),
        "approvedRoutes": list(row["approved"]),
        "availableRoutes": list(row["advertised"]),
        "subnetRoutes": list(row["serving"]),
        "tags": tags,
        "forcedTags": tags,
        "validTags": [],
        "invalidTags": [],
    }


def peer_of(row: Row, users: Mapping[int, Row]) -> Shape:
    """Return a WireGuard-only peer; `users` are rows by id."""
    extra = row["extraConfig"]
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "userId": str(row["user"]),
        "user": _owner(row, users),
        "publicKey": row["publicKey"],
        "allowedIps": list(row["allowedIps"]),
        "endpoints": list(row["endpoints"]),
        "ipv4": row["ipv4"],
        "ipv6": row["ipv6"],
        "ipAddresses": [row["ipv4"], row["ipv6"]],
        "extraConfig": extra_text(extra),
        "createdAt": time_of(row["created"]),
        "disabled": row["disabled"],
        "drained": row["drained"],
        "tags": list(extra.get("tags") or ()),
        "location": extra.get("location"),
    }


def connection_of(row: Row) -> Shape:
    """Return a connection."""
    return {
        "nodeId": str(row["node"]),
        "wgPeerId": str(row["peer"]),
        "ipv4MasqAddr": row["ipv4MasqAddr"],
        "ipv6MasqAddr": row["ipv6MasqAddr"],
        "createdAt": time_of(row["created"]),
        "nodeName": row["nodeName"],
        "wgPeerName": row["peerName"],
        "allowedIps": list(row["allowedIps"]),
        "jailed": row["jailed"],
    }


def extra_text(extra: Row) -> str:
    """Return an extra config as text that holds JSON (rule 3)."""
    said = {name: value for name, value in extra.items() if value is not None}
    place = said.get("location")
    if place is not None:
        said["location"] = {name[0].upper() + name[1:]: value for name, value in place.items()}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
