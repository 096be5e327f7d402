"""Pings, and requests from control to node.

Rule 1: a request whose URL equals the one before is ignored by the client.
Rule 2: without types the client sends `HEAD URL`; with `c2n` the payload is a whole HTTP/1.x request, and the answer
        comes as a POST to URL's path, over Noise, usually on a connection of its own.
"""

import msgspec


class PingRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Asks a client for a sign of life; the payload travels as base64."""

    url: str = msgspec.field(name="URL")
    url_is_noise: bool = msgspec.field(default=False, name="URLIsNoise")
    log: bool = False
    types: str = ""
    ip: str = msgspec.field(default="", name="IP")
    payload: bytes | None = None


class PingResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What became of a ping of another node."""

    type: str
    ip: str = msgspec.field(default="", name="IP")
    node_ip: str = msgspec.field(default="", name="NodeIP")
    node_name: str = ""
    err: str = ""
    latency_seconds: float = 0.0
    endpoint: str = ""
    peer_relay: str = ""
    derp_region_id: int = msgspec.field(default=0, name="DERPRegionID")
    derp_region_code: str = msgspec.field(default="", name="DERPRegionCode")
    peer_api_port: int = msgspec.field(default=0, name="PeerAPIPort")
    is_local_ip: bool = msgspec.field(default=False, name="IsLocalIP")
