"""What happened to providers and the devices that they have registered for us; a part of `events.py`, whose rules hold here.

Rule 1: an account number is here only as `KeyRing.seal` made it: nobody without the key ring reads it.
"""

import msgspec

from engine.domain.values import NEVER, DeviceId, Millis, NodeId, NodeKey, PeerId, ProviderId


class ProviderAdded(msgspec.Struct, frozen=True, kw_only=True, tag="ProviderAdded.v1"):
    """There is an account at a provider at which nodes can be registered."""

    provider: ProviderId
    name: str
    kind: str
    """`mullvad` or `http`: how it is spoken to."""
    base_url: str
    quota: int
    """Devices that the account may have at once."""
    account: str
    """The account number, sealed (rule 1)."""

    def __repr__(self) -> str:
        """Return which provider it is about."""
        return f"ProviderAdded(provider={self.provider}, name={self.name!r}, kind={self.kind!r}, …)"


class ProviderUpdated(msgspec.Struct, frozen=True, kw_only=True, tag="ProviderUpdated.v1"):
    """What the provider is now, all of it; its kind stays."""

    provider: ProviderId
    name: str
    base_url: str
    quota: int
    account: str

    def __repr__(self) -> str:
        """Return which provider it is about."""
        return f"ProviderUpdated(provider={self.provider}, name={self.name!r}, …)"


class ProviderRemoved(msgspec.Struct, frozen=True, kw_only=True, tag="ProviderRemoved.v1"):
    """The provider is gone; its id is never used again."""

    provider: ProviderId


class PeerProviderSet(msgspec.Struct, frozen=True, kw_only=True, tag="PeerProviderSet.v1"):
    """The WireGuard-only peer is a relay of this provider; None: of no one that we know."""

    peer: PeerId
    provider: ProviderId | None = None


class DeviceWanted(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceWanted.v1"):
    """The node is to be registered at the provider, and waits for a place there.

    For a device that is there already it says anew because of which selector, or of somebody's word.
    """

    device: DeviceId
    provider: ProviderId
    node: NodeId
    node_key: NodeKey
    selector: str = ""
    """Because of which selector; empty: somebody asked for it."""


class DeviceAdmitted(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceAdmitted.v1"):
    """The device has one of the provider's places: the provider is told of it."""

    device: DeviceId
    node: NodeId


class DeviceRegistered(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceRegistered.v1"):
    """The provider knows this key of the node, and has given it these addresses."""

    device: DeviceId
    node: NodeId
    node_key: NodeKey
    reference: str
    """The provider's own id of the registration."""
    ipv4: str = ""
    ipv6: str = ""


class DeviceRekeyed(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceRekeyed.v1"):
    """The node has another key: that one is to be registered, and the former then revoked."""

    device: DeviceId
    node: NodeId
    node_key: NodeKey


class DeviceFailed(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceFailed.v1"):
    """What was to be done at the provider was not done."""

    device: DeviceId
    node: NodeId
    code: str
    """Why, as a stable word: `device.py` lists them."""
    word: str = ""
    """What the provider said, without anything that could be secret."""
    attempts: int = 1
    """How often it failed in a row."""
    next_try: Millis = NEVER
    """0: not before somebody does something about it."""


class DeviceRetried(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceRetried.v1"):
    """What failed is to be tried again now."""

    device: DeviceId
    node: NodeId


class DeviceLeft(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceLeft.v1"):
    """The node needs the provider no more: all its keys are to be revoked there; one that only waited is gone at once."""

    device: DeviceId
    node: NodeId


class DeviceRevoked(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceRevoked.v1"):
    """The provider knows this key of the node no more; a device that was to leave is gone with its last key."""

    device: DeviceId
    node: NodeId
    node_key: NodeKey


class DeviceForgotten(msgspec.Struct, frozen=True, kw_only=True, tag="DeviceForgotten.v1"):
    """The device is gone without a word to the provider."""

    device: DeviceId
    node: NodeId


DeviceEvent = (
    DeviceWanted
    | DeviceAdmitted
    | DeviceRegistered
    | DeviceRekeyed
    | DeviceFailed
    | DeviceRetried
    | DeviceLeft
    | DeviceRevoked
    | DeviceForgotten
)
ProviderEvent = ProviderAdded | ProviderUpdated | ProviderRemoved
