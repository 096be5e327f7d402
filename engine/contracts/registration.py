"""What frontends ask the engine for their clients, on `reg.<frontend>.<verb>`.

Rule 1: `machine_key` is the one that the Noise handshake of the client's connection proved.
Rule 2: verbs: `register` (RegisterRequest → RegisterReply), `wait` (WaitRequest → RegisterReply, held until decided
        or `WAIT_SECONDS`), `log-out` (LogOutNode → Accepted), `advertise` (AdvertiseNode → Accepted), all with an id of
        the frontend's own choice; `head` (nothing → HeadReply).
Rule 3: a `wait` for a login that nobody knows (any more) is the error `login.unknown`: ask `register` again.
"""

from typing import Final, Literal

import msgspec

from engine.domain.values import LoginId, MachineKey, Millis, NodeId, NodeKey, UserId

WAIT_SECONDS: Final = 20.0
"""How long the engine holds a `wait`: below any proxy's 60 s, long enough to be cheap."""


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One turn of the registration conversation, as the client sent it, minus what we do not need."""

    machine_key: MachineKey
    node_key: NodeKey
    old_node_key: NodeKey | None = None
    auth_key: str = ""
    hostname: str = ""
    os: str = ""
    ephemeral: bool = False
    expiry: Millis = Millis(0)
    capver: int = 0
    os_version: str = ""
    client_version: str = ""
    request_tags: tuple[str, ...] = ()
    routes: tuple[str, ...] | None = None
    """What it offers to route; None: it did not say."""

    def __repr__(self) -> str:
        """Return which machine and node it is about, without the pre-auth key."""
        return f"RegisterRequest(machine_key={self.machine_key!r}, node_key={self.node_key!r}, …)"


class WaitRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The client asks again with the AuthURL that it was given."""

    machine_key: MachineKey
    login: LoginId


class RegisterReply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What to tell the client.

    `authorized`: the node is in; `node`, `user*` and `position` are set. `expired`: its key is no longer good.
    `login`: send it to the page of this pending login. `refused`: `message` is for the user.
    """

    outcome: Literal["authorized", "expired", "login", "refused"]
    position: int = 0
    node: NodeId | None = None
    user: UserId | None = None
    user_name: str = ""
    user_display_name: str = ""
    login: LoginId | None = None
    message: str = ""


class PendingLogin(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A machine that waits for somebody's word."""

    login: LoginId
    machine_key: MachineKey
    node_key: NodeKey
    hostname: str
    os: str
    since: Millis
    until: Millis
    request_tags: tuple[str, ...] = ()
    """The tags that it asks for: whoever approves it gives them, if its user owns them."""


class LoginList(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of `q.login.list`, which the engine gives: it alone knows them, and forgets them at a restart."""

    position: int
    logins: tuple[PendingLogin, ...] = ()
