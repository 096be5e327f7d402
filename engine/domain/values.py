"""Identities and small values of a tailnet, one NewType each."""

from typing import Final, NewType

UserId = NewType("UserId", int)
NodeId = NewType("NodeId", int)
"""A node's number, 1 … 99 999 999; never reused."""
PeerId = NewType("PeerId", int)
"""A WireGuard-only peer's number, from 100 000 001 upward; never reused."""
AuthKeyId = NewType("AuthKeyId", int)
ApiKeyId = NewType("ApiKeyId", int)
ProviderId = NewType("ProviderId", int)
"""A provider's number, from 1; never reused."""
DeviceId = NewType("DeviceId", int)
"""The number of a node's registration at a provider, from 1; never reused."""
LoginId = NewType("LoginId", str)
"""A pending interactive login: 24 lower-case base32 characters, unguessable."""
StableId = NewType("StableId", str)
"""The string identity that outlives keys; opaque to clients."""

NodeKey = NewType("NodeKey", str)
"""`nodekey:` + 64 lower-case hex digits: a WireGuard public key."""
MachineKey = NewType("MachineKey", str)
"""`mkey:` + 64 lower-case hex digits."""

TailnetName = NewType("TailnetName", str)
Epoch = NewType("Epoch", str)
"""A random id of one history: new when a store is created, restored or truncated."""
Position = NewType("Position", int)
"""A place in the log; positions grow and may have holes."""
CommandId = NewType("CommandId", str)
Millis = NewType("Millis", int)
"""Unix time in milliseconds, UTC; 0 means never or not set."""

DEFAULT_TAILNET: Final = TailnetName("default")
FIRST_PEER_ID: Final = PeerId(100_000_001)
"""The first id of a WireGuard-only peer, as the user's document shows it."""
LAST_NODE_ID: Final = NodeId(99_999_999)
"""Nodes and WireGuard-only peers share one number space on the wire; nodes stay below the peers."""
LAST_MILLIS: Final = Millis(253_402_300_799_999)
"""9999-12-31T23:59:59.999Z: clients read no later time, and discard a frame that has one (Go, time.Time in JSON)."""
NEVER: Final = Millis(0)
