"""A provider that speaks the small protocol of `docs/providers.md`.

    PUT    /v1/keys/<key>   → 200 {"reference": "…", "ipv4": "…", "ipv6": "…"}
    DELETE /v1/keys/<key>   → 204, or 404 when it is not known
    GET    /v1/relays       → 200, the list as `netmap wg import-relays` reads it

Rule 1: `<key>` is 64 hex digits; the account number is the Bearer token; an error is `{"code": "…"}`.
Rule 2: to put a key that is known already gives the same answer, so no answer that was lost is lost for good.
"""

from typing import Final

import msgspec

from engine.adapters.provider.answers import decoded, registered, trouble_of
from engine.adapters.provider.redaction import code_of
from engine.adapters.provider.web import MAX_RELAYS, Reply, Web
from engine.domain.device import FULL
from engine.domain.values import NodeKey
from engine.providerports import ProviderTrouble, Registered

_OK: Final = 200
_EMPTY: Final = 204
_MISSING: Final = 404
_LASTING: Final = {"quota": FULL, "account": "provider.account"}
_UNKNOWN: Final = frozenset({401, 403})


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    reference: str
    ipv4: str | None = None
    ipv6: str | None = None


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    code: str = ""


class HttpProvider:
    """A `ProviderClient` of one provider."""

    def __init__(self, web: Web, base_url: str) -> None:
        self._web: Final = web
        self._base: Final = base_url

    async def register_key(self, account: str, key: NodeKey) -> Registered:
        """Let the provider know a key.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        reply = await self._web.call("PUT", self._of(key), token=account, body={})
        if reply.status != _OK:
            raise _trouble(reply)
        found = decoded(reply, _Key)
        return registered(found.reference, found.ipv4, found.ipv6)

    async def revoke(self, account: str, key: NodeKey, reference: str) -> None:  # noqa: ARG002 (the key says it)
        """Let the provider know a key no more.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        reply = await self._web.call("DELETE", self._of(key), token=account)
        if reply.status not in {_OK, _EMPTY, _MISSING}:
            raise _trouble(reply)

    async def relays(self) -> bytes:
        """Return the provider's list of relays.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        reply = await self._web.call("GET", f"{self._base}/v1/relays", limit=MAX_RELAYS)
        if reply.status != _OK:
            raise _trouble(reply)
        return reply.data

    def _of(self, key: NodeKey) -> str:
        return f"{self._base}/v1/keys/{key.partition(':')[2]}"


def _trouble(reply: Reply) -> ProviderTrouble:
    try:
        code = code_of(msgspec.json.decode(reply.data, type=_Error).code)
    except (msgspec.MsgspecError, ValueError):
        code = ""
    unknown = "provider.account" if reply.status in _UNKNOWN else "provider.refused"
    return trouble_of(reply.status, code, _LASTING.get(code, unknown))
