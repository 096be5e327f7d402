"""Commands about personal data; a part of `commands.py`."""

from engine.domain.command import Command, Ref


class EraseUser(Command, frozen=True, kw_only=True):
    """Delete a user, and destroy the key to what the log says of it; one that was deleted before is named by its id."""

    user: Ref
    cascade: bool = False
    """Remove its nodes and WireGuard-only peers too."""
    force: bool = False
    """Also if some of it was recorded before names were sealed, and stays readable."""
