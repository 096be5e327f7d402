"""Each kind of invisibility is made, `why` names its reason and its record, and what it says to type undoes it (N28)."""

import ipaddress
from collections.abc import Callable
from typing import NamedTuple

import pytest

from engine.domain.commands import (
    AddSelector,
    Command,
    DisablePeer,
    DrainPeer,
    ExpireNode,
    ExpirePeer,
    RecordExport,
    RegisterNode,
    RemoveConnection,
    RemovePeer,
    RemoveSelector,
    SetMasqueradePool,
    SetPolicy,
    SetWireGuardMode,
    TagNode,
    UpdateConnection,
    UpdatePeer,
)
from engine.domain.errors import NotFound
from engine.domain.events import Event, PeerUpdated, tag_of
from engine.domain.state import Tailnet
from projections.history.findings import Finding
from projections.history.traffic import is_multicast
from projections.history.way import SOON
from projections.inventory.rows import Presence
from tests.kit.reasons import Theatre, codes, found, is_typed
from tests.kit.scenario import peer_id, registration

RELAY = peer_id(1)
LOCATION = {
    "country": "Sweden",
    "countryCode": "SE",
    "city": "Gothenburg",
    "cityCode": "GOT",
    "latitude": 57.7,
    "longitude": 11.9,
    "priority": 1,
}
OPEN = '{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]}'


def theatre(**peer: object) -> Theatre:
    """Node 1, `laptop`, connected to `relay`, an exit."""
    made = Theatre()
    made.node("laptop")
    made.peer("relay", **peer)
    made.connect(1, RELAY, "10.64.0.2", "fd00::2")
    return made


def test_all_is_well_with_a_node_that_can_use_its_exit() -> None:
    at = theatre()
    said = at.why("laptop", "relay")
    assert (said.is_seen, said.is_usable) == (True, True)
    assert not codes(said, "blocks", "warn")
    assert {"connection.exists", "policy.bypass", "peer.enabled", "exit.ready", "masq.fits"} <= codes(
        said, "ok"
    )
    (record,) = at.record(found(said, "connection.exists"))
    assert tag_of(record.event) == "ConnectionAdded.v1"


class Case(NamedTuple):
    """What somebody does, the finding that must name it, its record, and whether the node still sees the peer."""

    does: Command
    code: str
    event: str
    is_seen: bool


CASES = (
    Case(RemoveConnection(node=1, peer=RELAY), "connection.missing", "ConnectionRemoved.v1", is_seen=False),
    Case(DisablePeer(peer=RELAY), "peer.disabled", "PeerDisabled.v1", is_seen=True),
    Case(ExpirePeer(peer=RELAY), "peer.expired", "PeerExpired.v1", is_seen=True),
    Case(ExpireNode(node=1), "node.expired", "NodeExpired.v1", is_seen=False),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_what_blocks_is_named_with_who_did_it_when_and_why_and_its_fix_undoes_it(case: Case) -> None:
    at = theatre()
    before = {finding.text for finding in at.why(1, RELAY).findings}
    at.later(1_000)
    at.actor, at.reason = "mallory", "spring cleaning"
    at.when(case.does)
    at.actor, at.reason = "operator", ""
    said = at.why(1, RELAY)
    assert codes(said, "blocks") == {case.code}
    assert (said.is_seen, said.is_usable) == (case.is_seen, False)
    assert at.sees(1, RELAY) is case.is_seen
    finding = found(said, case.code)
    record = at.record(finding)[-1]
    assert (tag_of(record.event), record.envelope.actor) == (case.event, "mallory")
    assert (record.envelope.at, record.envelope.reason) == (at.now, "spring cleaning")
    at.types(finding.fix)
    assert at.sees(1, RELAY)
    after = at.why(1, RELAY)
    assert after.is_usable
    assert {f.text for f in after.findings} - before <= {found(after, "connection.exists").text}


def test_what_two_did_is_named_apart() -> None:
    at = theatre()
    at.when(DisablePeer(peer=RELAY))
    at.when(ExpirePeer(peer=RELAY))
    said = at.why(1, RELAY)
    tags = {code: tag_of(at.record(found(said, code))[0].event) for code in ("peer.disabled", "peer.expired")}
    assert tags == {"peer.disabled": "PeerDisabled.v1", "peer.expired": "PeerExpired.v1"}


def test_a_connection_comes_back_as_it_was() -> None:
    at = Theatre()
    at.node("laptop")
    at.peer("site", allowed_ips=("10.1.0.0/16", "10.2.0.0/16"))
    at.types(
        f"netmap connection add --node-id 1 --wg-peer-id {RELAY} --ipv4-masq-addr 192.168.9.9 "
        "--allowed-ips 10.1.0.0/16 --unjailed"
    )
    before = at.folded.state.extras(at.tailnet.nodes[1].id)  # type: ignore[index]
    at.when(RemoveConnection(node=1, peer=RELAY))
    at.types(found(at.why(1, RELAY), "connection.missing").fix)
    assert at.folded.state.extras(at.tailnet.nodes[1].id) == before  # type: ignore[index]


def test_a_node_that_was_never_connected_is_told_how() -> None:
    at = theatre()
    at.node("phone")
    finding = found(at.why("phone", "relay"), "connection.missing")
    assert finding.made == ()
    assert finding.fix.endswith(" --ipv4-masq-addr ADDRESS")
    at.when(SetMasqueradePool(peer=RELAY, ipv4="10.64.0.0/24"))
    at.types(found(at.why("phone", "relay"), "connection.missing").fix)
    assert at.sees(2, RELAY)


# Selectors ---------------------------------------------------------------------------------------------------------


def selected() -> Theatre:
    at = Theatre()
    at.when(SetPolicy(text='{"tagOwners": {"tag:vpn": ["anna@"]}, ' + OPEN[1:]))
    at.node("laptop")
    at.peer("relay")
    at.when(SetMasqueradePool(peer=RELAY, ipv4="10.64.0.0/24"))
    at.when(AddSelector(selector="tag:vpn", peer=RELAY))
    at.when(TagNode(node=1, tags=("tag:vpn",)))
    assert at.sees(1, RELAY)
    return at


def test_a_selector_that_went_is_named_and_its_fix_brings_it_back() -> None:
    at = selected()
    assert "because tag:vpn is" in found(at.why(1, RELAY), "connection.exists").text
    at.when(RemoveSelector(selector="tag:vpn", peer=RELAY))
    assert not at.sees(1, RELAY)
    at.types(found(at.why(1, RELAY), "connection.missing").fix)
    assert at.sees(1, RELAY)


def test_a_node_that_lost_its_tag_is_told_which() -> None:
    at = selected()
    at.when(SetPolicy(text='{"tagOwners": {"tag:vpn": ["anna@"], "tag:x": ["anna@"]}, ' + OPEN[1:]))
    at.when(TagNode(node=1, tags=("tag:x",)))
    assert not at.sees(1, RELAY)
    finding = found(at.why(1, RELAY), "connection.missing")
    assert finding.fix == "netmap node tag laptop tag:x tag:vpn"
    at.types(finding.fix)
    assert at.sees(1, RELAY)


# Clients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capver", "code", "verdict", "is_seen"),
    [
        (59, "client.old", "blocks", False),
        (93, "client.old", "blocks", False),
        (94, "client.ipv6", "warn", True),
        (103, "client.ipv6", "warn", True),
        (104, "client.known", "ok", True),
    ],
)
def test_old_clients_are_told_what_they_lack(capver: int, code: str, verdict: str, *, is_seen: bool) -> None:
    at = theatre()
    said = at.why(1, RELAY, capver)
    assert (found(said, code).verdict, said.is_seen) == (verdict, is_seen)
    assert at.sees(1, RELAY, capver) is is_seen
    assert "masq.missing" not in codes(said, "warn"), "it has one, which its client is not told"


def test_what_a_client_said_last_counts_more_than_what_it_said_when_it_registered() -> None:
    at = theatre()
    old = Presence(online=True, capver=93)
    assert not at.why(1, RELAY, presence=lambda _node: old).is_seen
    assert at.why(1, RELAY, presence=lambda _node: None).is_seen


def test_offline_is_no_fault() -> None:
    at = theatre()
    said = at.why(1, RELAY, presence=lambda _node: Presence(online=False))
    assert found(said, "node.offline").verdict == "note"
    assert said.is_usable


def test_what_a_client_uses_now_is_told() -> None:
    at = theatre()
    stable = at.tailnet.peers[RELAY].stable_id
    using, other = (Presence(online=True, exit_node=exit_node) for exit_node in (stable, "n7"))
    assert "exit.used" in codes(at.why(1, RELAY, presence=lambda _node: using), "ok")
    assert "exit.used" not in codes(at.why(1, RELAY, presence=lambda _node: other), "ok")


def test_a_key_that_ends_within_a_week_is_warned_of() -> None:
    at = theatre()
    at.types("netmap node set-expiry laptop --in 6d")
    assert "node.key_expires" in codes(at.why(1, RELAY), "warn")
    at.types("netmap node set-expiry laptop --in 8d")
    assert "node.key_expires" not in codes(at.why(1, RELAY), "warn")
    at.later(SOON // 6)
    assert "node.key_expires" in codes(at.why(1, RELAY), "warn")


# Policies ----------------------------------------------------------------------------------------------------------


def test_a_policy_that_does_not_name_the_peer_is_named_with_a_rule_that_would() -> None:
    at = theatre()
    at.when(SetWireGuardMode(mode="enforce"))
    at.actor = "mallory"
    at.when(SetPolicy(text=OPEN))
    said, finding = at.why(1, RELAY), found(at.why(1, RELAY), "policy.refuses")
    assert codes(said, "blocks") == {"policy.refuses"}
    assert not at.sees(1, RELAY)
    assert at.record(finding)[-1].envelope.actor == "mallory"
    assert finding.fix == "netmap policy edit"
    rule = finding.text.partition("a rule that would: ")[2]
    at.when(SetPolicy(text=f'{{"grants": [{rule}]}}'))
    assert at.why(1, RELAY).is_usable
    assert at.sees(1, RELAY)


def test_the_mode_that_made_the_policy_rule_is_among_the_records_and_undoing_it_shows_the_peer() -> None:
    at = theatre()
    at.when(SetWireGuardMode(mode="enforce"))
    (record,) = at.record(found(at.why(1, RELAY), "policy.refuses"))[-1:]
    assert tag_of(record.event) == "WireGuardModeSet.v1"
    at.types("netmap settings set-wg-mode bypass")
    assert at.sees(1, RELAY)
    assert tag_of(at.record(found(at.why(1, RELAY), "policy.bypass"))[0].event) == "WireGuardModeSet.v1"


def test_the_rule_that_permits_is_named_by_its_line_and_what_the_policy_cuts_too() -> None:
    at = Theatre()
    at.node("laptop")
    at.peer("site", allowed_ips=("10.1.0.0/16", "10.2.0.0/16"))
    at.connect(1, RELAY, "192.168.9.9")
    at.when(SetWireGuardMode(mode="enforce"))
    acls = '{"acls": [\n{"action": "accept", "src": ["*"], "dst": ["*:*"]},\n'
    at.when(
        SetPolicy(
            text=acls + '{"action": "accept", "src": ["anna@"], "dst": ["10.1.0.0/16:443"], "proto": "tcp"}]}'
        )
    )
    said = at.why(1, RELAY)
    permits, cut = found(said, "policy.permits"), found(said, "policy.cut")
    assert (permits.rule, permits.line) == ("acls[1]", 3)
    assert "not 10.2.0.0/16" in cut.text
    assert {"policy.cut", "policy.ports"} <= codes(said, "warn")
    told = at.folded.scene().pair(at.tailnet.nodes[1], at.tailnet.peers[RELAY]).told  # type: ignore[index]
    assert told is not None
    assert told.routes == ("10.1.0.0/16",)


def test_half_an_exit_is_warned_of_where_it_comes_from() -> None:
    at = theatre(allowed_ips=("0.0.0.0/0",))
    finding = found(at.why(1, RELAY), "exit.one_default")
    assert "exit.half" not in codes(at.why(1, RELAY), "warn")
    at.types(finding.fix)
    assert "exit.ready" in codes(at.why(1, RELAY), "ok")
    at.when(UpdateConnection(node=1, peer=RELAY, allowed_ips=("0.0.0.0/0",)))
    finding = found(at.why(1, RELAY), "exit.half")
    at.types(finding.fix)
    assert "exit.ready" in codes(at.why(1, RELAY), "ok")


# Addresses, places, names ------------------------------------------------------------------------------------------

Change = Callable[[Theatre], object]


def updates(**fields: object) -> Change:
    return lambda at: at.when(UpdatePeer(peer=RELAY, **fields))  # type: ignore[arg-type]


def masquerades(ipv4: str, ipv6: str = "") -> Change:
    return lambda at: at.when(UpdateConnection(node=1, peer=RELAY, ipv4_masq_addr=ipv4, ipv6_masq_addr=ipv6))


WARNED: tuple[tuple[Change, str, str], ...] = (
    (masquerades("10.64.0.2"), "masq.missing", "warn"),
    (masquerades("10.64.0.2", "ff02:b::11"), "masq.multicast", "warn"),
    (masquerades("", "ff02:b::11"), "masq.none", "blocks"),
    (updates(allowed_ips=("10.0.0.0/8",)), "masq.unused", "warn"),
    (updates(allowed_ips=("10.0.0.0/8",)), "routes.accept", "note"),
    (updates(extra_config={"exitNodeDNSResolvers": ["10.64.0.1"]}), "dns.none", ""),
    (
        updates(extra_config={"exitNodeDNSResolvers": ["9.9.9.9"]}, allowed_ips=("10.0.0.0/8",)),
        "dns.outside",
        "warn",
    ),
    (updates(extra_config={"suggestExitNode": True}), "suggest.nowhere", "note"),
    (updates(extra_config={"suggestExitNode": True, "location": LOCATION}), "derp.coordinates", "warn"),
    (updates(extra_config={"suggestExitNode": True}, allowed_ips=("10.0.0.0/8",)), "suggest.no_exit", "warn"),
    (lambda at: at.when(DrainPeer(peer=RELAY)), "peer.drained", "warn"),
    (lambda at: at.when(registration_again()), "farside.stale", "warn"),
)


def registration_again() -> RegisterNode:
    """The laptop comes back with another key."""
    return registration("laptop", user=1, node_key="nodekey:" + "7" * 64)


@pytest.mark.parametrize(("change", "code", "verdict"), WARNED, ids=[code for _, code, _ in WARNED])
def test_what_does_not_work_is_told_and_only_then(change: Change, code: str, verdict: str) -> None:
    at = theatre()
    before = {f.code: f.verdict for f in at.why(1, RELAY).findings}
    change(at)
    after = {f.code: f.verdict for f in at.why(1, RELAY).findings}
    assert after.get(code, "") == verdict
    assert before.get(code) != after.get(code)


def test_what_can_only_be_in_a_log_of_former_times_is_told_too() -> None:
    """No command leaves a peer without a place, or with one inside its own tunnel; a log may."""
    for endpoints, allowed, code in (
        ((), ("0.0.0.0/0",), "endpoint.none"),
        (("10.9.9.9:51820",), ("10.0.0.0/8",), "endpoint.tunnel"),
        (("100.64.0.9:51820",), ("0.0.0.0/0",), "endpoint.tunnel"),
    ):
        at = theatre()
        peer = at.tailnet.peers[RELAY]
        happens(
            at, PeerUpdated(peer=RELAY, public_key=peer.public_key, allowed_ips=allowed, endpoints=endpoints)
        )
        assert code in codes(at.why(1, RELAY), "blocks")
        assert not at.why(1, RELAY).is_usable


def happens(at: Theatre, event: Event) -> None:
    from msgspec.structs import replace

    last = at.folded.log[-1]
    at.folded.take([replace(last, position=last.position + 1, event=event)])


def test_two_peers_of_a_node_that_route_the_same_are_named_both() -> None:
    at = theatre(allowed_ips=("10.0.0.0/8",))
    at.peer("site", allowed_ips=("10.9.0.0/16",))
    at.connect(1, peer_id(2), "192.168.9.9")
    for mine in (RELAY, peer_id(2)):
        finding = found(at.why(1, mine), "allowedips.overlap")
        assert finding.peer == mine
    at.types(found(at.why(1, RELAY), "allowedips.overlap").fix)
    assert "allowedips.overlap" not in codes(at.why(1, RELAY), "warn")


def test_every_fix_of_a_peer_is_a_command_that_exists_and_mends() -> None:
    changes: tuple[tuple[str, Change], ...] = (
        ("suggest.off", lambda _at: None),
        ("suggest.no_exit", WARNED[9][0]),
        ("peer.drained", WARNED[10][0]),
    )
    for code, change in changes:
        at = theatre()
        change(at)
        at.types(found(at.why(1, RELAY), code).fix)
        assert code not in {finding.code for finding in at.why(1, RELAY).findings}


# Gone --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["netmap wg nonsense x", "netmap wg enable --nonsense", "netmap why one"])
def test_a_command_line_that_nobody_understands_would_be_noticed(line: str) -> None:
    with pytest.raises(AssertionError):
        is_typed(line)


def test_every_fix_can_be_typed() -> None:
    fixes: set[str] = set()
    for change, _, _ in WARNED:
        at = theatre()
        change(at)
        fixes |= {finding.fix for finding in (*at.why(1, RELAY).findings, *at.doctor(besides=""))}
    assert len(fixes) > 10
    assert all(is_typed(line) for line in fixes - {""})


def test_who_removed_a_peer_stays_known_by_its_id_and_by_its_name() -> None:
    at = theatre()
    at.when(RemovePeer(peer=RELAY, cascade=True))
    with pytest.raises(NotFound):
        at.why(1, RELAY)
    gone = at.folded.causes.gone("peer", RELAY)
    assert gone is not None
    assert (gone.name, at.folded.causes.gone_by_name("peer", "relay")) == ("relay", (RELAY, gone))
    assert at.folded.causes.gone_by_name("peer", "rel") is None
    assert tag_of(at.folded.log[gone.position - 1].event) == "PeerRemoved.v1"
    assert at.folded.causes.of(("peer", RELAY), ("peer.allowed", RELAY), ("connection", 1, RELAY)) == ()


def test_a_tailnet_made_of_the_log_alone_is_the_one_that_decided() -> None:
    """The ground under all of this: what was explained is what was decided upon."""
    at = selected()
    assert at.replay() == at.folded.state.tailnet
    assert isinstance(at.folded.state.tailnet, Tailnet)


def test_a_finding_says_nothing_secret() -> None:
    at = theatre()
    at.when(DisablePeer(peer=RELAY))
    texts = " ".join(f"{finding}" for finding in at.why(1, RELAY).findings)
    assert "nodekey" not in texts
    assert isinstance(at.why(1, RELAY).findings[0], Finding)


# The far side ------------------------------------------------------------------------------------------------------


def test_what_the_far_side_was_told_is_known_until_it_no_longer_holds() -> None:
    at = theatre()
    assert found(at.why(1, RELAY), "farside.unrecorded").verdict == "note"
    at.when(RecordExport(peer=RELAY))
    told = found(at.why(1, RELAY), "farside.told")
    assert tag_of(at.record(told)[0].event) == "ConnectionExported.v1"
    at.when(registration_again())
    stale = found(at.why(1, RELAY), "farside.stale")
    tags = [tag_of(record.event) for record in at.record(stale)]
    assert tags == ["ConnectionExported.v1", "ConnectionStale.v1"]
    assert stale.fix == "netmap wg export --peer relay --node laptop --record"
    at.when(RecordExport(peer=RELAY))
    assert "farside.told" in codes(at.why(1, RELAY), "ok")
    masquerades("10.64.0.9", "fd00::9")(at)
    stale = found(at.why(1, RELAY), "farside.stale")
    assert tag_of(at.record(stale)[-1].event) == "ConnectionUpdated.v1"
    assert "masquerade" in stale.text


def test_resolvers_that_the_tailnets_override_are_told_and_what_makes_those_give_way() -> None:
    at = theatre(extra_config={"exitNodeDNSResolvers": ["10.64.0.1"]})
    assert not {"dns.override", "dns.demoted"} & codes(at.why(1, RELAY), "warn", "ok")
    at.types("netmap dns set 9.9.9.9")
    finding = found(at.why(1, RELAY), "dns.override")
    assert "ResolversSet.v1" in {tag_of(record.event) for record in at.record(finding)}
    at.types(finding.fix)
    assert "dns.demoted" in codes(at.why(1, RELAY), "ok")
    assert "dns.override" not in codes(at.why(1, RELAY), "warn")
    assert at.folded.state.extras(at.tailnet.nodes[1].id).demotes  # type: ignore[index]


@pytest.mark.parametrize(
    "address",
    [
        "223.255.255.255",
        "224.0.0.1",
        "239.9.9.9",
        "240.0.0.1",
        "ff02::1",
        "ff00::",
        "ff::1",
        "fd00::1",
        "::ff02",
    ],
)
def test_multicast_is_what_the_library_takes_for_it(address: str) -> None:
    assert is_multicast(address) is ipaddress.ip_address(address).is_multicast
