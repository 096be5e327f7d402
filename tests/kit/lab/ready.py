"""What is missing to run the lab here, said in one sentence; in CI nothing may be missing."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kit.lab.clients import VERSIONS, binary

TOOLS = (
    "ip",
    "wireguard-go",
    "wg",
    "tcpdump",
    "nft",
    "iptables",
    "ip6tables",
    "ping",
    "curl",
    "sysctl",
    "mount",
    "ssh",
)


def lab_available(versions: Sequence[str] = VERSIONS) -> str | None:
    """Why the lab cannot run; None if it can.

    Args:
        versions: clients that must have been built; empty for a lab without Tailscale.
    """
    if not Path("/proc/self/ns/net").exists():
        return "the lab needs Linux network namespaces"
    if os.geteuid():
        return "the lab needs root (network namespaces)"
    if not Path("/dev/net/tun").exists():
        return "the lab needs /dev/net/tun"
    tools = [tool for tool in TOOLS if not shutil.which(tool)]
    if tools:
        return f"the lab needs {', '.join(tools)}: `make lab` installs them"
    lacking = [
        v for v in versions if not binary(v, "tailscaled").exists() or not binary(v, "tailscale").exists()
    ]
    if lacking:
        return f"no Tailscale client {', '.join(lacking)}: `make clients` builds them"
    return None


def require_lab(versions: Sequence[str] = VERSIONS) -> None:
    """Skip the test if the lab cannot run here.

    Raises:
        RuntimeError: instead of the skip, where CI=true says that everything must run.
    """
    reason = lab_available(versions)
    if reason and os.environ.get("CI") == "true":
        raise RuntimeError(reason)
    if reason:
        pytest.skip(reason)
