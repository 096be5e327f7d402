"""ssh to a node through Tailscale, and accounts on a host that one can log in to.

A client in TUN mode is used plainly, one in userspace mode by `tailscale nc`. Nothing of the machine's own configuration
of ssh is read, and no host key is remembered.
"""

import shlex

from tests.kit.lab.clients import TailscaleClient
from tests.kit.lab.net import Host
from tests.kit.procs import Proc

_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "20",
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
}


def add_account(host: Host, name: str, number: int) -> None:
    """Give a host a user of that name, with user and group id `number`."""
    for file, line in (
        ("passwd", f"{name}:x:{number}:{number}::/tmp:/bin/sh\n"),
        ("group", f"{name}:x:{number}:\n"),
    ):
        with (host.folder / "etc" / file).open("a") as table:
            table.write(line)


def start_ssh(client: TailscaleClient, account: str, target: TailscaleClient, command: str) -> Proc:
    """Start `ssh <account>@<target> <command>` beside a client; its log has stdout and stderr."""
    options = dict(_OPTIONS)
    if client.mode == "userspace":
        options["ProxyCommand"] = f"{shlex.join(client.argv('nc'))} %h %p"
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    argv = ["ssh", "-F", "none", *flags, f"{account}@{target.ip4()}", command]
    return client.host.spawn(argv, "ssh")


def ssh(client: TailscaleClient, account: str, target: TailscaleClient, command: str) -> tuple[int, str]:
    """Run a command by ssh to its end; return its status (255: ssh itself failed) and what was written."""
    proc = start_ssh(client, account, target, command)
    return proc.wait_exit(timeout=40), proc.text().strip()
