"""The ordinary HTTP listener's pages: the key, health, and the page that a pending login shows.

Rule 1: pages load nothing from anywhere, run no script, and are read by any browser and screen reader.
Rule 2: nothing of a request is repeated but a login id of exactly the form that we make ourselves, escaped.
Rule 3: every answer ends its connection: a client's next request is the upgrade, on a connection of its own.
"""

import html
import os
import re
from typing import Final

import msgspec

from frontends.control.exchange import JSON, TEXT, Answer
from frontends.control.follow import Age
from frontends.control.frontend import Frontend
from frontends.control.key import key

_LOGIN: Final = re.compile(r"/register/([a-z2-7]{24})\Z")
_HTML: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Approve a machine</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }}
pre {{ font-size: 1rem; padding: 1rem; border: 1px solid; border-radius: 0.4rem; overflow-x: auto; }}
</style>
</head>
<body>
<main>
<h1>A machine waits for approval</h1>
<p>Let an administrator of this tailnet run the command below, with the name of the user the machine belongs to
in place of <code>NAME</code>. The machine comes online by itself.</p>
<pre><code>netmap auth approve {login} --user NAME</code></pre>
<p>If you did not start this, do nothing: the request expires.</p>
</main>
</body>
</html>
"""
_NOT_FOUND: Final = Answer(404, b"no such page\n", TEXT)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What `/health` says."""

    ready: bool
    stale: bool
    draining: bool
    frontend: str
    process: int
    epoch: str
    position: int
    sessions: int


def page(frontend: Frontend, method: str, target: str) -> Answer:
    """Return the answer to an ordinary request."""
    if method not in ("GET", "HEAD"):
        return Answer(405, b"GET only\n", (*TEXT, (b"allow", b"GET, HEAD")))
    path = target.partition("?")[0]
    match path:
        case "/key":
            return Answer(200, key(frontend), (*JSON, (b"access-control-allow-origin", b"*")))
        case "/health":
            return _health(frontend)
        case "/version":
            return Answer(200, b'{"server":"netmap-engine"}', JSON)
        case "/robots.txt":
            return Answer(200, b"User-agent: *\nDisallow: /\n", TEXT)
        case _:
            return _login_page(path)


def _login_page(path: str) -> Answer:
    login = _LOGIN.fullmatch(path)
    if login is None:
        return _NOT_FOUND
    return Answer(200, _PAGE.format(login=html.escape(login[1])).encode(), _HTML)


def health(frontend: Frontend) -> Health:
    """Return how this frontend is."""
    age = frontend.follower.age()
    return Health(
        ready=frontend.is_ready,
        stale=age > Age.FRESH,
        draining=frontend.draining,
        frontend=frontend.identity.name,
        process=os.getpid(),
        epoch=frontend.replica.epoch,
        position=frontend.replica.position,
        sessions=len(frontend.sessions),
    )


def _health(frontend: Frontend) -> Answer:
    found = health(frontend)
    return Answer(200 if found.ready else 503, msgspec.json.encode(found), JSON)
