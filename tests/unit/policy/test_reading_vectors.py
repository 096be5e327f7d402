"""Every recorded policy: refused with the class that the hosted service's answer has, or read without a fault."""

import json
from typing import Any, Final

import pytest

from engine.policy.document import Document
from engine.policy.faults import PolicyFault
from engine.policy.text.hujson import excerpt
from engine.policy.text.reading import read
from tests.kit.policy_vectors import vectors

Vector = dict[str, Any]

FAILED: Final = "test-failed"
"""The class that is not told by reading: the tests of a policy are run elsewhere."""
# Per family: policies that are read, policies that are refused.
FAMILIES: Final = {
    "acl": (121, 13),
    "grant": (141, 24),
    "nodeattrs": (32, 3),
    "policytest": (30, 0),
    "routes": (66, 0),
    "ssh": (57, 21),
    "sshtest": (21, 2),
}


def text_of(vector: Vector) -> str:
    return json.dumps(vector["policy"], ensure_ascii=False, indent=2)


def wanted(vector: Vector) -> str:
    """Return the class of the refusal, or nothing if the text is to be read."""
    expected = vector["expect"]
    kind = "" if expected["accept"] else str(expected["error"]["class"])
    return "" if kind == FAILED else kind


def answer(vector: Vector) -> Document | PolicyFault:
    try:
        return read(text_of(vector), domains=vector["tailnet"]["domains"])
    except PolicyFault as fault:
        return fault


@pytest.mark.parametrize("family", FAMILIES)
def test_each_is_read_or_refused_as_the_hosted_service_does(family: str) -> None:
    some = [vector for vector in vectors().values() if vector["family"] == family]
    wrong = {}
    for vector in some:
        got = answer(vector)
        kind = got.kind if isinstance(got, PolicyFault) else ""
        if kind != wanted(vector):
            wrong[vector["id"]] = (wanted(vector), kind, str(got))
    assert not wrong
    refused = sum(bool(wanted(vector)) for vector in some)
    assert (len(some) - refused, refused) == FAMILIES[family]


def test_each_refusal_says_where_and_what_to_do() -> None:
    for vector in filter(wanted, vectors().values()):
        got = answer(vector)
        assert isinstance(got, PolicyFault)
        line, caret = excerpt(text_of(vector), got.line, got.column).split("\n")
        assert line[caret.index("^")] not in " \n", vector["id"]
        assert got.message, vector["id"]
        assert got.hint, vector["id"]


def test_the_recorded_policies_give_no_reason_to_warn() -> None:
    warned = {
        vector["id"]: got.warnings
        for vector in vectors().values()
        if isinstance(got := answer(vector), Document) and got.warnings
    }
    assert not warned
