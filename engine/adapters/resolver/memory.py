"""Host names in memory: what a test says of them."""

from engine.ports import LookedUp, LookupFailed


class MemoryResolver:
    """A `Resolver` of names that are told to it; `asked` are the lookups so far."""

    def __init__(self) -> None:
        self.names: dict[str, LookedUp] = {}
        self.failure = "there is no such name"
        """Why a name that is not told is not found."""
        self.asked: list[str] = []

    def tell(self, host: str, *addresses: str, seconds: float = 60.0) -> None:
        """Let the name have these addresses; none: it exists without any."""
        self.names[host] = LookedUp(addresses=addresses, seconds=seconds)

    async def look_up(self, host: str) -> LookedUp:
        """Return the addresses of a host name; see the port."""
        self.asked.append(host)
        found = self.names.get(host.lower())
        if found is None:
            raise LookupFailed(self.failure)
        if not found.addresses:
            raise LookupFailed("the name has no address")
        return found
