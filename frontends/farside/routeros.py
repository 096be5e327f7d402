"""What the far side types into RouterOS 7 (help.mikrotik.com, WireGuard, "Peers").

Rule 1: the lines can be given again: each takes away what its key has, and adds it anew.
Rule 2: in a quoted string of RouterOS a backslash, a quote and a dollar sign mean something; names get none of them.
"""

from collections.abc import Sequence

from frontends.farside.remotes import Remote, Side

_SPECIAL = str.maketrans({"\\": "/", '"': "'", "$": "S", "?": "."})


def commands(remotes: Sequence[Remote], side: Side) -> str:
    """Return two commands for each node."""
    return "\n".join(line for remote in remotes for line in _pair(remote, quoted(side.interface)))


def quoted(text: str) -> str:
    """Return the text as a string of RouterOS, without what would mean something else in it (rule 2)."""
    return '"' + text.translate(_SPECIAL) + '"'


def _pair(remote: Remote, interface: str) -> tuple[str, str]:
    where = "/interface/wireguard/peers"
    key = f'public-key="{remote.publicKey}"'
    given = f"{key} allowed-address={','.join(remote.allowedIps)} comment={quoted('netmap: ' + remote.about)}"
    return (
        f"{where} remove [find where interface={interface} and {key}]",
        f"{where} add interface={interface} {given}",
    )
