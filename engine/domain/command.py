"""The root of all commands, and the types of their fields."""

from typing import Annotated

import msgspec

Ref = int | Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
"""An id, or a name."""
Text = Annotated[str, msgspec.Meta(max_length=1024)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=10 * 366 * 86_400)]
Refs = Annotated[tuple[Ref, ...], msgspec.Meta(min_length=1, max_length=2_000)]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(max_length=1_000)]


class Command(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The root of all commands."""
