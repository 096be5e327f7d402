"""Commands in, events out: async, against ports only.

- `announcer.py`: says that the log has grown
- `answers.py`: replies as JSON
- `deadlines.py`: key expiries that come due
- `decoding.py`: bodies and headers of requests, strictly
- `durable.py`: commands from the work queue
- `engine.py`: one command at a time, group commit, receipts
- `ledger.py`: what the engine knows of the log, in memory
- `logins.py`: machines that wait for somebody's word
- `lookups.py`: host names of WireGuard-only peers, looked up again and again
- `quiet.py`: ephemeral nodes that have gone quiet
- `registration.py`: what frontends ask for their clients
- `service.py`: commands as a NATS service
"""
