"""People and policies of a tailnet in the lab, and who reaches what.

Reach is asked over TCP, of real listeners, as a whole: that one port is shut says something only beside another that
answers in the same round.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.kit.cluster import Cluster
from tests.kit.lab.clients import TailscaleClient
from tests.kit.procs import DeadlineError, wait_until

OPEN_SECONDS = 4.0
"""How long an answer may take that is expected."""
SHUT_SECONDS = 1.5
"""How long one is waited for that is not: the filter drops, nobody says no."""


def set_policy(tailnet: Cluster, policy: Mapping[str, Any]) -> None:
    """Set the policy by the operator's command line.

    Raises:
        CliError: it is refused.
    """
    path = tailnet.folder / "policy.json"
    path.write_text(json.dumps(policy, indent=2))
    tailnet.cli("policy", "set", "--quiet", str(path))


def key_of(tailnet: Cluster, user: str, *flags: str) -> str:
    """Make a reusable pre-auth key for a user, and the user, `<user>@example.com`, if need be."""
    if not any(known["name"] == user for known in tailnet.ask("user", "list")):
        tailnet.cli("user", "create", user, "--email", f"{user}@example.com")
    reply = tailnet.ask("preauthkey", "create", "--user", user, "--reusable", *flags)
    key: str = reply["result"]["key"]
    return key


def wait_reach(client: TailscaleClient, expected: Mapping[str, bool], *, timeout: float = 40.0) -> None:
    """Wait until of these URLs those answer that are expected to, and no others, all in one round.

    Raises:
        DeadlineError: there was no such round; tells the last.
    """
    seen: dict[str, bool] = {}

    def is_so() -> bool:
        for url, is_open in expected.items():
            seen[url] = client.curl(url, timeout=OPEN_SECONDS if is_open else SHUT_SECONDS).status == 200
        return seen == expected

    try:
        wait_until(is_so, f"{client.host.name} ({client.version}) reaches {expected}", timeout=timeout)
    except DeadlineError as error:
        raise DeadlineError(f"{error}; it was {seen}") from None
