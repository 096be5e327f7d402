"""Which path is whose, inside Noise. The method matters where the table says so; authorities mean nothing."""

from collections.abc import Mapping
from typing import Final

from frontends.control import other
from frontends.control.exchange import Handler, Request
from frontends.control.map import answer_map
from frontends.control.register import answer_register
from frontends.control.shells import CHECK_PATH

ROUTES: Final[Mapping[tuple[str, str], Handler]] = {
    ("POST", "/machine/register"): answer_register,
    ("POST", "/machine/map"): answer_map,
    ("POST", "/machine/set-dns"): other.answer_set_dns,
    ("POST", "/machine/update-health"): other.answer_update_health,
    ("POST", "/machine/feature/query"): other.answer_feature,
    ("POST", "/machine/id-token"): other.answer_id_token,
    ("PATCH", "/machine/set-device-attr"): other.answer_device_attribute,
    ("POST", "/machine/audit-log"): other.answer_audit_log,
}


def route(request: Request) -> Handler:
    """Return who answers the request."""
    path = request.path.partition("?")[0]
    if request.method == "GET" and path.startswith(CHECK_PATH):
        return other.answer_ssh_check
    return ROUTES.get((request.method, path), other.answer_unknown)
