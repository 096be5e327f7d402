"""What the endpoints of one frontend share, wired together once."""

from typing import Final

from engine.domain.values import TailnetName
from engine.ports import Bus, Clock, IdSource
from frontends.control.follow import Age, Follower
from frontends.control.presence import Presence
from frontends.control.rate import Rates
from frontends.control.replica import Replica
from frontends.control.sessions import Sessions
from frontends.wire.noise import PrivateKey


class Identity:
    """Who this frontend is: its tailnet, its own name on the bus, its URL for clients, its Noise key."""

    def __init__(self, tailnet: TailnetName, name: str, url: str, key: PrivateKey) -> None:
        self.tailnet: Final = tailnet
        self.name: Final = name
        self.url: Final = url
        self.key: Final = key


class Frontend:
    """One tailnet's frontend; its tasks are `follower.run`, `presence.run` and `sessions.run`."""

    def __init__(self, identity: Identity, bus: Bus, clock: Clock, ids: IdSource) -> None:
        self.identity: Final = identity
        self.bus: Final = bus
        self.clock: Final = clock
        self.ids: Final = ids
        self.draining = False
        """Whether its end has begun: no new sessions (`drain.py`)."""
        self.rates: Final = Rates()
        self.replica: Final = Replica()
        self.follower: Final = Follower(bus, clock, identity.tailnet, identity.name, self.replica)
        self.presence: Final = Presence(bus, clock, identity.tailnet, identity.name, self.replica)
        self.sessions: Final = Sessions(clock, self.replica)
        self.follower.on_change = self.sessions.changed
        self.follower.on_reset = self.sessions.forget
        self.presence.on_change = self.sessions.changed
        self.presence.on_superseded = self.sessions.superseded
        self.sessions.on_closed = self.presence.closed

    @property
    def is_ready(self) -> bool:
        """Whether new sessions may begin."""
        return not self.draining and self.follower.age() < Age.UNREADY
