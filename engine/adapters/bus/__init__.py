"""Doors to NATS.

- `barrier.py`: when the server has what was sent
- `answering.py`: what a responder raises, as an error reply
- `context.py`: URL, user and password of a role, as files that the `nats` CLI reads too
- `inbox.py`: what waits for one subscriber, bounded
- `jetstream.py`: the work queue of durable commands
- `matching.py`: subjects and wildcards
- `memory.py`: a bus inside one process, which can lose, repeat and delay
- `micro.py`: a service that answers many requests at a time
- `nats.py`: the bus
- `server.py`: the bundled nats-server as a child process
- `server_config.py`: its configuration: accounts, users, rights
"""
