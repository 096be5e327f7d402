"""Whatever the text is: HuJSON agrees with JSON where both can be asked, and nothing but a fault comes out of a policy."""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.policy.document import Document, Kind, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.hujson import Array, Node, Object, excerpt, parse, plain, raw
from engine.policy.text.reading import read

quick: Final = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

characters: Final = st.characters(exclude_categories=["Cs"])
words: Final = st.text(characters, max_size=8)
numbers: Final = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
leaves: Final = st.none() | st.booleans() | numbers | words
values: Final = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)
comments: Final = st.text(characters, max_size=6).map(lambda text: f"/*{text.replace('*/', '')}x*/")
lines: Final = st.text(characters, max_size=6).map(lambda text: "//" + text.replace("\n", "") + "\n")
blanks: Final = st.lists(st.sampled_from([" ", "\t", "\r", "\n"]) | comments | lines, max_size=3).map("".join)

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_CLOSING: Final = ("]", "}")


def outcome(text: str) -> Any:
    """Return the value in a tuple, or the fault; no other exception is let pass."""
    try:
        return (plain(parse(text)),)
    except PolicyFault as fault:
        return fault


def by_json(text: str) -> Any:
    """Return the value in a tuple as JSON's own parser has it, strictly, or None if it refuses the text."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise _TwiceError
        return dict(pairs)

    try:
        value = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
        json.dumps(value, ensure_ascii=False).encode()
    except _TwiceError:
        raise
    except ValueError:
        return None
    return (value,)


class _TwiceError(Exception):
    """A key stands twice in one object."""


def decorated(text: str, blank: Callable[[], str], comma: Callable[[], bool]) -> str:
    """Return the text with something between any two tokens, and commas before the ends of what is not empty."""
    parts = [blank()]
    before = ""
    for token in _TOKEN.findall(text):
        if token in _CLOSING and before not in ("[", "{") and comma():
            parts += [",", blank()]
        parts += [token, blank()]
        before = token
    return "".join(parts)


def nodes_of(node: Node) -> list[Node]:
    """Return the node, its keys and everything in it."""
    match node:
        case Array(items=items):
            return [node, *(inner for item in items for inner in nodes_of(item))]
        case Object(members=members):
            return [node, *(inner for pair in members for item in pair for inner in nodes_of(item))]
        case _:
            return [node]


def json_begins(node: Node) -> str:
    return bytes(raw(node)).decode()[0]


@quick
@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_any_value_comes_back_from_its_json(value: object, is_ascii: bool, indent: int | None) -> None:  # noqa: FBT001
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    tree = parse(text)
    assert plain(tree) == value
    assert json.loads(bytes(raw(tree))) == value
    assert plain(parse(bytes(raw(tree)).decode())) == value
    assert msgspec.json.decode(msgspec.json.encode(raw(tree))) == json.loads(text)


@quick
@given(st.data(), values)
def test_comments_blanks_and_trailing_commas_change_nothing(data: st.DataObject, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    found = decorated(text, lambda: data.draw(blanks), lambda: data.draw(st.booleans()))
    assert plain(parse(found)) == json.loads(text)
    assert bytes(raw(parse(found))) == bytes(raw(parse(text)))
    for node in nodes_of(parse(found)):
        assert json_begins(node) == found.split("\n")[node.line - 1][node.column - 1], node


@quick
@given(st.data(), values)
def test_a_broken_text_is_refused_or_read_as_json_would(data: st.DataObject, value: object) -> None:
    letters = list(json.dumps(value, ensure_ascii=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(letters)))
        with_ = data.draw(st.sampled_from([*'[]{},:"\\/*-+.eE01untfa\x00\n ', "\ud800", "é"]) | characters)
        match data.draw(st.sampled_from(["insert", "delete", "replace", "swap"])):
            case "insert":
                letters.insert(at, with_)
            case "delete":
                del letters[at : at + 1]
            case "replace":
                letters[at : at + 1] = [with_]
            case _:
                letters[at : at + 2] = reversed(letters[at : at + 2])
    text = "".join(letters)
    got = outcome(text)
    assume("//" not in text)
    assume("/*" not in text)
    assume(not re.search(r",\s*[\]}]", text))
    try:
        wanted = by_json(text)
    except _TwiceError:
        assert isinstance(got, PolicyFault)
        return
    assert isinstance(got, PolicyFault) if wanted is None else got == wanted


@quick
@given(
    st.text(st.sampled_from('[]{},:"\\/*-+.eE01untruefalsx\x00\n \ud800'), max_size=30) | st.text(max_size=30)
)
def test_any_text_at_all_is_read_or_refused_at_a_place_in_it(text: str) -> None:
    got = outcome(text)
    if isinstance(got, PolicyFault):
        lines_of_it = text.split("\n")
        assert 1 <= got.line <= len(lines_of_it)
        assert 1 <= got.column <= len(lines_of_it[got.line - 1]) + 1
        assert excerpt(text, got.line, got.column)


GOOD: Final = """
* alice@example.com bob@ ALICE@Example.com user:*@example.com group:eng tag:a tag:b h1 net host:h1 100.64.0.1
100.64.0.1/32 10.0.0.0/8 10.0.0.7/8 10.0.0.1-10.0.0.9 fd7a::1 fd7a::/48 ipset:x ipset:y autogroup:member
autogroup:tagged autogroup:admin autogroup:self autogroup:internet autogroup:danger-all autogroup:shared
"""
ODD: Final = """
carol user:*@other.com user:x group:none tag:none tag: none 9-8 0.0.0.0/0 ::/0 ::ffff:1.2.3.4 1.2.3 ipset:none svc:x
autogroup:none accept 80 tcp:80 localpart:*@example.com posture:ok posture:
"""
good: Final = st.sampled_from(GOOD.split())
odd: Final = st.sampled_from([*ODD.split(), "", " ", "add 10.0.0.0/8", "remove ipset:x", "\x1b[1m\n"])
junk: Final = leaves | odd | st.lists(odd, max_size=2) | st.dictionaries(odd, odd, max_size=2)


def mostly(inner: st.SearchStrategy[Any], other: st.SearchStrategy[Any] = junk) -> st.SearchStrategy[Any]:
    """Return what should stand there, now and then what should not."""
    return st.integers(0, 29).flatmap(lambda number: other if number == 0 else inner)


def of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with most of these keys."""
    whole = {key: mostly(value) for key, value in fields.items()}
    return st.fixed_dictionaries(whole) | st.fixed_dictionaries({}, optional=whole)


def named(*keys: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with some of these keys, the first ones more often."""
    return st.dictionaries(st.sampled_from((*keys[:2], *keys[:2], *keys)), mostly(value), max_size=2)


def several(inner: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[Any]:
    return st.lists(mostly(inner, odd | junk), max_size=most)


def one_of(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


people: Final = one_of("alice@example.com bob@ carol")
owners: Final = one_of("alice@example.com bob@ carol group:eng tag:a autogroup:admin autogroup:member")
devices: Final = one_of("tag:a tag:b alice@example.com autogroup:self group:eng autogroup:tagged h1 *")
ports: Final = one_of("22 * 80,443 1-2 0 x 70000 2-1")
postures: Final = several(st.just("posture:ok"), 1)
conditions: Final = st.sampled_from(
    ["node:os == 'linux'", "node:os IN ['a', 1, true,]", "custom:x IS SET", "a:b < 1"]
)
apps: Final = named(
    "example.com/a", "tailscale.com/cap/drive", "https://x/y", "tailscale.com/x", value=st.lists(leaves)
)
section: Final = {
    "groups": named("group:eng", "group:ops", "group:é", "eng", value=several(people)),
    "hosts": named("h1", "net", "1.2.3.4", "a b", value=one_of("10.0.0.1 10.0.0.0/8 10.0.0.9/8 fd7a::/48 x")),
    "tagOwners": named("tag:a", "tag:b", "tag:A", "tag:1", "tag:é", value=several(owners)),
    "ipsets": named("ipset:x", "ipset:y", "ipset:", value=several(good, 4)),
    "postures": named("posture:ok", "posture:no", "posture:", value=several(conditions)),
    "acls": several(
        of(
            action=st.just("accept"),
            src=several(good),
            dst=several(st.tuples(good, ports).map(":".join)),
            proto=one_of("tcp icmp 6 47 * 256 x"),
            srcPosture=postures,
        )
    ),
    "grants": several(
        of(
            src=several(good),
            dst=several(good),
            ip=several(one_of("* 22 tcp:80-90 udp:* 6:1 icmp:* icmp:1 icmp 0")),
            via=several(one_of("tag:a tag:b")),
            app=apps,
            srcPosture=postures,
        )
    ),
    "ssh": several(
        of(
            action=one_of("accept check deny"),
            src=several(good),
            dst=several(devices),
            users=several(one_of("root autogroup:nonroot localpart:*@example.com localpart:*@other.com *")),
            checkPeriod=one_of("1h always 0s 1h30m 200h x 1.5s"),
            acceptEnv=several(one_of("LC_* X")),
            srcPosture=postures,
        )
    ),
    "nodeAttrs": several(of(target=several(good), attr=several(one_of("funnel x:y")), app=apps)),
    "autoApprovers": of(
        routes=named("10.0.0.0/8", "::/0", "x", value=several(owners)),
        exitNode=several(owners),
        services=apps,
    ),
    "tests": several(of(src=good, accept=several(good))),
    "sshTests": several(of(src=good, dst=several(devices), accept=several(people))),
    "defaultSrcPosture": postures,
    "randomizeClientPort": st.booleans(),
    "disableIPv4": st.booleans(),
    "OneCGNATRoute": one_of("mac-always mac-never x"),
    "derpMap": st.just({"Regions": {}}),
}
BASE: Final = {
    "groups": {"group:eng": ["alice@example.com"]},
    "hosts": {"h1": "100.64.0.7", "net": "10.1.0.0/16"},
    "tagOwners": {"tag:a": [], "tag:b": ["tag:a"]},
    "ipsets": {"ipset:x": ["10.0.0.0/8", "remove 10.1.0.0/16"], "ipset:y": ["ipset:x", "host:h1"]},
    "postures": {"posture:ok": ["node:os == 'linux'"]},
}


def answer(text: str) -> Document | PolicyFault:
    try:
        return read(text, domains=["example.com"])
    except PolicyFault as fault:
        return fault


def read_or_refused(text: str) -> Document | None:
    """Return the document if there is one; whatever is said of it can be shown to a person."""
    found = answer(text)
    if isinstance(found, Document):
        assert all(warning.isprintable() for warning in found.warnings)
        return found
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", found.kind)
    assert found.hint or found.kind in ("syntax", "duplicate-key", "too-deep", "too-large")
    for said in (found.message, found.hint):
        assert said.isprintable()
        assert len(said) < 500
    assert excerpt(text, found.line, found.column)
    return None


def selectors_of(document: Document) -> list[Selector]:
    found = [s for grant in document.grants or () for s in grant.sources + grant.destinations]
    for acl in document.acls or ():
        found += [*acl.sources, *(selector for selector, _ in acl.destinations)]
    return found + [s for rule in document.ssh for s in rule.sources + rule.destinations]


@settings(quick, max_examples=250)
@given(st.data())
def test_whatever_stands_in_a_section_it_is_read_or_refused(data: st.DataObject) -> None:
    some_names = data.draw(st.lists(st.sampled_from(sorted(section)), min_size=1, max_size=3, unique=True))
    policy: dict[str, Any] = BASE | {name: data.draw(mostly(section[name])) for name in some_names}
    text = json.dumps(policy, indent=1)
    found = read_or_refused(text)
    if found is None:
        return
    for selector in selectors_of(found):
        assert selector.kind is not Kind.RANGE or selector.version in (4, 6)
        assert selector.kind is not Kind.TAG or selector.value in found.tag_owners
        assert selector.kind is not Kind.GROUP or selector.value in found.groups
    again = read(json.dumps(policy), domains=["example.com"])
    assert selectors_of(again) == selectors_of(found)


@settings(quick, max_examples=80)
@given(st.dictionaries(st.sampled_from(sorted(section)) | words, values, max_size=3) | values)
def test_whatever_is_no_policy_at_all_is_refused_and_no_more(value: object) -> None:
    read_or_refused(json.dumps(value, ensure_ascii=False))


@settings(quick, max_examples=80)
@given(
    st.text(max_size=20),
    st.sampled_from(["src", "dst", "users", "ip", "via", "checkPeriod", "action", "acceptEnv"]),
)
def test_any_word_in_any_place_of_a_rule_is_read_or_refused(word: str, key: str) -> None:
    value = word if key in ("checkPeriod", "action") else [word]
    rule = {"src": ["*"], "dst": ["tag:a"], "ip": ["*"]} | {key: value}
    shell = {"action": "check", "src": ["*"], "dst": ["tag:a"], "users": ["root"]} | {key: value}
    with contextlib.suppress(UnicodeEncodeError):
        for name, entry in (("grants", rule), ("ssh", shell)):
            entry = {k: v for k, v in entry.items() if name != "ssh" or k not in ("ip", "via")}  # noqa: PLW2901
            read_or_refused(json.dumps(BASE | {name: [entry]}))
            read_or_refused(json.dumps(BASE | {name: [entry]}, ensure_ascii=False))
