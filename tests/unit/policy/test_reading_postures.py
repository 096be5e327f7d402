"""Postures and their conditions."""

import json
from typing import Any

import pytest

from engine.policy.document import Condition, Document
from engine.policy.faults import PolicyFault
from engine.policy.text.reading import read


def document(**policy: Any) -> Document:
    return read(json.dumps(policy), domains=["example.com"])


def fault(**policy: Any) -> PolicyFault:
    with pytest.raises(PolicyFault) as caught:
        document(**policy)
    return caught.value


def test_postures() -> None:
    conditions = [
        "node:os == 'macos'",
        'node:tsVersion>="1.60"',
        "custom:tier  NOT  IN ['a, ]', \"b\", 3, true , ]",
        "custom:score < -1.5",
        "ip:country IS SET",
        "custom:x NOT SET",
        "custom:on != false",
    ]
    found = document(postures={"posture:ok": conditions}, defaultSrcPosture=[" posture:ok"])
    assert found.postures == {
        "posture:ok": (
            Condition(attribute="node:os", operator="==", values=("macos",)),
            Condition(attribute="node:tsVersion", operator=">=", values=("1.60",)),
            Condition(attribute="custom:tier", operator="NOT IN", values=("a, ]", "b", 3.0, True)),
            Condition(attribute="custom:score", operator="<", values=(-1.5,)),
            Condition(attribute="ip:country", operator="IS SET"),
            Condition(attribute="custom:x", operator="NOT SET"),
            Condition(attribute="custom:on", operator="!=", values=(False,)),
        )
    }
    assert found.default_postures == ("posture:ok",)
    assert found.warnings == ()


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "node:os",
        "node:os ==",
        "node:os = 'macos'",
        "node:os == macos",
        "node:os == 'macos' 'linux'",
        "node:os == ['macos']",
        "node:os IN 'macos'",
        "node:os IN []",
        "node:os IN ['a' 'b']",
        "node:os IN [,]",
        "node:os IN ['a',,'b']",
        "node:os IS SET 'x'",
        "node:os == 'macos",
        "os == 'macos'",
        "node:osIN ['a']",
        "node:os == 1.2.3",
    ],
)
def test_what_is_no_condition_is_refused(condition: str) -> None:
    assert fault(postures={"posture:x": [condition]}).kind == "bad-posture"


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        ({"postures": {"x": ["node:os IS SET"]}}, "posture-name"),
        ({"postures": {"posture:x": []}}, "bad-posture"),
        ({"defaultSrcPosture": ["posture:x"]}, "unknown-posture"),
        (
            {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "srcPosture": ["posture:x"]}]},
            "unknown-posture",
        ),
    ],
)
def test_postures_that_can_be_none_are_refused(policy: dict[str, Any], kind: str) -> None:
    assert fault(**policy).kind == kind


def test_an_attribute_that_no_client_reports_is_warned_of() -> None:
    (warning,) = document(postures={"posture:x": ["node:osversion == '1'"]}).warnings
    assert "node:osversion" in warning
    assert "node:osVersion" in warning
