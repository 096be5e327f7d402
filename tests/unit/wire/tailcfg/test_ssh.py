"""The SSH policy on the wire."""

from frontends.wire.codec import encode
from frontends.wire.tailcfg.ssh import (
    SSHAction,
    SSHPolicy,
    SSHPrincipal,
    SSHRecorderFailureAction,
    SSHRule,
)


def test_nobody_is_an_empty_list_of_rules() -> None:
    assert encode(SSHPolicy()) == b'{"rules":[]}'


def test_names_are_in_lower_camel_case_but_for_the_recorder_s() -> None:
    action = SSHAction(
        accept=True,
        session_duration=3_600_000_000_000,
        allow_agent_forwarding=True,
        on_recording_failure=SSHRecorderFailureAction(notify_url="https://h/n"),
    )
    rule = SSHRule(
        principals=(SSHPrincipal(node_ip="100.64.0.1"), SSHPrincipal(any=True)),
        ssh_users={"*": "=", "root": ""},
        action=action,
        accept_env=("LANG",),
    )
    assert encode(SSHPolicy(rules=(rule,))) == (
        b'{"rules":[{"principals":[{"nodeIP":"100.64.0.1"},{"any":true}],"sshUsers":{"*":"=","root":""},'
        b'"action":{"accept":true,"sessionDuration":3600000000000,"allowAgentForwarding":true,'
        b'"onRecordingFailure":{"NotifyURL":"https://h/n"}},"acceptEnv":["LANG"]}]}'
    )
