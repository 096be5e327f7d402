"""`GET /key`: the server's Noise key.

Rule 1: whatever `v` says, the key is the same; a client that is too old is told so when it registers.
Rule 2: browsers' clients fetch it across origins.
"""

from frontends.control.frontend import Frontend
from frontends.wire.codec import encode
from frontends.wire.keytext import Kind, show
from frontends.wire.tailcfg.register import ServerKeys


def key(frontend: Frontend) -> bytes:
    """Return the JSON of the server's public key."""
    return encode(ServerKeys(public_key=show(Kind.MACHINE, frontend.identity.key.public)))
