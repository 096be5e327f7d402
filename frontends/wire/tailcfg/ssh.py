"""Who may open which shell. The first rule that matches decides; names on the wire are in lower camel case.

Rule 1: no rules means nobody; an absent policy changes nothing.
Rule 2: in `ssh_users`, `=` is the same name and an empty text is no match; `*` is every other name.
"""

import msgspec


class SSHPrincipal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who connects: any one of the fields that are set."""

    node: str = ""
    node_ip: str = msgspec.field(default="", name="nodeIP")
    user_login: str = ""
    any: bool = False


class SSHRecorderFailureAction(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"
):
    """What happens when a session cannot be recorded."""

    reject_session_with_message: str = ""
    terminate_session_with_message: str = ""
    notify_url: str = msgspec.field(default="", name="NotifyURL")


class SSHAction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What happens; the duration is in nanoseconds, 0 without limit."""

    message: str = ""
    reject: bool = False
    accept: bool = False
    session_duration: int = 0
    allow_agent_forwarding: bool = False
    hold_and_delegate: str = ""
    allow_local_port_forwarding: bool = False
    allow_remote_port_forwarding: bool = False
    recorders: tuple[str, ...] | None = None
    on_recording_failure: SSHRecorderFailureAction | None = None


class SSHRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One rule."""

    principals: tuple[SSHPrincipal, ...]
    ssh_users: dict[str, str]
    action: SSHAction
    rule_expires: str | None = None
    accept_env: tuple[str, ...] | None = None


class SSHPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """All rules of a node's SSH server."""

    rules: tuple[SSHRule, ...] = ()
