"""The newest soft facts of every node, with the leases of the frontends that said them.

Rule 1: `contracts.soft.newer` decides, in any order of arrival, any number of times.
Rule 2: a lease runs by this process's own monotonic clock, from the last thing heard of the frontend: clocks of
        different hosts are never compared. A frontend whose lease is over has no sessions: its `online` counts no more.
Rule 3: what is undecodable on the bus, or said in another frontend's name, is dropped and counted, never fatal: soft state is nobody's truth.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from engine.contracts.soft import LEASE_MILLIS, SoftFact, SoftState, is_own_word, newer
from engine.domain.values import NodeId
from engine.ports import Message
from projections.inventory.rows import Presence

_DECODER: Final = msgspec.json.Decoder(SoftState)


class _Hostinfo(msgspec.Struct, frozen=True):
    """What is shown of a client's Hostinfo (tailcfg.Hostinfo, Tailscale v1.102)."""

    ipn_version: str = msgspec.field(default="", name="IPNVersion")
    os: str = msgspec.field(default="", name="OS")


_HOSTINFO: Final = msgspec.json.Decoder(_Hostinfo)


class SoftCache:
    """What frontends have said; `monotonic` gives seconds that never go back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.undecodable = 0
        self.foreign = 0
        self._monotonic = monotonic
        self._facts: dict[NodeId, SoftFact] = {}
        self._heard: dict[str, float] = {}

    def receive(self, message: Message) -> None:
        """Take in what came on a `soft.<frontend>.state` subject."""
        try:
            state = _DECODER.decode(message.data)
        except msgspec.MsgspecError:
            self.undecodable += 1
            return
        if not is_own_word(state, message.subject):
            self.foreign += 1
            return
        self._heard[state.origin] = self._monotonic()
        for fact in state.facts:
            if newer(fact, self._facts.get(fact.node)):
                # A decoded Raw is a window into the message: a copy lets the message go.
                self._facts[fact.node] = msgspec.structs.replace(fact, hostinfo=fact.hostinfo.copy())

    def forget(self, node: NodeId) -> None:
        """Let go of a node that has been deleted."""
        self._facts.pop(node, None)

    def presence(self, node: NodeId) -> Presence | None:
        """Return what is known of the node now; None when nothing was heard."""
        fact = self._facts.get(node)
        if fact is None:
            return None
        hostinfo = _hostinfo(fact.hostinfo)
        return Presence(
            online=fact.online and self._is_alive(fact.origin),
            last_seen=fact.last_seen,
            endpoints=fact.endpoints,
            home_derp=fact.home_derp,
            os=hostinfo.os,
            client_version=hostinfo.ipn_version,
            capver=fact.capver,
            frontend=fact.origin,
            exit_node=fact.exit_node,
        )

    def _is_alive(self, origin: str) -> bool:
        heard = self._heard.get(origin)
        return heard is not None and (self._monotonic() - heard) * 1_000 <= LEASE_MILLIS


def _hostinfo(raw: msgspec.Raw) -> _Hostinfo:
    try:
        return _HOSTINFO.decode(raw)
    except msgspec.MsgspecError:
        return _Hostinfo()
