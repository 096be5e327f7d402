"""The engine decides: commands in, events out, appended to the log.

- `domain/`: values, keys, commands, events, errors; decide and evolve (pure)
- `policy/`: who may reach whom (pure)
- `contracts/`: all that crosses NATS: subjects, requests, netmap objects and deltas, soft state (pure)
- `ports.py`: what the application needs, as protocols
- `application/`: one command at a time, group commit, pending logins, deadlines
- `adapters/`: the only doors to libraries: the event store, the bus, clock, ids, keyring
- `bootstrap.py`: the composition root of the engine's process
"""
