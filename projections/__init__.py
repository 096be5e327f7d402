"""The projections fold: events in, netmaps in memory, deltas out.

- `netmap/`: the fold, its objects, views and deltas (pure)
- `inventory/`: lists that operators read (pure)
- `history/`: moments, replay, events as rows (pure)
- `pages.py`: rows as pages that fit into a message (pure)
- `soft_cache.py`: the newest soft facts, with leases
- `snapshots.py`: snapshots in chunks, shared by all who ask at about the same time
- `live.py`: the present state of a process, and whoever waits for it to move
- `moments.py`: packed moments of the log, on a shelf: from where a start or a replay begins
- `agreement.py`: whether several projections say the same of the same positions (pure)
- `shadow.py`: a second fold of the log beside the live one, to compare
- `replaying.py`: a whole log folded by itself, for `netmap replay`
- `watch.py`: what a projection says of itself, and what it does when it may be wrong
- `past.py`: earlier states, by reading the log again
- `events.py`: pages of events, and receipts of commands, from the log
- `policies.py`: a policy's text and versions, its faults and tests, and what another text would change
- `reasons.py`: why a node sees a peer or not, and what is wrong with WireGuard-only peers
- `queries.py`: the service `netmap-queries`
- `runner.py`: the role: tail, fold, tell, answer
- `__main__.py`: one process of the role
"""
