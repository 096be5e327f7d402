"""`POST /machine/register`, and `GET /key` before it.

Rule 1: an answer without AuthURL, Error and NodeKeyExpired is success, whatever else it says.
Rule 2: only `Error` in a 200 reaches a person; other statuses are logged by the client and retried.
Rule 3: a past `Expiry` is a logout, and is looked at before `Auth`.
"""

import msgspec

from frontends.wire.keytext import ZERO_TEXT, Kind, is_zero
from frontends.wire.tailcfg.hostinfo import Hostinfo
from frontends.wire.tailcfg.text import Capver, NodeKeyText, TailnetLockKeyText


class ServerKeys(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to `GET /key`: the server's Noise key, as `mkey:` text."""

    public_key: str
    legacy_public_key: str = ZERO_TEXT[Kind.MACHINE]


class RegisterAuth(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """How a client asks to be let in without a person. It prints nothing of itself."""

    auth_key: str = ""

    def __repr__(self) -> str:
        return "RegisterAuth(…)"


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Register, refresh, rotate or expire a node key."""

    version: Capver
    node_key: NodeKeyText
    old_node_key: NodeKeyText | None = None
    nl_key: TailnetLockKeyText | None = msgspec.field(default=None, name="NLKey")
    auth: RegisterAuth | None = None
    expiry: str | None = None
    followup: str | None = None
    hostinfo: Hostinfo | None = None
    ephemeral: bool | None = None
    node_key_signature: str | None = None
    tailnet: str | None = None

    @property
    def auth_key(self) -> str:
        """The auth key, or an empty text."""
        return self.auth.auth_key if self.auth else ""

    @property
    def rotates(self) -> bool:
        """Whether the node key takes the place of an older one."""
        return self.old_node_key is not None and not is_zero(self.old_node_key)


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The owner of a node; the ID goes into the client's profile."""

    id: int = msgspec.field(name="ID")
    display_name: str = ""
    profile_pic_url: str = msgspec.field(default="", name="ProfilePicURL")
    created: str | None = None


class Login(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The owner's login; a client with an empty LoginName never writes its login to disk."""

    id: int = msgspec.field(name="ID")
    provider: str = ""
    login_name: str = ""
    display_name: str = ""
    profile_pic_url: str = msgspec.field(default="", name="ProfilePicURL")


class RegisterResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What became of a registration."""

    user: User | None = None
    login: Login | None = None
    node_key_expired: bool = False
    machine_authorized: bool = False
    auth_url: str = msgspec.field(default="", name="AuthURL")
    error: str = ""
