"""The devices of an account at Mullvad.

As its own application and script use it (github.com/mullvad: mullvadvpn-app, mullvad-api/src/{access,device,lib,rest}.rs;
wg-tools, wg-mullvad.py); never tried on the real service from here: there was no way out.

    POST   /auth/v1/token               {"account_number"} → {"access_token", "expiry"}
    GET    /accounts/v1/devices         → [{"id", "pubkey", "ipv4_address", "ipv6_address", …}]
    POST   /accounts/v1/devices         {"pubkey", "hijack_dns"} → 201, such a device
    DELETE /accounts/v1/devices/<id>    → 204
    GET    /app/v1/relays

Rule 1: a key that the account has already is looked for first: to make it again is an error there.
Rule 2: a key may be in use although no device has it, for five minutes after its device was removed (wg-mullvad.py): that
        passes by itself.
Rule 3: the access token is kept until it expires, or is refused, and never longer than this process lives.
"""

import base64
from datetime import datetime
from typing import Final

import msgspec

from engine.adapters.provider.answers import decoded, is_reference, registered, trouble_of
from engine.adapters.provider.redaction import code_of
from engine.adapters.provider.web import MAX_RELAYS, Reply, Web
from engine.domain.device import FULL
from engine.domain.values import NodeKey
from engine.ports import Clock
from engine.providerports import ProviderTrouble, Registered

_OK: Final = 200
_CREATED: Final = 201
_EMPTY: Final = 204
_UNAUTHORIZED: Final = 401
_MISSING: Final = 404
_IN_USE: Final = "PUBKEY_IN_USE"
_GONE: Final = "DEVICE_NOT_FOUND"
_LASTING: Final = {"MAX_DEVICES_REACHED": FULL, "INVALID_ACCOUNT": "provider.account"}
_EARLY_MILLIS: Final = 60_000
"""A token is not used in its last minute."""


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    expiry: datetime


class _Device(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    pubkey: str
    ipv4_address: str | None = None
    ipv6_address: str | None = None


class MullvadProvider:
    """A `ProviderClient` of Mullvad."""

    def __init__(self, web: Web, base_url: str, clock: Clock) -> None:
        self._web: Final = web
        self._base: Final = base_url
        self._clock: Final = clock
        self._tokens: Final[dict[str, _Token]] = {}

    def __repr__(self) -> str:
        return "MullvadProvider(…)"

    async def register_key(self, account: str, key: NodeKey) -> Registered:
        """Let Mullvad know a key; it becomes a device of the account.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        wanted = _base64(key)
        device = await self._find(account, wanted)
        if device is None:
            body = {"pubkey": wanted, "hijack_dns": False}
            reply = await self._call("POST", "/accounts/v1/devices", account, body)
            if reply.status == _CREATED:
                device = decoded(reply, _Device)
            elif _code(reply) == _IN_USE:
                device = await self._find(account, wanted)
                if device is None:
                    raise ProviderTrouble("provider.key_in_use", f"status {reply.status} {_IN_USE}")
            else:
                raise _trouble(reply)
        if device.pubkey != wanted:
            raise ProviderTrouble("provider.answer", "another key than was given")
        return registered(device.id, device.ipv4_address, device.ipv6_address)

    async def revoke(self, account: str, key: NodeKey, reference: str) -> None:
        """Remove the device with the key.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        if not is_reference(reference):
            device = await self._find(account, _base64(key))
            if device is None or not is_reference(device.id):
                return
            reference = device.id
        reply = await self._call("DELETE", f"/accounts/v1/devices/{reference}", account)
        if reply.status not in {_OK, _EMPTY, _MISSING} and _code(reply) != _GONE:
            raise _trouble(reply)

    async def relays(self) -> bytes:
        """Return Mullvad's list of relays, as its application reads it.

        Raises:
            ProviderTrouble: see `ProviderClient`.
        """
        reply = await self._web.call("GET", f"{self._base}/app/v1/relays", limit=MAX_RELAYS)
        if reply.status != _OK:
            raise _trouble(reply)
        return reply.data

    async def _find(self, account: str, wanted: str) -> _Device | None:
        reply = await self._call("GET", "/accounts/v1/devices", account)
        if reply.status != _OK:
            raise _trouble(reply)
        return next((one for one in decoded(reply, list[_Device]) if one.pubkey == wanted), None)

    async def _call(self, method: str, path: str, account: str, body: object = None) -> Reply:
        """Call with the account's token; with a fresh one, when the kept one is refused (rule 3)."""
        was_kept = account in self._tokens
        token = await self._token(account)
        reply = await self._web.call(method, self._base + path, token=token, body=body)
        if reply.status == _UNAUTHORIZED:
            self._tokens.pop(account, None)
            if was_kept:
                return await self._call(method, path, account, body)
        return reply

    async def _token(self, account: str) -> str:
        held = self._tokens.get(account)
        if held is not None and held.expiry.timestamp() * 1_000 > self._clock.now() + _EARLY_MILLIS:
            return held.access_token
        reply = await self._web.call("POST", f"{self._base}/auth/v1/token", body={"account_number": account})
        if reply.status not in {_OK, _CREATED}:
            raise _trouble(reply)
        self._tokens[account] = fresh = decoded(reply, _Token)
        return fresh.access_token


def _base64(key: NodeKey) -> str:
    return base64.b64encode(bytes.fromhex(key.partition(":")[2])).decode("ascii")


def _code(reply: Reply) -> str:
    """Return the code of an error, which has two forms (mullvad-api/src/rest.rs): `code`, or `type`."""
    try:
        found = msgspec.json.decode(reply.data, type=dict[str, object])
    except (msgspec.MsgspecError, ValueError):
        return ""
    return code_of(found.get("code")) or code_of(found.get("type"))


def _trouble(reply: Reply) -> ProviderTrouble:
    code = _code(reply)
    unknown = "provider.account" if reply.status == _UNAUTHORIZED else "provider.refused"
    return trouble_of(reply.status, code, _LASTING.get(code, unknown))
