"""Users as clients see them.

Rule 1: tagged nodes have the one synthetic user of all tagged nodes; the id is headscale's, which clients know.
Rule 2: WireGuard-only peers have a user that no node has, human or tagged: a client takes equal users for the same
        person, and would let the far side of a peer with its own user upload files (wireguard-only-peers §0.9).
"""

from typing import Final

from engine.contracts.netmap import UserObject
from engine.domain.values import UserId
from frontends.wire.codec import encode
from frontends.wire.tailcfg.map import UserProfile


class Profile:
    """A synthetic user: its id and its profile's JSON."""

    __slots__ = ("data", "id", "name")

    def __init__(self, number: int, login: str, name: str) -> None:
        self.id: Final = UserId(number)
        self.name: Final = login
        self.data: Final = encode(UserProfile(id=number, login_name=login, display_name=name))


TAGGED: Final = Profile(2_147_455_555, "tagged-devices", "Tagged Devices")
"""headscale hscontrol/types/users.go: the id that clients of headscale have seen for years."""
WIREGUARD: Final = Profile(2_147_455_556, "wireguard-peers", "WireGuard peers")
"""Ours: the next number; real users count from 1."""


def encode_profile(user: UserObject) -> bytes:
    """Return the profile's JSON; an empty LoginName would keep the client from saving its login (§4.2)."""
    return encode(UserProfile(id=user.id, login_name=user.name, display_name=user.display_name or user.name))
