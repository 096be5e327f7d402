"""What a policy gives to devices: attributes, and whose routes are approved."""

import json
from typing import Any

import pytest

from engine.policy.document import Document, Kind, NodeAttribute, RouteApprover, Selector
from engine.policy.faults import PolicyFault
from engine.policy.text.reading import read


def user(name: str) -> Selector:
    return Selector(kind=Kind.USER, value=name)


def tag(name: str) -> Selector:
    return Selector(kind=Kind.TAG, value=name)


def document(**policy: Any) -> Document:
    return read(json.dumps(policy), domains=["example.com"])


def fault(**policy: Any) -> PolicyFault:
    with pytest.raises(PolicyFault) as caught:
        document(**policy)
    return caught.value


def test_approvers_of_routes_and_exits() -> None:
    routes = {"10.0.0.7/8": ["tag:a", "alice@example.com"], "192.0.2.1": ["tag:a"], "::/0": ["group:a"]}
    approvers = {"routes": routes, "exitNode": ["tag:a", "bob"], "services": {"svc:x": ["tag:a"]}}
    found = document(groups={"group:a": []}, tagOwners={"tag:a": []}, autoApprovers=approvers)
    assert found.route_approvers == (
        RouteApprover(prefix="10.0.0.0/8", approvers=(tag("tag:a"), user("alice@example.com"))),
        RouteApprover(prefix="192.0.2.1/32", approvers=(tag("tag:a"),)),
        RouteApprover(prefix="::/0", approvers=(Selector(kind=Kind.GROUP, value="group:a"),)),
    )
    assert found.exit_approvers == (tag("tag:a"), user("bob"))
    assert [("services" in warning, "host bits" in warning) for warning in found.warnings] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("approvers", "kind"),
    [
        ({"routes": {"x": []}}, "bad-address"),
        ({"routes": {"10.0.0.0-10.0.0.2": []}}, "bad-address"),
        ({"routes": {"10.0.0.0/8": ["tag:none"]}}, "unknown-tag"),
        ({"exitNode": ["*"]}, "misplaced-selector"),
        ({"exitNode": ["group:none"]}, "unknown-group"),
    ],
)
def test_approvers_that_can_be_none_are_refused(approvers: dict[str, Any], kind: str) -> None:
    assert fault(autoApprovers=approvers).kind == kind


def test_attributes_of_devices() -> None:
    found = document(
        tagOwners={"tag:a": []},
        nodeAttrs=[
            {"target": ["tag:a", " * "], "attr": ["funnel", "nextdns:abc", "https://x/y?z=1"]},
            {"target": [], "attr": ["x"]},
            {"target": ["autogroup:admin"]},
            {
                "target": ["*"],
                "app": {"tailscale.com/app-connectors": [{"name": "x"}]},
                "ipPool": ["100.81.0.0/16"],
            },
        ],
        disableIPv4=True,
    )
    first, empty, idle, app, last = found.node_attributes
    assert first.targets == (tag("tag:a"), Selector(kind=Kind.ANY))
    assert first.names == ("funnel", "nextdns:abc", "https://x/y?z=1")
    assert (empty.targets, empty.names) == ((), ("x",))
    assert (idle.targets, idle.names) == ((Selector(kind=Kind.ROLE, value="admin"),), ())
    assert {name: bytes(value) for name, value in app.app.items()} == {
        "tailscale.com/app-connectors": b'[{"name":"x"}]'
    }
    assert last == NodeAttribute(targets=(Selector(kind=Kind.ANY),), names=("disable-ipv4",), line=1)
    assert any("ipPool" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"target": ["autogroup:self"]}, "internal-error"),
        ({"target": ["autogroup:internet"]}, "misplaced-selector"),
        ({"target": ["autogroup:danger-all"]}, "misplaced-selector"),
        ({"target": ["tag:none"]}, "unknown-tag"),
        ({"target": ["%bogus%"]}, "bad-address"),
        ({"target": ["*"], "attr": [""]}, "attr-empty"),
        ({"target": ["*"], "ipPool": ["x"]}, "bad-address"),
        ({"target": ["*"], "ipPool": ["100.100.100.0/24"]}, "ip-pool-reserved"),
        ({"target": ["*"], "ipPool": ["100.100.0.0/16"]}, "ip-pool-reserved"),
        ({"target": ["*"], "ipPool": ["100.81.0.0/16", "100.100.100.100"]}, "ip-pool-reserved"),
    ],
)
def test_attributes_that_can_be_none_are_refused(entry: dict[str, Any], kind: str) -> None:
    assert fault(nodeAttrs=[entry]).kind == kind
