"""`POST /machine/map`: the long poll, lite updates, and what is sent down.

    stream   omit peers   kind
    true     any          LONG_POLL   frames until somebody ends it; says nothing about the node (capver ≥ 68)
    false    true         LITE        endpoints, disco key, Hostinfo upwards; the answer is a status
    false    false        FETCH       one whole frame

Rule 1: in a response None leaves a field as the client has it. An empty `packet_filters` value `()` is an empty named
        filter, None as a value deletes the name; an empty `peers` changes nothing: use `peers_removed`.
Rule 2: nodes, patches, filters, DNS, DERP map, profiles and SSH policy are fragments, encoded once and shared by many
        responses (`codec.fragment`).
Rule 3: the first frame of a stream that is no keep-alive has `node`, a DERP map and a packet filter.
"""

from enum import Enum

import msgspec

from frontends.wire.tailcfg.c2n import PingRequest
from frontends.wire.tailcfg.hostinfo import Hostinfo
from frontends.wire.tailcfg.text import Capver, DiscoKeyText, Int64, NodeKeyText, Strings


class Kind(Enum):
    """What a map request is for."""

    LONG_POLL = "long poll"
    LITE = "lite"
    FETCH = "fetch"


class MapRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A client's question, or its report."""

    version: Capver
    node_key: NodeKeyText
    disco_key: DiscoKeyText | None = None
    compress: str | None = None
    """`zstd` from every real client; test tools without it get plain JSON."""
    keep_alive: bool | None = None
    stream: bool | None = None
    omit_peers: bool | None = None
    read_only: bool | None = None
    hostinfo: Hostinfo | None = None
    endpoints: Strings | None = None
    """As sent; `text.endpoints` makes them fit for peers."""
    endpoint_types: tuple[Int64, ...] | None = None
    tka_head: str | None = msgspec.field(default=None, name="TKAHead")
    debug_flags: Strings | None = None
    map_session_handle: str | None = None
    map_session_seq: Int64 | None = None

    @property
    def kind(self) -> Kind:
        """What the request is for."""
        if self.stream:
            return Kind.LONG_POLL
        return Kind.LITE if self.omit_peers else Kind.FETCH


class UserProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A user as others see them; a node whose user has no profile is shown as `userid:N`."""

    id: int = msgspec.field(name="ID")
    login_name: str
    display_name: str = ""
    profile_pic_url: str = msgspec.field(default="", name="ProfilePicURL")


class DisplayMessageAction(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """A button under a message."""

    url: str = msgspec.field(name="URL")
    label: str


class DisplayMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A message for the node's user; severity is `high`, `medium` or `low`."""

    title: str
    text: str
    severity: str
    impacts_connectivity: bool = False
    primary_action: DisplayMessageAction | None = None


class Debug(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Orders to the process. `exit` ends it; it is not here."""

    disable_log_tail: bool = False
    """Stops uploads to log.tailscale.com for the life of the process."""
    sleep_seconds: float = 0.0


class MapResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One frame of a long poll."""

    keep_alive: bool = False
    ping_request: PingRequest | None = None
    pop_browser_url: str = msgspec.field(default="", name="PopBrowserURL")
    node: msgspec.Raw | None = None
    derp_map: msgspec.Raw | None = msgspec.field(default=None, name="DERPMap")
    peers: tuple[msgspec.Raw, ...] | None = None
    peers_changed: tuple[msgspec.Raw, ...] | None = None
    peers_removed: tuple[int, ...] | None = None
    peers_changed_patch: tuple[msgspec.Raw, ...] | None = None
    online_change: dict[int, bool] | None = None
    dns_config: msgspec.Raw | None = msgspec.field(default=None, name="DNSConfig")
    domain: str = ""
    collect_services: bool | None = None
    packet_filter: tuple[msgspec.Raw, ...] | None = None
    packet_filters: dict[str, tuple[msgspec.Raw, ...] | None] | None = None
    user_profiles: tuple[msgspec.Raw, ...] | None = None
    health: tuple[str, ...] | None = None
    display_messages: dict[str, DisplayMessage | None] | None = None
    ssh_policy: msgspec.Raw | None = msgspec.field(default=None, name="SSHPolicy")
    control_time: str | None = None
    debug: Debug | None = None
