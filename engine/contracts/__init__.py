"""All that crosses NATS; both sides of every message read this and no more.

- `subjects.py`: every subject, one function each; nobody else spells one
- `requests.py`: commands on the bus and their replies: accepted, or an error with a code
- `registration.py`: what frontends ask the engine for their clients
- `netmap.py`: netmap objects, deltas, bookmarks, snapshots; the chain rule
- `chunks.py`: a snapshot as chunks that fit into messages, and back
- `told.py`: what a client is told of a WireGuard-only peer, by its capability version
- `soft.py`: soft state: endpoints, home DERP, online; last writer wins
- `queries.py`: what may be asked of projections
"""
