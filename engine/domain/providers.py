"""Decisions about providers: accounts at which nodes are registered so that its relays know them.

Rule 1: an account number comes sealed (`engine.application.sealing`); one that is not is refused, whoever sends it.
Rule 2: who says another address says the account number too: else it could be sent to somebody who does not have it.
Rule 3: a provider with devices or relays goes only with `cascade`, which tells the provider nothing.
"""

import ipaddress
import re
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from engine.domain.aggregates import Peer
from engine.domain.command import Ref
from engine.domain.decision import Decision
from engine.domain.device import Provider
from engine.domain.devicemasq import lives_by
from engine.domain.errors import Conflict, Invalid, NotFound
from engine.domain.events import Event
from engine.domain.pairs import listed_few, named
from engine.domain.providercommands import AddProvider, RemoveProvider, UpdateProvider
from engine.domain.providerevents import (
    DeviceForgotten,
    DeviceRetried,
    PeerProviderSet,
    ProviderAdded,
    ProviderRemoved,
    ProviderUpdated,
)
from engine.domain.refs import number_of
from engine.domain.state import Tailnet
from engine.domain.values import NodeId, ProviderId
from engine.domain.wgevents import ConnectionRemoved

KINDS: Final = {"mullvad": "https://api.mullvad.net", "http": ""}
"""How a provider is spoken to, and where it is if nobody says (mullvadvpn-app, mullvad-api/src/lib.rs: API_HOST_DEFAULT)."""
SEALED: Final = "sealed:"
"""How every sealed text begins (`KeyRing.seal`)."""
MAX_PROVIDERS: Final = 100
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_ACCOUNT: Final = re.compile(r"[!-~]{1,128}")


def checked_account(text: str) -> str:
    """Return an account number as providers take it: without the blanks that people put between digits.

    Raises:
        Invalid: `provider.account`; what was given is not repeated.
    """
    bare = "".join(text.split())
    whole = bare if bare.isdigit() else text.strip()
    if not _ACCOUNT.fullmatch(whole):
        raise Invalid(
            "provider.account", "an account number is 1 to 128 printable characters", field="account"
        )
    return whole


def add_provider(tailnet: Tailnet, command: AddProvider) -> Decision:
    """Decide on a new provider.

    Raises:
        Invalid: `provider.kind`, `provider.url`, `provider.name`, `provider.account`.
        Conflict: `provider.name_taken`, `provider.many`.
    """
    provided = tailnet.provided
    if command.kind not in KINDS:
        raise Invalid(
            "provider.kind",
            f"{command.kind[:80]!r} is not a kind of provider: {' or '.join(KINDS)}",
            field="kind",
        )
    if len(provided.providers) >= MAX_PROVIDERS:
        raise Conflict("provider.many", f"there are {MAX_PROVIDERS} providers already")
    provider = Provider(
        id=provided.next_provider,
        name=_checked_name(tailnet, command.name),
        kind=command.kind,
        base_url=_checked_url(command.base_url or KINDS[command.kind]),
        quota=command.quota,
        account=_sealed(command.account),
    )
    event = ProviderAdded(
        provider=provider.id,
        name=provider.name,
        kind=provider.kind,
        base_url=provider.base_url,
        quota=provider.quota,
        account=provider.account,
    )
    return Decision(events=(event,), result=described(provider))


def update_provider(tailnet: Tailnet, command: UpdateProvider) -> Decision:
    """Decide on another name, address, quota or account; what failed is tried again.

    Raises:
        NotFound: `provider.not_found`.
        Invalid: `provider.name`, `provider.url`, `provider.account`.
        Conflict: `provider.name_taken`, `provider.account_needed`.
    """
    before = provider_of(tailnet, command.provider)
    after = before
    if command.name is not None and command.name != before.name:
        after = replace(after, name=_checked_name(tailnet, command.name))
    if command.base_url is not None:
        after = replace(after, base_url=_checked_url(command.base_url or KINDS[before.kind]))
    if command.quota is not None:
        after = replace(after, quota=command.quota)
    if command.account is not None:
        after = replace(after, account=_sealed(command.account))
    elif after.base_url != before.base_url:
        raise Conflict(
            "provider.account_needed",
            f"another address of {before.name} needs the account number again, since it will be sent there",
            field="account",
            hint=f"netmap provider update {before.name} --url URL --account-file FILE",
        )
    if after == before:
        return Decision(result=described(before))
    event = ProviderUpdated(
        provider=after.id,
        name=after.name,
        base_url=after.base_url,
        quota=after.quota,
        account=after.account,
    )
    failed = [device for device in tailnet.provided.devices_at(before.id) if device.failure]
    again = (DeviceRetried(device=device.id, node=device.node) for device in failed)
    warnings = []
    places = tailnet.provided.places(before.id)
    if after.quota < places:
        warnings.append(f"provider.quota: {places} devices have a place; none of them is put out")
    return Decision(events=(event, *again), result=described(after), warnings=tuple(warnings))


def remove_provider(tailnet: Tailnet, command: RemoveProvider) -> Decision:
    """Decide to remove the provider (rule 3).

    Raises:
        NotFound: `provider.not_found`.
        Conflict: `provider.in_use`.
    """
    provider, provided = provider_of(tailnet, command.provider), tailnet.provided
    devices = list(provided.devices_at(provider.id))
    relays = sorted(provided.relays.get(provider.id, ()))
    if (devices or relays) and not command.cascade:
        raise Conflict(
            "provider.in_use",
            f"{provider.name} has {len(devices)} devices ({listed_few([node_text(tailnet, one.node) for one in devices])}) "
            f"and {len(relays)} relays",
            field="provider",
            hint=f"netmap provider withdraw {provider.name} NODE for each, or with all of them, and nothing revoked: "
            f"netmap provider remove {provider.name} --cascade",
        )
    ended = [
        ConnectionRemoved(node=node, peer=peer)
        for peer in relays
        for node in sorted(tailnet.nodes_of_peer.get(peer, ()))
    ]
    events: list[Event] = [*ended]
    events += [PeerProviderSet(peer=peer) for peer in relays]
    events += [DeviceForgotten(device=one.id, node=one.node) for one in devices]
    known = [node_text(tailnet, one.node) for one in devices if one.was_told]
    warnings = []
    if known:
        what = f"{provider.name} still knows the keys of {listed_few(known)}: revoke them there by hand"
        warnings.append(f"provider.unrevoked: {what}")
    if ended:
        warnings.append(f"provider.connections: {len(ended)} connections went with it")
    return Decision(
        events=(*events, ProviderRemoved(provider=provider.id)),
        result={"id": provider.id, "name": provider.name},
        warnings=tuple(warnings),
    )


def provider_change(
    tailnet: Tailnet, peer: Peer, ref: Ref | Literal[""] | None
) -> tuple[PeerProviderSet, ...]:
    """Return what makes the peer a relay of the provider: of no one, if the reference is empty; None changes nothing.

    Raises:
        NotFound: `provider.not_found`.
        Conflict: `provider.connected`.
    """
    if ref is None:
        return ()
    provided = tailnet.provided
    before = provided.provider_of_peer.get(peer.id)
    after = None if ref == "" else provider_of(tailnet, ref).id
    if after == before:
        return ()
    devices = [] if before is None else provided.devices_at(before)
    living = [one.node for one in devices if any(held.peer == peer.id for held in lives_by(tailnet, one))]
    if living:
        raise Conflict(
            "provider.connected",
            f"nodes are connected to {named(peer)} with addresses of its provider: "
            + listed_few([node_text(tailnet, node) for node in living]),
            field="provider",
            hint="end these connections first",
        )
    return (PeerProviderSet(peer=peer.id, provider=after),)


def provider_of(tailnet: Tailnet, ref: Ref, *, field: str = "provider") -> Provider:
    """Return the provider with this id or name.

    Raises:
        NotFound: `provider.not_found`.
    """
    provided = tailnet.provided
    number = number_of(ref)
    found = provided.by_name.get(str(ref).lower()) if number is None else ProviderId(number)
    provider = None if found is None else provided.providers.get(found)
    if provider is None:
        raise NotFound(
            "provider.not_found",
            f"provider {str(ref)[:80]!r} not found",
            field=field,
            hint="netmap provider list shows all; netmap provider add makes one",
        )
    return provider


def node_text(tailnet: Tailnet, number: NodeId) -> str:
    """Return `id(name)` of a node that may be gone."""
    node = tailnet.nodes.get(number)
    return f"{number}(gone)" if node is None else f"{number}({node.name})"


def described(provider: Provider) -> dict[str, object]:
    """Return what a reply says of a provider."""
    return {
        "id": provider.id,
        "name": provider.name,
        "kind": provider.kind,
        "baseUrl": provider.base_url,
        "quota": provider.quota,
    }


def _sealed(text: str) -> str:
    if not text.startswith(SEALED):
        raise Invalid("provider.account", "an account number is sealed before it gets here", field="account")
    return text


def _checked_name(tailnet: Tailnet, name: str) -> str:
    if not _LABEL.fullmatch(name) or name.isdigit():
        raise Invalid(
            "provider.name",
            f"{name[:80]!r} cannot be a provider's name: 1 to 63 of a-z, 0-9 and inner -, and no number",
            field="name",
        )
    if name in tailnet.provided.by_name:
        raise Conflict("provider.name_taken", f"there is a provider {name} already", field="name")
    return name


def _checked_url(text: str) -> str:
    """Return where a provider is, in its one form: no slash at the end.

    Plain http is taken only towards a loopback address, for which the engine's settings must have a word too.
    """
    wrong = Invalid(
        "provider.url",
        "a provider's address is https://HOST, with a port and a path if need be, and nothing else in it; http only "
        "towards a loopback address",
        field="baseUrl",
    )
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    is_loopback = _is_loopback(host)
    is_host = bool(_HOST.fullmatch(host)) or is_loopback
    path = parts.path.rstrip("/")
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment) and "@" not in text
    if not (is_host and is_plain and _PATH.fullmatch(path)):
        raise wrong
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise wrong
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{'' if port is None else f':{port}'}{path}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
