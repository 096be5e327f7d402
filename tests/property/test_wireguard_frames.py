"""Whatever happens in a tailnet, every WireGuard-only peer that a client is ever sent is one that clients can live with."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings

from engine.domain.events import DerpMapSet, Event, LogStarted
from engine.domain.values import NodeId
from frontends.control.session import End, Session
from tests.kit.client_view import ClientView
from tests.kit.histories import events_of, steps
from tests.kit.policy_stage import TIME, Stage

Json = dict[str, Any]
CAPVERS = (102, 104, 142)
TAILNET = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))
DOH = 26
"""From this capability version on clients believe that a peer answers DNS by HTTPS (tailscale tailcfg)."""


def faults(peer: Json) -> Iterator[str]:
    """Yield what clients cannot live with in a WireGuard-only peer as it is sent (scenario N35)."""
    label, dot, rest = peer["Name"].partition(".")
    if not (label and dot and rest.endswith(".") and rest.strip(".")):
        yield f"{peer['Name']!r} is no name with a domain and a dot at its end"
    if not isinstance(peer.get("Hostinfo"), dict):
        yield "it has no Hostinfo"
    own = [ipaddress.ip_interface(text).ip for text in peer["Addresses"]]
    if not any(address in network for address in own for network in TAILNET):
        yield "it has no address of the tailnet"
    if not set(peer["Addresses"]) <= set(peer["AllowedIPs"]):
        yield "its own addresses are not routed to it"
    for text in peer["AllowedIPs"]:
        if str(ipaddress.ip_network(text, strict=False)) != text:
            yield f"{text} has host bits"
    if peer.get("Cap", 0) >= DOH:
        yield f"capability version {peer['Cap']}"
    if not peer.get("IsWireGuardOnly"):
        yield "it is not said to be WireGuard-only"


class Watcher:
    """A client of one node; it notes every WireGuard-only peer that is sent to it."""

    def __init__(self, stage: Stage, node: int, capver: int) -> None:
        self.stage, self.node = stage, node
        self.session = Session(NodeId(node), capver)
        self.view = ClientView(capver)
        self.sent = 0

    def look(self) -> None:
        """Take the next frame, if there is one, and judge what it says; a client that is sent away comes anew."""
        if self.session.told is None:
            whole = self.session.first(self.stage.view, self.stage.lists, TIME)
            if isinstance(whole, End):
                return
            self._judge(whole.head + b"".join(whole.peers) + whole.tail)
            return
        text = self.session.next(self.stage.view, TIME)
        if isinstance(text, End):
            self.session, self.view = (
                Session(NodeId(self.node), self.view.capver),
                ClientView(self.view.capver),
            )
        elif text is not None:
            self._judge(text)

    def _judge(self, text: bytes) -> None:
        frame = self.view.apply(text)
        sent = [*frame.get("Peers", ()), *frame.get("PeersChanged", ())]
        held = self.view.peers.values()
        for peer in [*sent, *held]:
            if peer["ID"] >= 100_000_001:
                self.sent += 1
                assert not list(faults(peer)), peer


def watched(events: Iterable[Event]) -> int:
    """Tell the events one by one to clients of all nodes; return how often a WireGuard-only peer was judged."""
    stage = Stage()
    watchers = [Watcher(stage, node, capver) for node in (1, 2, 3) for capver in CAPVERS]
    for event in events:
        if not isinstance(event, LogStarted | DerpMapSet):  # those of `histories.py` are no relays
            stage.tell(event)
        for watcher in watchers:
            watcher.look()
    return sum(watcher.sent for watcher in watchers)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps(restores=False))
def test_n35_every_peer_that_is_sent_is_one_that_clients_can_live_with(course: list[Any]) -> None:
    watched(events_of(course))


def test_n35_a_story_with_all_that_can_happen_to_peers_sends_some() -> None:
    """Else the property above would say nothing."""
    course = [("user", 0, 0), ("node", 0, 0), ("peer", 0, 0), ("connect", 0, 0)]
    course += [("peer_change", 0, number) for number in range(18)] + [("settings", 1, 0)]
    course += [("peer_switch", 0, number) for number in range(6)]
    assert watched(events_of(course)) > 60


def test_n35_each_fault_is_found() -> None:
    good = {
        "Name": "exit.netmap.internal.",
        "Hostinfo": {},
        "Addresses": ["100.96.0.1/32"],
        "AllowedIPs": ["100.96.0.1/32", "10.0.0.0/8"],
        "IsWireGuardOnly": True,
    }
    assert list(faults(good)) == []
    bad = (
        {"Name": "exit"},
        {"Name": "exit."},
        {"Hostinfo": None},
        {"Addresses": ["10.1.1.1/32"], "AllowedIPs": ["10.1.1.1/32"]},
        {"AllowedIPs": ["10.0.0.0/8"]},
        {"AllowedIPs": ["100.96.0.1/32", "10.0.0.1/8"]},
        {"Cap": 26},
        {"IsWireGuardOnly": False},
    )
    for change in bad:
        assert len(list(faults(good | change))) == 1, change
