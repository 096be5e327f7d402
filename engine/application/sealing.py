"""Commands with a secret in them: the secret is sealed before anybody decides, and no digest gives it away.

Rule 1: whatever comes after `sealed_order` (decisions, events, receipts, logs) has the secret only as `KeyRing.seal` made it.
Rule 2: the receipt's digest of such a command is keyed: an account number has few digits, and a plain digest could be tried out.
Rule 3: such a command is not taken from the work queue: what is put there is on a disk before we see it.
"""

from typing import Final

from msgspec.structs import replace

from engine.application.ledger import Order
from engine.domain.errors import Invalid
from engine.domain.providercommands import AddProvider, UpdateProvider
from engine.domain.providers import checked_account
from engine.ports import KeyRing

ACCOUNT: Final = "provider account"
"""The purpose for which account numbers are sealed."""
SECRET_COMMANDS: Final = frozenset({"provider.add", "provider.update"})
"""Commands whose body may hold a secret."""


def sealed_order(order: Order, keyring: KeyRing) -> Order:
    """Return the order with its secret sealed; others as they are.

    Raises:
        Invalid: `provider.account`.
    """
    command = order.command
    if not isinstance(command, AddProvider | UpdateProvider):
        return order
    digest = keyring.derive("receipt", order.digest) + keyring.derive("receipt, second half", order.digest)
    if command.account is None:
        return replace(order, digest=digest)
    account = keyring.seal(ACCOUNT, checked_account(command.account))
    return replace(order, command=replace(command, account=account), digest=digest)


def refuse_queued(name: str) -> None:
    """Refuse a command that may hold a secret where it comes from the work queue (rule 3).

    Raises:
        Invalid: `secret.queued`.
    """
    if name in SECRET_COMMANDS:
        raise Invalid(
            "secret.queued",
            f"{name} may hold an account number, and the work queue keeps what it is given on a disk: nothing was done",
            hint="send it as a request: netmap provider",
        )
