"""The steps that make a peer what is wanted.

Rule 1: a peer is known by its name; under a name that nobody has, by its key: then it is renamed.
Rule 2: of allowed IPs, endpoints and tags the order means nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from engine.domain.command import Command
from engine.domain.commands import (
    DisablePeer,
    DrainPeer,
    EnablePeer,
    MovePeer,
    RegisterPeer,
    RenamePeer,
    SetMasqueradePool,
    UndrainPeer,
    UpdatePeer,
)
from engine.domain.events import ExtraConfig
from engine.domain.keys import wireguard_base64
from engine.domain.values import NodeKey
from frontends.cli.declared.present import NowPeer
from frontends.cli.declared.steps import Change, Phase, Step, changed
from frontends.cli.declared.wanted import WantedPeer

_EXTRA = {
    "exitNodeDNSResolvers": "exit_node_dns_resolvers",
    "suggestExitNode": "suggest_exit_node",
    "tags": "tags",
    "location": "location",
}


class Target(NamedTuple):
    """A peer, as it is and as it is wanted; at least one of the two."""

    now: NowPeer | None
    want: WantedPeer | None

    @property
    def name(self) -> str:
        """Its name, at the end."""
        return self.want.name if self.want is not None else self.now.name if self.now is not None else ""

    @property
    def ref(self) -> int | str:
        """How commands name it."""
        return self.name if self.now is None else self.now.id

    @property
    def is_pooled(self) -> bool:
        """Whether it will have a pool of masquerade addresses."""
        one = self.want or self.now
        return one is not None and bool(one.pool_v4 or one.pool_v6)

    @property
    def allowed_ips(self) -> tuple[str, ...]:
        """What it will route."""
        one = self.want or self.now
        return () if one is None else one.allowed_ips

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where it will be."""
        one = self.want or self.now
        return () if one is None else one.endpoints


def peer_steps(now: NowPeer | None, want: WantedPeer, user: str, managed_by: str) -> Iterator[Step]:
    """Yield the steps of one peer; `user` is the owner's name."""
    if now is None:
        yield from _created(want, user, managed_by)
        return
    if now.name != want.name:
        yield _step(want, RenamePeer(peer=now.id, name=want.name), changed("name", now.name, want.name))
    if now.user != user:
        yield _step(want, MovePeer(peer=now.id, user=user), changed("user", now.user, user))
    updates = _updates(now, want, managed_by)
    if updates is not None:
        yield updates
    pools = _pools(now.pool_v4, now.pool_v6, want)
    if pools:
        yield _step(want, SetMasqueradePool(peer=now.id, ipv4=want.pool_v4, ipv6=want.pool_v6), pools)
    yield from _switched(now, want)


def _created(want: WantedPeer, user: str, managed_by: str) -> Iterator[Step]:
    command = RegisterPeer(
        name=want.name,
        user=user,
        public_key=want.public_key,
        allowed_ips=want.allowed_ips,
        endpoints=want.endpoints,
        extra_config=_extra(want.extra),
        managed_by=managed_by,
    )
    said = (
        ("user", user),
        ("publicKey", wireguard_base64(want.public_key)),
        ("allowedIps", want.allowed_ips),
        ("endpoints", want.endpoints),
        *_extra(want.extra).items(),
        ("managedBy", managed_by),
    )
    changes = [change for name, value in said if value for change in changed(name, None, value)]
    yield _step(want, command, changes, "create")
    pools = _pools("", "", want)
    if pools:
        pool = SetMasqueradePool(peer=want.name, ipv4=want.pool_v4, ipv6=want.pool_v6)
        yield _step(want, pool, pools, "create")
    if want.drained:
        yield _step(want, DrainPeer(peer=want.name), changed("drained", old=None, new=True), "create")
    if want.disabled:
        step = _step(want, DisablePeer(peer=want.name), changed("disabled", old=None, new=True), "create")
        yield step._replace(phase=Phase.DISABLE)  # nobody can be connected to a disabled peer


def _updates(now: NowPeer, want: WantedPeer, managed_by: str) -> Step | None:
    """Return the one command for all that a peer is and where."""
    fields: dict[str, object] = {}
    changes: list[Change] = []
    if now.public_key != want.public_key:
        fields["public_key"] = want.public_key
        old = wireguard_base64(NodeKey(now.public_key))
        changes += changed("publicKey", old, wireguard_base64(want.public_key))
    for name, field in (("allowedIps", "allowed_ips"), ("endpoints", "endpoints")):
        old_texts, texts = getattr(now, field), getattr(want, field)
        if set(old_texts) != set(texts):
            fields[field] = texts
            changes += changed(name, old_texts, texts)
    extra: dict[str, object] = {}
    for name, field in _EXTRA.items():
        was, will = getattr(now.extra, field), getattr(want.extra, field)
        if was != will and not (name == "tags" and set(was) == set(will)):
            extra[name] = _extra(want.extra).get(name)
            changes += changed(name, _extra(now.extra).get(name), extra[name])
    if extra:
        fields["extra_config"] = extra
    if managed_by and now.managed_by != managed_by:
        fields["managed_by"] = managed_by
        changes += changed("managedBy", now.managed_by, managed_by)
    if not fields:
        return None
    return _step(want, UpdatePeer(peer=now.id, **fields), changes)  # type: ignore[arg-type]


def _extra(extra: ExtraConfig) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(extra)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _pools(old_v4: str, old_v6: str, want: WantedPeer) -> list[Change]:
    return changed("masqPool.ipv4", old_v4, want.pool_v4) + changed("masqPool.ipv6", old_v6, want.pool_v6)


def _switched(now: NowPeer, want: WantedPeer) -> Iterator[Step]:
    if want.drained is not None and want.drained != now.drained:
        drain = DrainPeer(peer=now.id) if want.drained else UndrainPeer(peer=now.id)
        yield _step(want, drain, changed("drained", now.drained, want.drained))
    if want.disabled is not None and want.disabled != now.disabled:
        changes = changed("disabled", now.disabled, want.disabled)
        if want.disabled:
            yield _step(want, DisablePeer(peer=now.id), changes)._replace(phase=Phase.DISABLE)
        else:
            yield _step(want, EnablePeer(peer=now.id), changes)


def _step(want: WantedPeer, command: Command, changes: list[Change], what: str = "change") -> Step:
    return Step(Phase.PEERS, what, "peer", want.name, tuple(changes), command)
