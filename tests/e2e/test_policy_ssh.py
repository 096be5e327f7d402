"""Tailscale SSH between real clients: who may come in as whom, and that a policy ends sessions too.

`n1` (the newest) runs Tailscale SSH and has an account besides root. `n2` is alice's, `n3` is bob's and in userspace mode.
The packet filter opens port 22 to everybody all the time: what is refused here is refused by the rules of SSH. The tests
are one story, told in order.
"""

from typing import Any, Final

import pytest

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import LATEST, VERSIONS, TailscaleClient
from tests.kit.lab.net import Lab
from tests.kit.lab.policy import key_of, set_policy
from tests.kit.lab.ssh import add_account, ssh, start_ssh
from tests.kit.procs import wait_until

pytestmark = pytest.mark.real

WHO: Final = "echo I am $(id -un)"
REFUSED: Final = 255
"""How ssh ends when it is not let in."""
NOT_AS: Final = 'tailnet policy does not permit you to SSH as user "{}"'
NOT_HERE: Final = "tailnet policy does not permit you to SSH to this node"
ALICE_AS_ROOT: Final = {
    "action": "accept",
    "src": ["alice@example.com"],
    "dst": ["tag:server"],
    "users": ["root"],
}
BOB_AS_OTHERS: Final = ALICE_AS_ROOT | {"src": ["bob@example.com"], "users": ["autogroup:nonroot"]}


class Story:
    """Who plays."""

    def __init__(self, lab: Lab, tailnet: Cluster) -> None:
        self.tailnet = tailnet
        self.server = TailscaleClient(LATEST, lab.host("n1"))
        self.alice = TailscaleClient(VERSIONS[1], lab.host("n2"))
        self.bob = TailscaleClient(VERSIONS[2], lab.host("n3"), mode="userspace")
        add_account(self.server.host, "carol", 4711)
        keys = (key_of(tailnet, "alice", "--tags", "tag:server"), *map(self.key, ("alice", "bob")))
        clients = (self.server, self.alice, self.bob)
        for client, key, flags in zip(clients, keys, (["--ssh"], [], []), strict=True):
            client.start()
            client.up(tailnet.url, key, *flags)
            client.wait_running()
        for client in (self.alice, self.bob):
            client.wait_path(self.server)

    def key(self, user: str) -> str:
        return key_of(self.tailnet, user)

    def allow(self, *rules: dict[str, Any]) -> None:
        """Set these rules of SSH, and wait until the server's client has as many."""
        everybody = {"action": "accept", "src": ["*"], "dst": ["*:22"]}
        set_policy(self.tailnet, {"tagOwners": {"tag:server": []}, "acls": [everybody], "ssh": list(rules)})
        actions = sorted("holdAndDelegate" if rule["action"] == "check" else "accept" for rule in rules)
        wait_until(lambda: self.actions() == actions, f"n1 has {actions}")

    def actions(self) -> list[str]:
        policy = self.server.netmap()["SSHPolicy"] or {}
        words = ("accept", "holdAndDelegate")
        return sorted(
            word for rule in policy.get("rules") or () for word in words if rule["action"].get(word)
        )


@pytest.fixture(scope="module")
def story(lab: Lab, tailnet: Cluster) -> Story:
    return Story(lab, tailnet)


def test_without_a_rule_nobody_comes_in(story: Story) -> None:
    story.allow()
    status, said = ssh(story.alice, "root", story.server, WHO)
    assert (status, NOT_HERE in said) == (REFUSED, True), said


def test_a_rule_lets_its_user_in_as_root_and_nobody_else(story: Story) -> None:
    story.allow(ALICE_AS_ROOT)
    status, said = ssh(story.alice, "root", story.server, WHO)
    assert (status, said.endswith("I am root")) == (0, True), said
    status, said = ssh(story.alice, "carol", story.server, WHO)
    assert (status, NOT_AS.format("carol") in said) == (REFUSED, True), said
    status, said = ssh(story.bob, "root", story.server, WHO)
    assert (status, NOT_HERE in said) == (REFUSED, True), said


def test_a_rule_for_other_accounts_does_not_open_root(story: Story) -> None:
    story.allow(ALICE_AS_ROOT, BOB_AS_OTHERS)
    status, said = ssh(story.bob, "carol", story.server, WHO)
    assert (status, said.endswith("I am carol")) == (0, True), said
    status, said = ssh(story.bob, "root", story.server, WHO)
    assert (status, NOT_AS.format("root") in said) == (REFUSED, True), said


def test_a_rule_that_goes_ends_its_sessions_and_no_others(story: Story) -> None:
    at_root = start_ssh(story.alice, "root", story.server, "echo here; exec sleep 1000")
    at_carol = start_ssh(story.bob, "carol", story.server, "echo here; exec sleep 1000")
    at_root.wait_line("^here", timeout=20)
    at_carol.wait_line("^here", timeout=20)
    story.allow(BOB_AS_OTHERS)
    assert at_root.wait_exit(timeout=20) == REFUSED
    assert "Access revoked" in at_root.text()
    status, said = ssh(story.alice, "root", story.server, WHO)
    assert (status, NOT_HERE in said) == (REFUSED, True), said
    assert at_carol.running
    at_carol.kill()


def test_a_rule_that_checks_lets_nobody_in_without_one(story: Story) -> None:
    story.allow(ALICE_AS_ROOT | {"action": "check"}, BOB_AS_OTHERS)
    status, said = ssh(story.alice, "root", story.server, WHO)
    assert (status, "needs a check" in said, "I am" in said) == (REFUSED, True, False), said
    status, said = ssh(story.bob, "carol", story.server, WHO)
    assert (status, said.endswith("I am carol")) == (0, True), said
