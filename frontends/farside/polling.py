"""Scripts with which a far side asks for its peers by itself; pure.

Rule 1: the key stands as `KEY` in them: whoever installs one puts it there.
Rule 2: a script changes the interface only when the checksum has changed, and then makes its peers those of the answer;
        an answer without a checksum is none.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from frontends.farside.routeros import quoted

KEY: Final = "KEY"
"""What stands for the key."""
URL: Final = re.compile(r"https?://[A-Za-z0-9.\-_~:\[\]/%]{1,400}")
"""Base addresses that may stand in a script: no character that means something to a shell or to RouterOS."""
INTERFACE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""It stands in lines that a far side runs: no character that means something there."""


def poll_url(base: str, peer: str, node: str | None, style: str, interface: str) -> str:
    """Return the address to ask: `base` and the path."""
    given = {"format": style, "interface": interface} | ({"node": node} if node is not None else {})
    return f"{base.rstrip('/')}/wg/export/{quote(peer, safe='')}?{urlencode(given, quote_via=quote, safe='')}"


def shell(base: str, peer: str, node: str | None, interface: str) -> str:
    """Return a script for sh, with curl and wg: for cron, as root."""
    url = poll_url(base, peer, node, "wg-quick", interface)
    return f"""#!/bin/sh
# Asks for the peers of {interface}, and makes them so when they have changed. For cron, as root, every minute or so.
# The interface has no other peers than these: others are removed. Routes to their addresses are yours.
set -eu
umask 077
key={KEY}                            # of `netmap apikey create --scope export --peer …`
held=/var/lib/netmap/{interface}     # what was answered last
mkdir -p "${{held%/*}}"
printf 'Authorization: Bearer %s\\n' "$key" |
    curl -fsS --max-time 20 -H @- -o "$held.new" '{url}'
sum=$(sed -n 's/^# netmap checksum: //p' "$held.new")
[ -n "$sum" ] || {{ echo "no checksum in the answer" >&2; exit 1; }}
[ ! -f "$held.sum" ] || [ "$(cat "$held.sum")" != "$sum" ] || exit 0
wg showconf {interface} | sed '/^\\[Peer\\]/,$d' >"$held.conf"
cat "$held.new" >>"$held.conf"
wg syncconf {interface} "$held.conf"
rm -f "$held.conf"
echo "$sum" >"$held.sum"
"""


def routeros(base: str, peer: str, node: str | None, interface: str) -> str:
    """Return a script for RouterOS 7: for a scheduler's `on-event`, with policies read, write and test."""
    url = poll_url(base, peer, node, "routeros", interface)
    where = f'interface={quoted(interface)} and comment~"^netmap: "'
    return f"""# Asks for the peers of {interface}, and makes them so when they have changed: /system/script, and a scheduler.
# Only peers whose comment begins with "netmap: " are touched. An answer is at most 64 KB long, about 200 nodes.
:local key "{KEY}"
:global netmapSum
:local answer [/tool/fetch url="{url.replace("?", chr(92) + "?")}" http-header-field=("Authorization: Bearer " . $key) output=user as-value]
:local text ($answer->"data")
:local at [:find $text "sha256:"]
:if ([:typeof $at] != "num") do={{ :error "netmap: no checksum in the answer" }}
:local sum [:pick $text $at ($at + 71)]
:if ($sum != $netmapSum) do={{
    :local run [:parse $text]
    /interface/wireguard/peers/remove [find where {where}]
    $run
    :set netmapSum $sum
}}
"""


SCRIPTS: Final[Mapping[str, Callable[[str, str, str | None, str], str]]] = {
    "sh": shell,
    "routeros": routeros,
}
