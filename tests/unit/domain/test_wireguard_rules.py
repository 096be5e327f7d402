"""What WireGuard-only peers and connections may not be, and what is doubtful of them: every cell of the reference's table.

A row here is a cell there (reference: WireGuard-only peers, §6.3): a command, and the code that it must give. Beside
every one stands the control: the same command without the fault gives neither refusal nor that warning.
"""

import base64
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from engine.application.decoding import decode
from engine.domain.commands import (
    AddConnection,
    ApproveRoutes,
    Command,
    DeleteNode,
    DisablePeer,
    ExpireNode,
    RegisterPeer,
    RemovePeer,
    SetDerpMap,
    SetMasqueradePool,
    SetNodeExpiry,
    SetPolicy,
    SetResolvers,
    UpdatePeer,
)
from engine.domain.decide import decide
from engine.domain.errors import Conflict, Invalid, NotFound, Refusal
from engine.domain.keys import LOW_ORDER, wireguard_base64
from engine.domain.values import Millis, NodeKey
from tests.kit.scenario import HOUR, Scene, machine_key, node_key, peer_key, registration

PLACE: Final[dict[str, object]] = {
    "country": "Sweden",
    "countryCode": "SE",
    "city": "Gothenburg",
    "cityCode": "GOT",
    "latitude": 57.7,
    "longitude": 11.97,
    "priority": 1,
}
REGION: Final[dict[str, object]] = {
    "RegionID": 1,
    "Latitude": 59.3,
    "Longitude": 18.1,
    "Nodes": [{"Name": "1a", "RegionID": 1, "HostName": "derp.example.com"}],
}
RELAYS: Final[dict[str, object]] = {"Regions": {"1": REGION}}
ADDRESSES: Final = {"ipv4_masq_addr": "10.64.0.9", "ipv6_masq_addr": "fd00::9"}
NEW: Final = ("192.0.2.77:1", "[2001:db8::77]:1")
"""Endpoints that nobody else has."""
Setting = Callable[[Scene], object]


class Cell(NamedTuple):
    """One input of the table: its row, what it is, the command that has it, what is there before, and the code."""

    row: str
    what: str
    command: Command
    code: str
    before: Setting = lambda _scene: None


def scene_of() -> Scene:
    """Nodes 1 (laptop) and 2 (phone); the exit 100000001 with a pool, with laptop connected; the site 100000002."""
    scene = Scene()
    scene.user()
    scene.when(SetDerpMap(derp_map=RELAYS))
    scene.node("laptop")
    scene.node("phone")
    scene.peer("exit", endpoints=("192.0.2.1:51820", "[2001:db8::1]:51820"))
    scene.peer("site", allowed_ips=("10.9.0.0/24",), endpoints=("192.0.2.2:51820", "[2001:db8::2]:51820"))
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.64.0.0/24", ipv6="fd00::/120"))
    scene.connect("laptop", "exit", "10.64.0.2", "fd00::2")
    return scene


def peer(**fields: Any) -> RegisterPeer:
    """A peer of which nothing is doubtful, but for the fields."""
    good: dict[str, Any] = {
        "name": "new",
        "user": 1,
        "public_key": peer_key("new"),
        "allowed_ips": ("0.0.0.0/0", "::/0"),
        "endpoints": ("198.51.100.1:51820", "[2001:db8::9]:51820"),
    }
    return RegisterPeer(**(good | fields))


def located(**fields: object) -> RegisterPeer:
    return peer(extra_config={"suggestExitNode": True, "location": PLACE | fields})


def half(*names: str) -> RegisterPeer:
    place = {name: value for name, value in PLACE.items() if name not in names}
    return peer(extra_config={"location": place})


def pair(**fields: Any) -> AddConnection:
    """A connection of which nothing is doubtful, but for the fields."""
    return AddConnection(**({"node": "phone", "peer": "exit", **ADDRESSES} | fields))


def masq(ipv4: str = "10.64.0.9", ipv6: str = "fd00::9") -> AddConnection:
    return pair(ipv4_masq_addr=ipv4, ipv6_masq_addr=ipv6)


def base64_of(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def again(scene: Scene) -> None:
    """Let the laptop log in with a new key."""
    scene.when(registration("laptop", node_key=node_key("laptop 2"), user=1))


def expires(days: int) -> Setting:
    return lambda scene: scene.when(SetNodeExpiry(node="phone", expiry=Millis(scene.now + days * 24 * HOUR)))


def owners(scene: Scene) -> None:
    scene.when(SetPolicy(text='{"tagOwners": {"tag:known": ["anna@"]}}'))


def routes(scene: Scene) -> None:
    scene.when(ApproveRoutes(node="phone", routes=("10.7.0.0/16",)))


def as_key(text: str) -> RegisterPeer:
    return peer(public_key=text)


def at(*endpoints: str) -> RegisterPeer:
    return peer(endpoints=endpoints)


def routing(*allowed_ips: str) -> RegisterPeer:
    return peer(allowed_ips=allowed_ips)


def extra(**fields: object) -> RegisterPeer:
    return peer(extra_config=fields)


NAME: Final = (
    Cell("name", "empty", peer(name=""), "name.syntax"),
    Cell("name", "longer than 63", peer(name="a" * 64), "name.syntax"),
    Cell("name", "no DNS label", peer(name="Exit_1"), "name.syntax"),
    Cell("name", "a number", peer(name="7"), "name.number"),
    Cell("name", "a node's", peer(name="laptop"), "name.taken"),
    Cell("name", "another peer's", peer(name="exit"), "name.taken"),
    Cell("name", "reserved", peer(name="localhost"), "name.reserved"),
)
KEY: Final = (
    Cell("key", "not 32 octets", as_key(base64_of(b"\1" * 31)), "key.syntax"),
    Cell("key", "33 octets", as_key(base64_of(b"\1" * 33)), "key.syntax"),
    Cell("key", "all zero", as_key(base64_of(bytes(32))), "key.zero"),
    Cell("key", "a node's", as_key(node_key("laptop")), "peer.key_taken"),
    Cell("key", "a node's former", as_key(node_key("laptop")), "peer.key_taken", again),
    Cell("key", "a machine's", as_key(machine_key("laptop").replace("mkey:", "nodekey:")), "peer.key_taken"),
    Cell("key", "another peer's", as_key(peer_key("exit")), "peer.key_taken"),
    Cell("key", "another peer's in base64", as_key(wireguard_base64(peer_key("exit"))), "peer.key_taken"),
    Cell("key", "a private one by its prefix", as_key("privkey:" + "ab" * 32), "key.private"),
    Cell("key", "a line of wg-quick", as_key("PrivateKey = " + base64_of(b"\1" * 32)), "key.private"),
    Cell("key", "a shared secret of wg-quick", as_key("PresharedKey = x"), "key.private"),
    *(
        Cell(
            "key",
            f"of low order: {number % 1000}",
            as_key(base64_of(number.to_bytes(32, "little"))),
            "key.low_order",
        )
        for number in sorted(LOW_ORDER - {0})
    ),
)
ENDPOINTS: Final = (
    Cell("endpoints", "none", at(), "endpoint.none"),
    Cell("endpoints", "unparsable", at("nonsense"), "endpoint.syntax"),
    Cell("endpoints", "no port", at("192.0.2.1"), "endpoint.syntax"),
    Cell("endpoints", "IPv6 without brackets", at("2001:db8::1:51820"), "endpoint.syntax"),
    Cell("endpoints", "port 0", at("192.0.2.9:0"), "endpoint.port"),
    Cell("endpoints", "unspecified", at("0.0.0.0:1"), "endpoint.address"),
    Cell("endpoints", "loopback", at("127.0.0.1:1"), "endpoint.address"),
    Cell("endpoints", "multicast", at("224.0.0.1:1"), "endpoint.address"),
    Cell("endpoints", "broadcast", at("255.255.255.255:1"), "endpoint.address"),
    Cell("endpoints", "IPv4-mapped", at("[::ffff:192.0.2.9]:1"), "endpoint.address"),
    Cell("endpoints", "link-local without zone", at("[fe80::1]:1"), "endpoint.address"),
    Cell("endpoints", "link-local IPv4, a cloud's metadata", at("169.254.169.254:1"), "endpoint.address"),
    Cell("endpoints", "in the tailnet, IPv4", at("100.64.0.9:1"), "endpoint.tailnet"),
    Cell("endpoints", "in the tailnet, IPv6", at("[fd7a:115c:a1e0::9]:1"), "endpoint.tailnet"),
    Cell(
        "endpoints",
        "inside the peer's allowed IPs",
        peer(allowed_ips=("198.51.100.0/24",), endpoints=("198.51.100.1:1",)),
        "endpoint.loop",
    ),
    Cell(
        "endpoints",
        "another peer's on a shared node",
        pair(node="laptop", peer="twin"),
        "connection.endpoint",
        lambda scene: scene.peer("twin", endpoints=("192.0.2.1:51820",)),
    ),
)
ALLOWED_IPS: Final = (
    Cell("allowed IPs", "none", routing(), "allowedips.none"),
    Cell("allowed IPs", "unparsable", routing("everything"), "allowedips.syntax"),
    Cell("allowed IPs", "with a zone", routing("fe80::%eth0/64"), "allowedips.syntax"),
    Cell("allowed IPs", "multicast", routing("224.0.0.0/8"), "allowedips.range"),
    Cell("allowed IPs", "the tailnet's range", routing("100.64.0.0/10"), "allowedips.tailnet"),
    Cell("allowed IPs", "a part of it", routing("100.96.0.1/32"), "allowedips.tailnet"),
    Cell("allowed IPs", "more than it", routing("100.0.0.0/8"), "allowedips.tailnet"),
    Cell("allowed IPs", "its IPv6 range", routing("fd7a:115c:a1e0::/48"), "allowedips.tailnet"),
    Cell(
        "allowed IPs",
        "another peer's own address",
        UpdatePeer(peer="exit", allowed_ips=("100.96.0.2/32",)),
        "allowedips.tailnet",
    ),
    Cell(
        "allowed IPs",
        "another peer's on a shared node",
        pair(node="laptop", peer="twin", ipv6_masq_addr=""),
        "connection.overlap",
        lambda scene: (
            scene.peer("twin", allowed_ips=("10.9.0.0/24",)),
            scene.connect("laptop", "site", "10.65.0.2"),
        ),
    ),
)
MASQ: Final = (
    Cell("masq", "none", masq("", ""), "masq.none", lambda s: s.when(SetMasqueradePool(peer="exit"))),
    Cell("masq", "IPv6 as IPv4", masq("fd00::9"), "masq.family"),
    Cell("masq", "IPv4 as IPv6", masq("", "10.64.0.9"), "masq.family"),
    Cell("masq", "with a zone", masq("", "fd00::9%eth0"), "masq.syntax"),
    Cell("masq", "unspecified", masq("0.0.0.0"), "masq.address"),
    Cell("masq", "loopback", masq("127.0.0.1"), "masq.address"),
    Cell("masq", "link-local", masq("169.254.0.1"), "masq.address"),
    Cell("masq", "IPv4-mapped", masq("", "::ffff:10.64.0.9"), "masq.family"),
    Cell("masq", "the pool's network address", masq("10.64.0.0"), "masq.pool_edge"),
    Cell("masq", "the pool's broadcast address", masq("10.64.0.255"), "masq.pool_edge"),
    Cell("masq", "a node's address", masq("100.64.0.1"), "masq.in_use"),
    Cell("masq", "a peer's address", masq("100.96.0.1"), "masq.in_use"),
    Cell("masq", "from the tailnet's own pools", masq("", "fd7a:115c:a1e0:1::99"), "masq.in_use"),
    Cell("masq", "another node's at this peer", masq("10.64.0.2"), "masq.taken"),
    Cell(
        "masq",
        "the peer's inner gateway",
        masq("10.64.0.1"),
        "masq.gateway",
        lambda scene: scene.when(
            UpdatePeer(peer="exit", extra_config={"exitNodeDNSResolvers": ["10.64.0.1"]})
        ),
    ),
    Cell("masq", "a prefix", masq("10.64.0.0/24"), "masq.syntax"),
)
RESOLVERS: Final = (
    Cell("resolvers", "a name", extra(exitNodeDNSResolvers=["dns.example"]), "extra.resolver"),
    Cell("resolvers", "plain http", extra(exitNodeDNSResolvers=["http://dns.example/q"]), "extra.resolver"),
    Cell("resolvers", "port 0", extra(exitNodeDNSResolvers=["10.0.0.1:0"]), "extra.resolver"),
)
LOCATION: Final = (
    *(Cell("location", f"without {name}", half(name), "location.partial") for name in PLACE),
    Cell("location", "countryCode of one letter", located(countryCode="S"), "location.code"),
    Cell("location", "countryCode of three letters", located(countryCode="SWE"), "location.code"),
    Cell("location", "cityCode empty", located(cityCode=""), "location.partial"),
    Cell("location", "latitude beyond the pole", located(latitude=91), "location.range"),
    Cell("location", "longitude out of range", located(longitude=-181), "location.range"),
    Cell("location", "latitude not a number", located(latitude=float("nan")), "location.range"),
    Cell("location", "priority below 0", located(priority=-1), "location.range"),
)
TAGS: Final = (
    Cell("tags", "syntax", extra(tags=["exit"]), "tag.syntax"),
    Cell("tags", "not in tagOwners", extra(tags=["tag:other"]), "tag.unknown", owners),
)
EXTRA: Final = (
    Cell("extra config", "wrong type of truth", extra(suggestExitNode="yes"), "extra.type"),
    Cell("extra config", "wrong type of list", extra(tags="tag:a"), "extra.type"),
    Cell("extra config", "wrong type of location", extra(location="Sweden"), "extra.type"),
    Cell("extra config", "a secret", extra(privateKey="x"), "extra.secret"),
)
CONNECTION: Final = (
    Cell("connection", "node missing", pair(node="nobody"), "node.not_found"),
    Cell("connection", "peer missing", pair(peer="nothing"), "peer.not_found"),
    Cell(
        "connection",
        "peer disabled",
        pair(),
        "connection.disabled",
        lambda s: s.when(DisablePeer(peer="exit")),
    ),
    Cell("connection", "there already, otherwise", pair(node="laptop"), "connection.exists"),
    Cell(
        "connection",
        "a client without a jail",
        pair(node="old"),
        "connection.capver",
        lambda scene: scene.node("old", capver=93),
    ),
)
DELETE: Final = (Cell("delete", "connections exist", RemovePeer(peer="exit"), "peer.connected"),)
REFUSED: Final = (
    *NAME, *KEY, *ENDPOINTS, *ALLOWED_IPS, *MASQ, *RESOLVERS, *LOCATION, *TAGS, *EXTRA, *CONNECTION, *DELETE,
)  # fmt: skip

WARNED: Final = (
    Cell("key", "looks private", as_key(base64_of(b"\x08" + b"\1" * 30 + b"\x41")), "key.clamped"),
    Cell("endpoints", "RFC 1918", at("192.168.1.1:1", "[2001:db8::9]:1"), "endpoint.private"),
    Cell("endpoints", "unique local", at("198.51.100.1:1", "[fd12::1]:1"), "endpoint.private"),
    Cell("endpoints", "no IPv4", at("[2001:db8::9]:1"), "endpoint.no_ipv4"),
    Cell("endpoints", "no IPv6", at("198.51.100.1:1"), "endpoint.no_ipv6"),
    *(
        Cell("endpoints", f"a cloud's metadata, {text}", at(text, "198.51.100.1:1"), "endpoint.metadata")
        for text in ("[fd00:ec2::254]:80", "[fd20:ce::254]:80", "192.0.0.192:80", "168.63.129.16:80")
    ),
    Cell("endpoints", "another peer's", at("192.0.2.1:51820", "[2001:db8::9]:1"), "endpoint.shared"),
    Cell("allowed IPs", "host bits", routing("10.1.2.3/24"), "allowedips.host_bits"),
    Cell("allowed IPs", "one default", routing("0.0.0.0/0"), "allowedips.one_default"),
    Cell("allowed IPs", "meets an approved route", routing("10.7.1.0/24"), "allowedips.route", routes),
    Cell("allowed IPs", "another peer's", routing("10.9.0.0/24"), "allowedips.shared"),
    Cell("allowed IPs", "meets another peer's", routing("10.9.0.0/16"), "allowedips.overlap"),
    Cell(
        "allowed IPs",
        "its own address",
        UpdatePeer(peer="exit", allowed_ips=("100.96.0.1/32", "0.0.0.0/0", "::/0")),
        "allowedips.own",
    ),
    Cell("masq", "multicast, as the document's", masq("10.64.0.9", "ff02:b::11"), "masq.multicast"),
    Cell("masq", "elsewhere in 100.64.0.0/10", masq("100.127.0.9"), "masq.tailnet"),
    Cell("masq", "elsewhere in the tailnet's ULA", masq("10.64.0.9", "fd7a:115c:a1e0::9"), "masq.tailnet"),
    Cell("masq", "public", masq("8.8.8.8"), "masq.public"),
    Cell("masq", "nobody's", masq("198.18.0.1"), "masq.implausible"),
    Cell("masq", "not from the peer's pool", masq("10.65.0.9"), "masq.outside_pool"),
    Cell("masq", "a family without allowed IPs", pair(peer="site"), "masq.unused"),
    Cell("masq", "allowed IPs without a masq", masq(""), "masq.missing"),
    Cell(
        "resolvers",
        "not inside the allowed IPs",
        peer(allowed_ips=("10.8.0.0/24",), extra_config={"exitNodeDNSResolvers": ["10.64.0.1:53"]}),
        "resolver.outside",
    ),
    Cell(
        "resolvers",
        "the tailnet's own go before them",
        extra(exitNodeDNSResolvers=["10.64.0.1"]),
        "dns.override",
        lambda scene: scene.when(SetResolvers(resolvers=("9.9.9.9",))),
    ),
    Cell("location", "lower case", located(cityCode="got"), "location.case"),
    Cell(
        "location",
        "the city code of another country",
        located(),
        "location.city",
        lambda scene: scene.peer("other", extra_config={"location": PLACE | {"countryCode": "NO"}}),
    ),
    Cell(
        "location",
        "the DERP map has no coordinates",
        located(),
        "derp.coordinates",
        lambda scene: scene.when(
            SetDerpMap(derp_map={"Regions": {"1": REGION | {"Latitude": 0, "Longitude": 0.0}}})
        ),
    ),
    Cell("location", "a name longer than apps show", located(city="Llanfair" * 6), "location.long"),
    Cell("tags", "twice", extra(tags=["tag:a", "tag:a"]), "tag.duplicate"),
    Cell("extra config", "an unknown field", extra(suggestExit=True), "extra.unknown"),
    Cell(
        "connection",
        "equal: nothing changes",
        pair(node="laptop", ipv4_masq_addr="10.64.0.2", ipv6_masq_addr="fd00::2"),
        "connection.exists",
    ),
    Cell("connection", "the node's key expires soon", pair(), "connection.key_expires", expires(6)),
    Cell(
        "connection",
        "the node's key has expired",
        pair(),
        "connection.node_expired",
        lambda s: s.when(ExpireNode(node="phone")),
    ),
    Cell(
        "connection",
        "the node has had other keys",
        pair(node="laptop", peer="site"),
        "connection.rotates",
        again,
    ),
    Cell("delete", "with its connections", RemovePeer(peer="exit", cascade=True), "peer.connections"),
    Cell(
        "delete", "of an exit: clients in userspace mode", RemovePeer(peer="exit", cascade=True), "peer.leaks"
    ),
)
ELSEWHERE: Final = {
    "name: an extra record's": "there are no extra records: MagicDNS holds nodes and WireGuard-only peers only",
    "extra config: no object": "the body's type: refused at the door (`body.wrong_type`), below",
    "endpoints: control's own address": "where frontends listen is their own settings, which no event has",
    "masq: multicast refused": "the user's document gives one as its example, and works word for word: a warning",
    "tags: owner not allowed": "an operator may give any tag there is (tags.py, rule 2); whose the peer is grants nothing",
    "connection: node offline": "soft state: the command line warns (`connection.offline`)",
    "delete: a node uses it as exit now": "soft state (Hostinfo.ExitNodeID): the command line warns (`peer.used`)",
}
"""The cells that this table does not hold, and why."""


def codes(warnings: tuple[str, ...]) -> list[str]:
    return [said.partition(":")[0] for said in warnings]


def of(cell: Cell) -> str:
    return f"{cell.row}: {cell.what}"


@pytest.mark.parametrize("cell", REFUSED, ids=of)
def test_it_is_refused(cell: Cell) -> None:
    scene = scene_of()
    cell.before(scene)
    refusal = scene.refused(cell.command)
    assert refusal.code == cell.code
    assert isinstance(refusal, Invalid | NotFound | Conflict)
    assert len(refusal.message) > len("no")


@pytest.mark.parametrize("cell", WARNED, ids=of)
def test_it_is_accepted_with_a_warning_and_refused_to_the_strict(cell: Cell) -> None:
    scene = scene_of()
    cell.before(scene)
    given = scene.given()
    assert cell.code in codes(decide(scene.tailnet, cell.command, given).warnings)
    with pytest.raises(Refusal) as caught:
        decide(scene.tailnet, cell.command, replace(given, strict=True))
    assert caught.value.code == "strict"
    assert f"{cell.code}: " in caught.value.message


@pytest.mark.parametrize("command", [peer(), located(), pair(), pair(peer="site", ipv6_masq_addr="")])
def test_what_has_no_fault_has_neither_refusal_nor_warning(command: Command) -> None:
    assert scene_of().when(command).warnings == ()


@pytest.mark.parametrize(
    ("before", "command"),
    [
        (expires(8), pair()),
        (routes, routing("10.8.0.0/24")),
        (owners, extra(tags=["tag:known"])),
        (again, pair()),
        (lambda scene: scene.node("new", capver=106), pair(node="new")),
    ],
    ids=["a later expiry", "another route", "a known tag", "another node's new key", "a new client"],
)
def test_what_is_there_besides_is_no_fault(before: Setting, command: Command) -> None:
    scene = scene_of()
    before(scene)
    assert scene.when(command).warnings == ()


def test_no_refusal_repeats_what_may_be_a_private_key() -> None:
    secret = base64_of(b"\x08" + b"\1" * 30 + b"\x41")
    for text in (f"PrivateKey = {secret}", "privkey:" + "ab" * 32, secret[:-2]):
        message = scene_of().refused(as_key(text)).message
        assert secret[:8] not in message
        assert "abab" not in message


def test_an_extra_config_that_is_no_object_is_refused_at_the_door() -> None:
    body = msgspec.json.encode(peer()).replace(b'"extraConfig":{}', b'"extraConfig":"x"')
    with pytest.raises(Invalid) as caught:
        decode(body, RegisterPeer)
    assert (caught.value.code, caught.value.field) == ("body.wrong_type", "extraConfig")


def test_a_refusal_to_delete_names_every_connection() -> None:
    scene = scene_of()
    scene.connect("phone", "exit", "10.64.0.3")
    refusal = scene.refused(RemovePeer(peer="exit"))
    assert "1(laptop)" in refusal.message
    assert "2(phone)" in refusal.message


def test_a_peer_is_deletable_at_once_when_its_last_node_is_gone() -> None:
    """Scenario N10."""
    scene = scene_of()
    scene.when(DeleteNode(node="laptop"))
    assert scene.happens(RemovePeer(peer="exit")) == ["PeerRemoved"]


def test_every_cell_that_is_not_here_has_a_reason() -> None:
    assert all(ELSEWHERE.values())
    assert not {of(cell) for cell in (*REFUSED, *WARNED)} & ELSEWHERE.keys()
    assert len({of(cell) for cell in REFUSED}) == len(REFUSED)


def test_a_key_in_any_form_is_one_key() -> None:
    """Scenario N2."""
    key = NodeKey(peer_key("exit"))
    for text in (
        key,
        key.removeprefix("nodekey:"),
        key.removeprefix("nodekey:").upper(),
        wireguard_base64(key),
    ):
        assert scene_of().refused(as_key(text)).code == "peer.key_taken"


def test_an_edge_of_the_pool_that_a_node_has_already_stays() -> None:
    scene = scene_of()
    scene.when(SetMasqueradePool(peer="exit"))
    scene.connect("phone", "exit", "10.66.0.0", "fd00::3")
    scene.when(SetMasqueradePool(peer="exit", ipv4="10.66.0.0/24"))
    assert scene.when(pair(ipv4_masq_addr="10.66.0.0", ipv6_masq_addr="fd00::3")).events == ()


def test_relays_without_a_place_are_a_warning_only_while_peers_have_one() -> None:
    scene = scene_of()
    bare: dict[str, object] = {
        "Regions": {"1": {name: value for name, value in REGION.items() if "itude" not in name}}
    }
    assert scene.when(SetDerpMap(derp_map=bare)).warnings == ()
    scene.when(SetDerpMap(derp_map=RELAYS))
    scene.when(located())
    assert codes(scene.when(SetDerpMap(derp_map=RELAYS)).warnings) == []
    warnings = scene.when(SetDerpMap(derp_map=bare)).warnings
    assert codes(warnings) == ["derp.coordinates"]
    assert "regions 1 " in warnings[0]
    silent = peer(name="b", public_key=peer_key("b"), endpoints=NEW, extra_config={"location": PLACE})
    assert scene.when(silent).warnings == ()
