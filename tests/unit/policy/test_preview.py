"""What a preview says, case by case; and that it is what brute force finds in random tailnets."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.policy.document import Document
from engine.policy.preview.compare import Preview, preview
from engine.policy.preview.rows import Party, Row
from engine.policy.subjects import Device, Person
from engine.policy.text.reading import read
from tests.kit.naive_filter import COMPANIONS, Entry, rules_of
from tests.kit.naive_policy import Node, Policy, Reading, World
from tests.kit.naive_select import as_destination
from tests.kit.naive_ssh import logs_in, ssh_rules
from tests.kit.naive_world import any_overlap, overlap
from tests.kit.policy_worlds import mutations, policies, scenes

# Worlds as the engine has them


def people_of(world: World) -> list[Person]:
    return [Person(id=user.id, logins=(user.email.lower(),), roles=user.roles) for user in world.users]


def devices_of(world: World) -> list[Device]:
    return [
        Device(
            id=node.id,
            user=node.owner,
            tags=tuple(sorted(node.tags)),
            ipv4=node.ipv4,
            ipv6=node.ipv6,
            routes=tuple(sorted(node.routes)),
            is_exit=bool(node.exits),
            facts=node.posture,
        )
        for node in world.nodes
    ]


def document_of(world: World, policy: Policy) -> Document:
    return Document() if policy is None else read(json.dumps(policy), domains=world.domains)


def previewed(world: World, before: Policy, after: Policy, **bounds: int) -> Preview:
    return preview(
        document_of(world, before), document_of(world, after), people_of(world), devices_of(world), **bounds
    )


# Brute force: every pair, worked out by the naive evaluator

Facts = dict[tuple[str, int, object], frozenset[Any]]
"""Kind, source, target → what is so; nothing where there is nothing."""
NAMES: Final = ("root", "ubuntu", "admin", "ann", "bob", "cat", "dan", "eve", "zz")


def units(protocol: int | None, ports: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The packets that are told apart: at the edges of every range that a policy of these worlds has."""
    edges = (
        0,
        1,
        21,
        22,
        23,
        46,
        47,
        48,
        52,
        53,
        54,
        79,
        80,
        81,
        442,
        443,
        444,
        7999,
        8000,
        8100,
        8101,
        65_535,
    )
    for each in (6, 17, 1, 58) if protocol is None else (protocol,):
        for first, last in ports:
            yield from ((each, 0),) if each in {1, 58} else ((each, p) for p in edges if first <= p <= last)


def facts_of(world: World, policy: Policy) -> Facts:
    reading = Reading(world, policy)
    found: dict[tuple[str, int, object], set[Any]] = defaultdict(set)
    for source, target in itertools.permutations(world.nodes, 2):
        pair = source.id, target.id
        for entry in reading.entries[target.id]:
            if any_overlap(entry.sources, source.addresses):
                _take_in(found, entry, source, target)
        if reading.sees(source, target):
            found["sees", *pair].add("sees")
        wires = ssh_rules(world, policy, target)
        found["ssh", *pair] |= {(name, how) for name in NAMES if (how := _shell(wires, source, name))}
        for route in target.routes:
            if route not in source.routes and reading.routed(source, target, route):
                found["route", source.id, route].add(target.id)
    return {key: frozenset(values) for key, values in found.items()}


def _shell(wires: list[dict[str, Any]], source: Node, name: str) -> str:
    """How a source gets a shell of that name: a check hides an accept."""
    hows = ("check", "accept")
    return next((h for h in hows for a in source.addresses if logs_in(wires, a, name, (h,))), "")


def _take_in(
    found: dict[tuple[str, int, object], set[Any]], entry: Entry, source: Node, target: Node
) -> None:
    for name, values in (entry.caps or {}).items():
        if entry.dsts and name not in COMPANIONS.values():
            found["app", source.id, target.id].add((name, json.dumps(values)))
    for dest in entry.dests:
        packets = set(units(entry.protocol, [dest.ports]))
        if any_overlap([dest.text], target.addresses):
            found["traffic", source.id, target.id] |= packets
        if target.exits and (dest.internet or dest.text == "*"):
            found["exit", source.id, target.id] |= packets


def differences(
    world: World, before: Policy, after: Policy
) -> dict[tuple[str, int, object], tuple[Any, Any]]:
    """Kind, source, target → what is gained and what is lost, in the words of rows."""
    was, will = facts_of(world, before), facts_of(world, after)
    nothing: frozenset[Any] = frozenset()
    found = {}
    for key in was.keys() | will.keys():
        old, new = was.get(key, nothing), will.get(key, nothing)
        match key[0]:
            case "app":
                found[key] = _capabilities(new, old), _capabilities(old, new)
            case "ssh":
                found[key] = _shells(new, old), _shells(old, new)
            case _:
                found[key] = new - old, old - new
    return {key: change for key, change in found.items() if any(change)}


def _capabilities(some: frozenset[Any], others: frozenset[Any]) -> frozenset[str]:
    held = {name for name, _ in others}
    return frozenset(name if name not in held else f"{name} (other values)" for name, _ in some - others)


def _shells(some: frozenset[Any], others: frozenset[Any]) -> frozenset[str]:
    """Names that are listed: those that do not go with everybody's, for whom `zz` stands."""
    some_of, others_of = dict(some), dict(others)
    usual = some_of.get("zz"), others_of.get("zz")
    found = set()
    for name, how in some - others:
        if name in {"zz", "root"} or (how, others_of.get(name)) != usual:
            shown = "autogroup:nonroot" if name == "zz" else name
            found.add(f"{shown} (check)" if how == "check" else shown)
    return frozenset(found)


# What a preview says, as pairs


def told(world: World, found: Preview) -> dict[tuple[str, int, object], tuple[Any, Any]]:
    assert found.more == 0
    said: dict[tuple[str, int, object], tuple[set[Any], set[Any]]] = defaultdict(lambda: (set(), set()))
    for row in found.rows:
        pairs = list(itertools.product(members(world, row.subject), targets_of(world, row)))
        is_of_devices = "range" not in {row.subject.kind, row.target.kind} and (
            row.target.kind != "internet" or any(node.exits for node in world.nodes)
        )
        assert not is_of_devices or any(source != target for source, (_, target) in pairs), "about nobody"
        for source, (kind, target) in pairs:
            if target != source:
                for side, texts in enumerate((row.gains, row.loses)):
                    values = set(itertools.chain.from_iterable(meant(row, text) for text in texts))
                    if row.kind == "route":
                        values = set(row.target.devices) if texts else set()
                    assert not values & said[kind, source, target][side], "said twice"
                    said[kind, source, target][side].update(values)
    return {key: (frozenset(g), frozenset(lost)) for key, (g, lost) in said.items() if g or lost}


def members(world: World, party: Party) -> Iterator[int]:
    if party.devices:
        yield from party.devices
        return
    for node in world.nodes:
        if (
            party.kind == "everybody"
            or (party.kind == "user" and node.owner and world.user(node.owner).email == party.name)
            or (party.kind == "tags" and node.tags and ",".join(sorted(node.tags)) == party.name)
        ):
            yield node.id


def targets_of(world: World, row: Row) -> Iterator[tuple[str, object]]:
    if row.kind == "route":
        yield "route", row.target.name
    elif row.target.kind == "internet":
        exits = {node.id for node in world.nodes if node.exits}
        parties = [Party(kind="user", name=row.target.name), Party(kind="tags", name=row.target.name)]
        named = {number for party in parties for number in members(world, party)}
        whose = set(row.target.devices) or (named if row.target.name else exits)
        yield from (("exit", number) for number in whose & exits)
    else:
        yield from ((row.kind, number) for number in members(world, row.target))


def meant(row: Row, text: str) -> Iterator[Any]:
    """The values of a text: the reverse of how it is made."""
    match row.kind:
        case "traffic":
            name, colon, ports = text.rpartition(":")
            numbers = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "sctp": 132}
            if text in {"icmp", "ipv6-icmp"}:
                yield numbers[text], 0
                return
            protocols = [numbers.get(one) or int(one) for one in name.split("+")] if colon else [None]
            whole = "0-65535" if ports == "*" else ports
            ends = [part.split("-") for part in whole.split(",")]
            for protocol in protocols:
                yield from units(protocol, [(int(end[0]), int(end[-1])) for end in ends])
        case _:
            yield text


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_preview_is_what_brute_force_finds(data: st.DataObject) -> None:
    world, before = data.draw(scenes())
    world = replace(world, nodes=tuple(replace(node, online=True) for node in world.nodes))
    if data.draw(st.booleans()):
        after = data.draw(policies(world))
    else:
        after = data.draw(mutations(world, before).filter(lambda step: step[0] == world))[1]
    found = previewed(world, before, after, limit=100_000, listed=100)
    wanted, got = differences(world, before, after), told(world, found)
    for kind in ("traffic", "exit", "app", "ssh", "sees", "route"):
        assert {k: v for k, v in got.items() if k[0] == kind} == {
            k: v for k, v in wanted.items() if k[0] == kind
        }
    for address in PLACES:
        _compare_place(world, (before, after), found, address)


PLACES: Final = (
    "10.1.2.3",
    "10.1.2.200",
    "10.2.0.1",
    "10.9.9.9",
    "fd00:1::1",
    "fd00:1:0:1::9",
    "203.0.113.9",
)
"""In routes and in ranges of these worlds, and in some of neither."""


def _compare_place(world: World, policies: tuple[Policy, Policy], found: Preview, address: str) -> None:
    """What is said of an address of nobody is so; behind a route nothing is left unsaid."""
    is_routed = any_overlap([route for node in world.nodes for route in node.routes], [address])
    for node in world.nodes:
        was, will = (_place(world, policy, node, address) for policy in policies)
        rows = [
            row
            for row in found.rows
            if row.target.kind == "range"
            and overlap(row.target.name, address)
            and node.id in members(world, row.subject)
        ]
        gains = {value for row in rows for text in row.gains for value in meant(row, text)}
        loses = {value for row in rows for text in row.loses for value in meant(row, text)}
        if rows or is_routed:
            assert (gains, loses) == (will - was, was - will)


def _place(world: World, policy: Policy, source: Node, address: str) -> set[tuple[int, int]]:
    """What rules let a device send to an address behind routers: with `via`, behind some router with a tag of it."""
    packets: set[tuple[int, int]] = set()
    for rule in rules_of(world, policy):
        if not any_overlap(rule.sources, source.addresses):
            continue
        tagged = [route for node in world.nodes if rule.via & set(node.tags) for route in node.routes]
        if rule.via and not any_overlap(tagged, [address]):
            continue
        for protocol, destinations in rule.parts:
            for selector, ports in destinations:
                texts = () if selector == "autogroup:self" else as_destination(world, policy or {}, selector)
                if any_overlap(texts, [address]):
                    packets |= set(units(protocol, ports))
    return packets


# Case by case

PEOPLE: Final = (
    Person(id=1, logins=("alice@example.com",)),
    Person(id=2, logins=("bob@example.com",)),
    Person(id=3, logins=("carol@example.com",)),
)
DEVICES: Final = (
    Device(id=1, user=1, ipv4="100.64.0.1", ipv6="fd7a:115c:a1e0::1", facts={"node:os": "linux"}),
    Device(id=2, user=1, ipv4="100.64.0.2", ipv6="fd7a:115c:a1e0::2", facts={"node:os": "macos"}),
    Device(id=3, user=2, ipv4="100.64.0.3", ipv6="fd7a:115c:a1e0::3"),
    Device(id=4, user=None, tags=("tag:web",), ipv4="100.64.0.4", ipv6="fd7a:115c:a1e0::4"),
    Device(
        id=5,
        user=None,
        tags=("tag:router",),
        ipv4="100.64.0.5",
        ipv6="fd7a:115c:a1e0::5",
        routes=("10.1.0.0/16",),
    ),
    Device(
        id=6,
        user=None,
        tags=("tag:far",),
        ipv4="100.64.0.6",
        ipv6="fd7a:115c:a1e0::6",
        routes=("10.1.0.0/16",),
    ),
    Device(id=7, user=None, tags=("tag:exit",), ipv4="100.64.0.7", ipv6="fd7a:115c:a1e0::7", is_exit=True),
)
NAMED: Final = {
    "groups": {"group:eng": ["alice@example.com"]},
    "tagOwners": {f"tag:{name}": [] for name in ("web", "router", "far", "exit")},
    "postures": {"posture:linux": ["node:os == 'linux'"]},
}


def acl(source: str, *targets: str, **more: object) -> dict[str, object]:
    return {"action": "accept", "src": [source], "dst": list(targets), **more}


def policy(*acls: dict[str, object], **fields: object) -> Document:
    return read(json.dumps({**NAMED, "acls": acls, **fields}))


def said(before: Document, after: Document, *kinds: str) -> list[str]:
    """Rows in short; without kinds those of access."""
    found = preview(before, after, PEOPLE, DEVICES)
    return [_short(row) for row in found.rows if row.kind in (kinds or ("traffic", "ssh", "app"))]


def _short(row: Row) -> str:
    def party(one: Party) -> str:
        ids = f"#{','.join(map(str, one.devices))}" if one.devices else ""
        return (one.name or one.kind) + ids

    signs = [f"+{text}" for text in row.gains] + [f"-{text}" for text in row.loses]
    return f"{party(row.subject)} > {party(row.target)} {' '.join(signs)}"


WEB: Final = acl("group:eng", "tag:web:80,443")


def test_the_same_policy_changes_nothing() -> None:
    assert preview(policy(WEB), policy(WEB), PEOPLE, DEVICES) == Preview()


def test_what_another_rule_covers_is_neither_gained_nor_lost() -> None:
    wide = acl("*", "tag:web:*")
    assert said(policy(WEB, wide), policy(wide), "traffic", "sees") == []
    apart = policy(acl("autogroup:tagged", "tag:web:*"), acl("autogroup:member", "tag:web:*"))
    assert said(policy(wide), apart) == ["10.1.0.0/16 > tag:web -*"], "`*` is the addresses of routes too"
    assert (
        said(
            policy(acl("*", "tag:web:80-443")),
            policy(acl("*", "tag:web:200-443"), acl("*", "tag:web:80-199")),
        )
        == []
    )


def test_a_new_rule_says_who_gains_what() -> None:
    assert said(policy(), policy(WEB)) == ["alice@example.com > tag:web +80,443"]
    found = preview(policy(), policy(WEB), PEOPLE, DEVICES)
    assert (found.gain, found.lose, found.more) == (1, 0, 0)


def test_other_members_of_a_group_are_those_who_gain_and_lose() -> None:
    after = policy(WEB, groups={"group:eng": ["bob@example.com"]})
    assert said(policy(WEB), after) == [
        "alice@example.com > tag:web -80,443",
        "bob@example.com > tag:web +80,443",
    ]
    found = preview(policy(WEB), after, PEOPLE, DEVICES)
    assert (found.gain, found.lose) == (1, 1)


def test_ports_and_protocols_are_told_apart() -> None:
    assert said(policy(WEB), policy(acl("group:eng", "tag:web:443-445"))) == [
        "alice@example.com > tag:web +tcp+udp:444-445 -tcp+udp:80"
    ]
    assert said(policy(WEB), policy(acl("group:eng", "tag:web:80,443", proto="tcp"))) == [
        "alice@example.com > tag:web -icmp -udp:80,443 -ipv6-icmp"
    ]
    assert said(policy(), policy(acl("group:eng", "tag:web:*", proto="icmp"))) == [
        "alice@example.com > tag:web +icmp"
    ]


def test_all_devices_are_everybody() -> None:
    assert said(policy(), Document(), "traffic")[0] == "everybody > everybody +*"
    assert said(policy(), policy(acl("*", "tag:web:80")))[0] == "everybody > tag:web +80"


def test_some_devices_of_a_user_are_named() -> None:
    after = policy(acl("alice@example.com", "tag:web:80", srcPosture=["posture:linux"]))
    assert said(policy(), after) == ["alice@example.com#1 > tag:web +80"]
    assert said(policy(), policy(acl("bob@example.com", "100.64.0.2:22"))) == [
        "bob@example.com > alice@example.com#2 +22"
    ]
    both = policy(acl("100.64.0.1", "tag:web:80"), acl("100.64.0.2", "tag:web:80"))
    assert said(policy(), both) == ["alice@example.com > tag:web +80"]


def test_a_users_own_devices() -> None:
    own = acl("autogroup:member", "autogroup:self:22")
    assert said(policy(), policy(own)) == ["alice@example.com > alice@example.com +22"]
    assert said(policy(), policy(own), "sees") == ["alice@example.com > alice@example.com +sees"]


def test_nobody_gains_access_to_the_one_device_that_it_has() -> None:
    rows = said(policy(), policy(acl("autogroup:tagged", "autogroup:tagged:80")))
    assert "tag:web > tag:far +80" in rows
    assert "tag:web > tag:web +80" not in rows
    assert said(policy(), policy(acl("bob@example.com", "bob@example.com:80"))) == []


def test_ranges_are_told_as_they_were_written() -> None:
    assert said(policy(), policy(acl("bob@example.com", "10.1.0.0/16:80"))) == [
        "bob@example.com > 10.1.0.0/16 +80"
    ]
    assert said(policy(), policy(acl("bob@example.com", "10.1.2.0/24:80", "192.0.2.7:9"))) == [
        "bob@example.com > 10.1.2.0/24 +80",
        "bob@example.com > 192.0.2.7 +9",
    ]
    assert said(policy(), policy(acl("10.1.0.0/16", "tag:web:80"))) == ["10.1.0.0/16 > tag:web +80"]
    narrow, wide = (
        policy(acl("bob@example.com", "10.1.2.0/24:80")),
        policy(acl("bob@example.com", "10.1.0.0/16:80")),
    )
    assert said(wide, narrow) == [
        "bob@example.com > 10.1.0.0-10.1.1.255 -80",
        "bob@example.com > 10.1.3.0-10.1.255.255 -80",
    ]


def test_everything_is_not_every_range_that_some_rule_names() -> None:
    other = acl("alice@example.com", "192.0.2.7:9")
    rows = said(policy(other), policy(other, acl("bob@example.com", "*:80")))
    assert not any("192.0.2.7" in row for row in rows)
    assert "bob@example.com > 10.1.0.0/16 +80" in rows


def test_exit_nodes_are_the_internet() -> None:
    after = policy(acl("bob@example.com", "autogroup:internet:*"))
    assert said(policy(), after) == ["bob@example.com > internet +*"]
    assert said(policy(), after, "sees") == [
        "bob@example.com > tag:exit +sees",
        "tag:exit > bob@example.com +sees",
    ]
    without = preview(policy(), after, PEOPLE, DEVICES[:3])
    assert [_short(row) for row in without.rows] == ["bob@example.com > internet +*"]


def test_capabilities_and_their_values() -> None:
    def grant(value: int) -> Document:
        app = {"example.com/cap/x": [{"n": value}]}
        return policy(grants=[{"src": ["bob@example.com"], "dst": ["tag:web"], "app": app}])

    assert said(policy(), grant(1)) == ["bob@example.com > tag:web +example.com/cap/x"]
    assert said(grant(1), grant(2)) == [
        "bob@example.com > tag:web +example.com/cap/x (other values) -example.com/cap/x (other values)"
    ]


def test_shells() -> None:
    def shells(*users: str, action: str = "accept") -> Document:
        return policy(
            ssh=[{"action": action, "src": ["bob@example.com"], "dst": ["tag:web"], "users": list(users)}]
        )

    assert said(policy(), shells("root", "ubuntu")) == ["bob@example.com > tag:web +root +ubuntu"]
    assert said(shells("root"), shells("root", action="check")) == [
        "bob@example.com > tag:web +root (check) -root"
    ]
    assert said(shells("ubuntu"), shells("autogroup:nonroot")) == [
        "bob@example.com > tag:web +autogroup:nonroot"
    ]
    assert said(policy(), shells("autogroup:nonroot", "ubuntu")) == [
        "bob@example.com > tag:web +autogroup:nonroot"
    ]


def test_a_local_part_is_each_users_own() -> None:
    rule = {
        "action": "accept",
        "src": ["autogroup:member"],
        "dst": ["tag:web"],
        "users": ["localpart:*@example.com"],
    }
    after = read(json.dumps({**NAMED, "acls": [], "ssh": [rule]}), domains=("example.com",))
    assert said(policy(), after) == [
        "alice@example.com > alice@example.com +alice",
        "alice@example.com > tag:web +alice",
        "bob@example.com > tag:web +bob",
    ]


def test_a_route_goes_by_the_oldest_router_or_by_via() -> None:
    plain = policy(acl("bob@example.com", "10.1.0.0/16:80"))
    steered = read(
        json.dumps(
            {
                **NAMED,
                "grants": [
                    {"src": ["bob@example.com"], "dst": ["10.1.0.0/16"], "ip": ["80"], "via": ["tag:far"]}
                ],
            }
        )
    )
    assert said(policy(), plain, "route") == ["bob@example.com > 10.1.0.0/16#5 +route"]
    assert said(plain, steered, "route") == [
        "bob@example.com > 10.1.0.0/16#5 -route",
        "bob@example.com > 10.1.0.0/16#6 +route",
    ]
    assert said(plain, steered, "traffic") == []


def test_rows_are_bounded_and_the_rest_is_counted() -> None:
    whole = preview(policy(), policy(acl("*", "*:80"), WEB), PEOPLE, DEVICES)
    short = preview(policy(), policy(acl("*", "*:80"), WEB), PEOPLE, DEVICES, limit=1)
    assert (short.rows, short.more) == (whole.rows[:1], len(whole.rows) - 1)
    many = [Device(id=n, user=1, ipv4=f"100.64.1.{n}") for n in range(10, 40)]
    (row,) = preview(
        policy(), policy(acl("100.64.1.0-100.64.1.29", "tag:web:80")), PEOPLE, [*many, DEVICES[3]], listed=4
    ).rows[:1]
    assert (len(row.subject.devices), row.subject.more) == (4, 16)


def test_work_is_bounded() -> None:
    people = [Person(id=n, logins=(f"u{n}@example.com",)) for n in range(1, 301)]
    devices = [
        Device(id=n, user=n, ipv4=f"100.64.{n >> 8}.{n & 255}", facts={"node:os": "linux"})
        for n in range(1, 301)
    ]
    members = [f"u{n}@example.com" for n in range(1, 300)]
    after = policy(acl("group:eng", "group:eng:80"), groups={"group:eng": members})
    found = preview(policy(), after, people, devices)
    assert (len(found.rows), found.gain) == (1_000, 299)
    assert found.more > 0
