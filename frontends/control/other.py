"""The occasional requests inside Noise: each has an answer that does its client no harm (control-protocol §7)."""

from frontends.control.exchange import JSON, Answer, Request, Stream, text
from frontends.control.frontend import Frontend
from frontends.wire.codec import encode
from frontends.wire.tailcfg.ssh import SSHAction


async def answer_set_dns(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer `POST /machine/set-dns`: `tailscale cert` says that it cannot."""
    return text(501, "this server sets no DNS records")


async def answer_update_health(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer `POST /machine/update-health`, of clients up to capver 125."""
    return Answer(204)


async def answer_feature(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer `POST /machine/feature/query` for `tailscale serve` and `funnel`."""
    return Answer(200, b'{"Complete":false,"Text":"this server does not offer the feature"}', JSON)


async def answer_id_token(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer `POST /machine/id-token`."""
    return text(501, "this server issues no tokens")


async def answer_device_attribute(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer `PATCH /machine/set-device-attr`."""
    return text(501, "this server keeps no device attributes")


async def answer_audit_log(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer `POST /machine/audit-log`: a status of 4xx would drop the entry, one of 5xx repeat it."""
    return Answer(200)


async def answer_ssh_check(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer what a client asks about a held SSH connection: nobody can confirm one here yet, so it is refused."""
    action = SSHAction(
        reject=True, message="This connection needs a check, which this server does not offer yet.\r\n"
    )
    return Answer(200, encode(action), JSON)


async def answer_unknown(_frontend: Frontend, _request: Request, _stream: Stream) -> Answer:
    """Answer everything else, tailnet lock included."""
    return text(404, "no such page")
