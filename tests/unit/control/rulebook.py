"""Rules for the session tests: one entry of each sort that a policy compiles to, SSH rules, and strategies over them.

Names of entries and of SSH rules are digests of what they say: what stands under a name never changes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from hypothesis import strategies as st

from engine.policy.policy import INTERNET, Reach, SshUse, Target, Within
from tests.unit.control.objects import entry, granted, reach, shell, to
from tests.unit.control.world import span

_FEW: Final = Within("all", 4, span("100.64.0.2")[1], span("100.64.0.64")[1])
_SIX: Final = Within("s1", 6, span("fd7a:115c:a1e0::2")[1], span("fd7a:115c:a1e0::ff")[1])
ENTRIES: Final = {
    found.entry.id: found
    for found in (
        entry("everybody", "all"),
        entry("some over tcp", "s1", "s2", protocol=6),
        entry("ranges", literals=("100.64.0.2", "10.1.2.0/24", "fd7a:115c:a1e0::/120")),
        entry("some and a range", "s1", literals=("10.1.0.0/16",)),
        entry("whole", whole="all"),
        entry("whole and some", "s2", whole="all", literals=("192.168.7.0/24",)),
        entry("anyone", is_anyone=True),
        entry("within", within=(_FEW, _SIX)),
        entry("via", "s1", via=("tag:b",)),
        entry("self", "all", is_conditional=True),
        entry("self over tcp", "all", protocol=6, is_conditional=True),
        entry("grant", "s1", grant='{"example.com/cap/a":[{"x":1}]}', is_conditional=True),
        entry("grant to the whole", whole="all", grant='{"b/c":null}', is_conditional=True),
        entry("some over tcp, again", "s2", "s1", protocol=6),
        entry("one set", "s1"),
        entry("another set", "s2"),
    )
}
EVERYBODY: Final = reach("everybody")
TARGETS: Final = (
    to(),
    to(ports=((22, 22), (80, 443))),
    to("*"),
    to("10.1.0.0/16", ((443, 443),)),
    to(INTERNET),
)
SHELLS: Final = {
    found.rule.id: found
    for found in (
        shell("root", "all"),
        shell(
            "each",
            "s1",
            each=("s2",),
            users=(("*", "="), ("root", "")),
            is_check=True,
            accept_env=("LANG", "X_*"),
        ),
        shell("local", "all", users=(("root", ""),), local=True, towards=("s1",)),
        shell("local too", "s2", users=(("ops", "ops"), ("root", "")), local=True, towards=("all",)),
    )
}
LOCAL_NAMES: Final = {
    "u1": (("local", "ann"), ("local too", "ann")),
    "u2": (("local", "bob"), ("local", "rob")),
}
"""Names of users' own, by class; a user's classes have the same."""
ABILITIES: Final = ("funnel", "https://tailscale.com/cap/is-admin", "disable-ipv4")
PREFIXES: Final = ("10.1.0.0/16", "10.0.0.0/8", "fd7a:115c:a1e0::/64", "192.168.7.0/24")

programs: Final = st.lists(st.sampled_from(list(ENTRIES)), unique=True, max_size=7)
targets: Final = st.lists(st.sampled_from(TARGETS), min_size=1, max_size=2).map(tuple)
reaches: Final = st.dictionaries(st.sampled_from(list(ENTRIES)), targets, max_size=6)
shell_uses: Final = st.lists(
    st.builds(SshUse, st.sampled_from(list(SHELLS)), st.booleans()),
    max_size=3,
    unique_by=lambda use: use.rule,
).map(tuple)
capabilities: Final = st.sets(st.sampled_from(ABILITIES)).map(lambda found: tuple(sorted(found)))


def ordered(names: Sequence[str], wanted: Mapping[str, tuple[Target, ...]]) -> tuple[Reach, ...]:
    """How a class is reached by those entries that the program has, in its order."""
    return tuple(_reach(name, wanted[name]) for name in names if name in wanted)


def _reach(name: str, found: tuple[Target, ...]) -> Reach:
    if ENTRIES[name].entry.grant is not None:
        return granted(name)
    return reach(name, *found, own="s1" if name.startswith("self") else "")
