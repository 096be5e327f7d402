"""What the far side of a WireGuard-only peer may not do to a node, tried; each finding is a word.

    owner     the node's own HTTP server takes the caller for its owner
    upload    a file was taken
    dns       a name was resolved for the caller
    spoofed   a source that nobody has reached a port

A node's own server (PeerAPI) listens on its tailnet addresses; from the far side it is at the masquerade address. It answers
past the jail, and tells who one is by the source alone (reference: wireguard-only-peers §0.9, §2.5).
"""

from typing import Final
from urllib.parse import urlsplit

from tests.kit.lab.clients import TailscaleClient
from tests.kit.lab.dns import question_of
from tests.kit.lab.net import Host

ALL: Final = frozenset({"owner", "upload", "dns"})
OK: Final = 200
SECONDS: Final = 4.0


class UnreachedError(AssertionError):
    """The node's server did not answer at all: nothing was shown."""


def peerapi_port(client: TailscaleClient) -> int:
    """The port of a node's own server on its IPv4 address."""
    urls: list[str] = client.status()["Self"]["PeerAPIURL"]
    return next(port for url in urls if (port := urlsplit(url).port) and "[" not in url)


def peerapi_holes(far: Host, source: str, target: str, port: int) -> set[str]:
    """Try a node's own server from the far side, as `source`; return what it let pass.

    Raises:
        UnreachedError: not even a greeting came.
    """
    base, options = f"http://{target}:{port}", ("--interface", source)
    greeting = far.curl(f"{base}/", *options, timeout=SECONDS)
    if not greeting.status:
        raise UnreachedError(f"{base} does not answer {source}: {greeting.error}")
    query = far.folder / "query"
    query.write_bytes(question_of("echo.example"))
    upload = far.curl(
        f"{base}/v0/put/intruder-{port}", *options, "--upload-file", str(query), timeout=SECONDS
    )
    ask = ("-H", "Content-Type: application/dns-message", "--data-binary", f"@{query}", "-o", "/dev/null")
    dns = far.curl(f"{base}/dns-query", *options, *ask, timeout=SECONDS)
    found = {
        "owner": "owner" in greeting.body.lower(),
        "upload": upload.status == OK,
        "dns": dns.status == OK,
    }
    return {name for name, is_open in found.items() if is_open}


def spoof_holes(far: Host, source: str, url: str) -> set[str]:
    """Call a port of a node under a source that nobody has; return what passed."""
    return {"spoofed"} if far.curl(url, "--interface", source, timeout=SECONDS / 2).status == OK else set()
