"""Random valid policies over a given tailnet, made to shrink.

1. Valid by construction: a policy names only tags, groups, hosts, postures and domains that exist, and no rule is of
   a shape that is refused. Groups, hosts, tag owners and postures are always there, so any rule fits any policy.
2. Pools are ordered from plain to odd: what Hypothesis shrinks to is a policy of few, plain rules.
3. `free` adds what the semantics leave open: capabilities on, or companions from, single addresses.
"""

from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from tests.kit.naive_world import Policy, World

Rule = dict[str, Any]

TAGS: Final = ("tag:a", "tag:b", "tag:c")
GROUPS: Final = ("group:a", "group:b", "group:empty")
HOSTS: Final = ("host-node", "host-route", "host-nowhere")
POSTURES: Final = ("posture:a", "posture:b")
ROUTES: Final = (
    "10.1.0.0/16",
    "10.0.0.0/8",
    "10.1.2.0/24",
    "10.2.0.0/16",
    "fd00:1::/48",
    "fd00:1:0:1::/64",
    "172.16.0.0/12",
    "192.168.7.0/24",
)
NODE_RANGES: Final = (
    "100.64.0.0/24",
    "100.64.0.0/17",
    "100.64.0.0/29",
    "fd7a:115c:a1e0::/120",
    "fd7a:115c:a1e0::/64",
)
ROUTE_RANGES: Final = (
    "10.1.0.0/16",
    "10.0.0.0/8",
    "10.1.2.128/25",
    "10.1.0.0/17",
    "fd00:1::/32",
    "fd00:1:0:1::/80",
)
NOWHERE: Final = ("203.0.113.9", "198.51.100.0/24", "100.65.1.2", "fd00:dead::/64", "fd7a:115c:a1e0:1::9")
MEMBER, TAGGED, SELF = "autogroup:member", "autogroup:tagged", "autogroup:self"
INTERNET, DANGER = "autogroup:internet", "autogroup:danger-all"

ACL_PORTS: Final = ("*", "22", "80-443", "22,80,443", "1-65535", "53,8000-8100")
GRANT_PORTS: Final = (
    "*",
    "22",
    "tcp:22",
    "udp:53",
    "80-443",
    "tcp:8000-8100",
    "icmp:*",
    "tcp:*",
    "1-65535",
    "47",
)
PROTOCOLS: Final = ("tcp", "udp", "6", "17")
APPS: Final[tuple[dict[str, Any], ...]] = (
    {"example.com/cap/plain": []},
    {"example.com/cap/a": [{"role": "admin"}], "example.com/cap/b": [{}]},
    {"tailscale.com/cap/drive": [{"shares": ["*"], "access": "rw"}]},
    {"tailscale.com/cap/relay": [{}]},
    {"tailscale.com/cap/relay": [], "example.com/cap/a": [{}], "tailscale.com/cap/drive": [{}]},
)
ATTRIBUTES: Final = ("randomize-client-port", "nextdns:abc", "funnel", "disable-ipv4", "drive:share")
CONDITIONS: Final = (
    "node:os == 'linux'",
    "node:os != 'linux'",
    "node:os IN ['macos', 'windows']",
    "node:tsVersion >= '1.60'",
    "node:tsVersion < '1.60'",
    "custom:tier > 1",
    "custom:managed == true",
    "custom:managed IS SET",
    "custom:tier NOT SET",
)


@cache
def one_in(many: int) -> st.SearchStrategy[bool]:
    return st.integers(0, many - 1).map(lambda number: number == many - 1)


# --- selectors --------------------------------------------------------------------------------------------------


def emails(world: World) -> list[str]:
    return [user.email for user in world.users]


def of_people(world: World) -> list[str]:
    """Selectors from which `autogroup:self` may be reached."""
    return [MEMBER, *emails(world), *GROUPS]


def of_devices(world: World) -> list[str]:
    """Selectors that name devices by whose they are."""
    return [*of_people(world), *TAGS, TAGGED, *(f"user:*@{domain}" for domain in world.domains)]


def literals(world: World) -> list[str]:
    own = [address for node in world.nodes for address in (node.ipv4, node.ipv6)]
    return [*own, *HOSTS, *NODE_RANGES, *ROUTE_RANGES, *NOWHERE]


def some(pool: list[str], most: int = 3) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(pool), min_size=1, max_size=most, unique=True)


def any_selectors(world: World, *, literal: bool = True) -> st.SearchStrategy[list[str]]:
    """One to three selectors of any kind that may stand on either side."""
    kinds = [st.just("*"), st.sampled_from(of_devices(world))]
    if literal:
        kinds += [st.sampled_from(literals(world)), st.sampled_from([*ROUTE_RANGES, *NODE_RANGES])]
    return st.lists(st.one_of(kinds), min_size=1, max_size=3, unique=True)


def any_sources(world: World, *, literal: bool = True) -> st.SearchStrategy[list[str]]:
    return st.one_of(
        any_selectors(world, literal=literal), any_selectors(world, literal=literal), st.just([DANGER])
    )


def kind_of(selector: str) -> str:
    """The kind of a selector as the self-test counts them: an autogroup, host or pool by name, a literal by family."""
    if selector in ("*", "group:empty", *HOSTS) or selector.startswith("autogroup:"):
        return selector
    for start in ("group:", "tag:", "user:*@"):
        if selector.startswith(start):
            return start
    if "@" in selector:
        return "user"
    for name, pool in (("node range", NODE_RANGES), ("route range", ROUTE_RANGES), ("nowhere", NOWHERE)):
        if selector in pool:
            return name
    return "ipv6" if ":" in selector else "ipv4"


# --- rules ------------------------------------------------------------------------------------------------------


def with_posture(rule: Rule) -> st.SearchStrategy[Rule]:
    named = some(list(POSTURES), 2).map(lambda names: rule | {"srcPosture": names})
    return one_in(6).flatmap(lambda yes: named if yes else st.just(rule))


def acls(world: World) -> st.SearchStrategy[Rule]:
    """An ACL: of any selectors, to `autogroup:self` and people, or to the internet."""
    return st.one_of(plain_acls(world), plain_acls(world), self_acls(world)).flatmap(with_posture)


@st.composite
def plain_acls(draw: st.DrawFn, world: World) -> Rule:
    targets = draw(any_selectors(world))
    if draw(one_in(6)):
        targets.append(INTERNET)
    rule = {"action": "accept", "src": draw(any_sources(world))}
    if draw(one_in(8)):
        return rule | {"proto": draw(st.sampled_from(["icmp", "1"])), "dst": [at(t, "*") for t in targets]}
    ports = st.sampled_from(ACL_PORTS)
    dst = [at(target, draw(ports)) for target in targets]
    if draw(one_in(4)):
        dst.append(at(targets[0], draw(ports)))
    rule["dst"] = list(dict.fromkeys(dst))
    return rule | ({"proto": draw(st.sampled_from(PROTOCOLS))} if draw(one_in(4)) else {})


@st.composite
def self_acls(draw: st.DrawFn, world: World) -> Rule:
    src = draw(st.one_of(some(of_people(world)), st.just(["*"])))
    targets = [SELF, *(draw(some(of_devices(world), 2)) if draw(one_in(3)) else ())]
    dst = [at(target, draw(st.sampled_from(ACL_PORTS))) for target in targets]
    return {"action": "accept", "src": src, "dst": dst}


def at(selector: str, ports: str) -> str:
    bare = ":" in selector and "/" not in selector and kind_of(selector) in ("ipv6", "nowhere")
    return f"[{selector}]:{ports}" if bare else f"{selector}:{ports}"


def grants(world: World, *, free: bool = False) -> st.SearchStrategy[Rule]:
    """A grant: of ports, of capabilities, of both, to `autogroup:self`, to the internet, by `via`, or of nothing."""
    plain, via = plain_grants(world), via_grants(world)
    kinds = [plain, app_grants(world, free=free), self_grants(world), via, plain, via]
    empty = st.sampled_from([{"src": [], "dst": ["*"]}, {"src": ["*"], "dst": []}])
    either = st.sampled_from([{"ip": ["*"]}, {"app": APPS[0]}])
    return st.one_of(*kinds, st.builds(lambda a, b: a | b, empty, either)).flatmap(with_posture)


@st.composite
def plain_grants(draw: st.DrawFn, world: World) -> Rule:
    dst = draw(any_selectors(world)) + ([INTERNET] if draw(one_in(4)) else [])
    return {"src": draw(any_sources(world)), "dst": dst, "ip": draw(some(list(GRANT_PORTS)))}


@st.composite
def app_grants(draw: st.DrawFn, world: World, *, free: bool) -> Rule:
    app = draw(st.sampled_from(APPS))
    back = any(name.startswith("tailscale.com/") for name in app)
    src, dst = any_sources(world, literal=free or not back), any_selectors(world, literal=free)
    rule = {"src": draw(src), "dst": draw(dst), "app": app}
    return rule | ({"ip": draw(some(list(GRANT_PORTS)))} if draw(one_in(3)) else {})


@st.composite
def self_grants(draw: st.DrawFn, world: World) -> Rule:
    if draw(one_in(3)):
        return {"src": [MEMBER], "dst": [SELF], "app": draw(st.sampled_from(APPS))}
    dst = [SELF, *(draw(some(of_devices(world), 2)) if draw(one_in(3)) else ())]
    return {"src": draw(some(of_people(world))), "dst": dst, "ip": draw(some(list(GRANT_PORTS)))}


@st.composite
def via_grants(draw: st.DrawFn, world: World) -> Rule:
    pool = [*ROUTE_RANGES, "host-route", INTERNET]
    rule = {"src": draw(any_sources(world)), "dst": draw(some(pool, 2)), "via": draw(some(list(TAGS), 2))}
    if INTERNET in rule["dst"] or not draw(one_in(4)):
        return rule | {"ip": draw(some(list(GRANT_PORTS), 2))}
    return rule | {"app": APPS[1]}


@st.composite
def steering(draw: st.DrawFn, world: World) -> list[Rule]:
    """Grants that send some devices to a younger router of a shared route, and let others use the oldest."""
    routes = sorted({route for node in world.nodes for route in node.routes if world.routers(route)[1:]})
    if not routes:
        return draw(st.lists(via_grants(world), min_size=1, max_size=2))
    rules = []
    for _ in range(draw(st.integers(1, 3))):
        route = draw(st.sampled_from(routes))
        tags = sorted({tag for node in world.routers(route)[1:] for tag in node.tags})
        rule = {
            "src": draw(some([*TAGS, *of_people(world)], 2)),
            "dst": [route],
            "ip": draw(some(list(GRANT_PORTS), 2)),
        }
        rules.append(rule | ({"via": draw(some(tags, 2))} if tags and not draw(one_in(4)) else {}))
    return rules


@st.composite
def ssh(draw: st.DrawFn, world: World) -> Rule:
    """An SSH rule: to tags, to `autogroup:self`, or from a user to the same user; with every form of user names."""
    locals_ = [f"localpart:*@{domain}" for domain in world.domains]
    users = draw(some(["root", "ubuntu", "autogroup:nonroot", *locals_]))
    to_tags = st.lists(st.sampled_from(TAGS), min_size=1, max_size=2, unique=True)
    to_self = st.tuples(some(of_people(world)), st.sampled_from([[SELF], [SELF, TAGS[0]]]))
    to_same = st.sampled_from([([email], [email]) for email in emails(world)])
    # How often a device of two tags stands among the principals of a split rule is open.
    pool = [s for s in of_devices(world) if s != TAGGED or not set(users) & set(locals_)]
    src, dst = draw(st.one_of(st.tuples(some(pool), to_tags), to_self, to_same))
    rule: Rule = {
        "action": draw(st.sampled_from(["accept", "check"])),
        "src": src,
        "dst": dst,
        "users": users,
    }
    if rule["action"] == "check" and draw(st.booleans()):
        rule["checkPeriod"] = draw(st.sampled_from(["12h", "always", "0s", "168h"]))
    return rule | ({"acceptEnv": ["LC_*", "TERM"]} if draw(one_in(4)) else {})


@st.composite
def node_attrs(draw: st.DrawFn, world: World) -> Rule:
    named = ["*", "autogroup:admin", "autogroup:owner", TAGGED, *of_people(world), *TAGS]
    either = st.one_of(st.sampled_from(named), st.sampled_from(named), st.sampled_from(literals(world)))
    targets = draw(st.lists(either, min_size=1, max_size=3, unique=True))
    return {"target": targets, "attr": draw(some(list(ATTRIBUTES), 2))}


@st.composite
def auto_approvers(draw: st.DrawFn, world: World) -> Rule:
    who = some([*TAGS, *emails(world), *GROUPS], 2)
    routes = draw(st.dictionaries(st.sampled_from([*ROUTES, "0.0.0.0/0", "fd00::/8"]), who, max_size=3))
    return {"routes": routes} | ({"exitNode": draw(who)} if draw(st.booleans()) else {})


# --- policies ---------------------------------------------------------------------------------------------------


def policies(world: World, *, free: bool = False) -> st.SearchStrategy[Policy]:
    """No policy, or one of up to four grants and four ACLs and a little of everything else."""
    documents = policy_documents(world, free=free)
    return one_in(12).flatmap(lambda none: st.none() if none else documents)


@st.composite
def policy_documents(draw: st.DrawFn, world: World, *, free: bool) -> dict[str, Any]:
    people = st.lists(st.sampled_from(emails(world)), max_size=3, unique=True)
    policy: dict[str, Any] = {
        "tagOwners": {tag: [world.users[0].email] for tag in TAGS},
        "groups": {"group:a": draw(people), "group:b": draw(people), "group:empty": []},
        "hosts": draw(hosts(world)),
        "postures": {name: draw(some(list(CONDITIONS), 2)) for name in POSTURES},
    }
    steered = draw(one_in(5))
    if steered:
        policy["grants"] = draw(steering(world))
    for section, rules, many in sections(world, free=free)[2 if steered else 0 :]:
        if not draw(one_in(3)):
            policy[section] = [] if draw(one_in(8)) else draw(st.lists(rules, min_size=1, max_size=many))
    if draw(st.booleans()):
        policy["autoApprovers"] = draw(auto_approvers(world))
    if draw(one_in(10)):
        policy["defaultSrcPosture"] = draw(some(list(POSTURES), 2))
    if draw(one_in(10)):
        policy["randomizeClientPort"] = True
    return policy


def hosts(world: World) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries(
        {
            "host-node": st.sampled_from([node.ipv4 for node in world.nodes]),
            "host-route": st.sampled_from(ROUTE_RANGES),
            "host-nowhere": st.sampled_from(NOWHERE),
        }
    )


def sections(world: World, *, free: bool = False) -> list[tuple[str, st.SearchStrategy[Rule], int]]:
    return [
        ("grants", grants(world, free=free), 4),
        ("acls", acls(world), 4),
        ("ssh", ssh(world), 3),
        ("nodeAttrs", node_attrs(world), 2),
    ]
