"""What is true of a tailnet; no I/O, no clock, no randomness.

- `values.py`: identities and small values, one NewType each
- `keys.py`: nodekey:, mkey:, WireGuard base64: parse and print
- `commands.py`: imperative; may be refused; `command.py` is their root, `wgcommands.py` those about WireGuard-only peers
- `events.py`: past tense; never edited once stored; the tag is the name in the store; `wgevents.py` likewise
- `errors.py`: the Refusal family, with stable codes
- `aggregates.py`: what each noun is, between two events
- `state.py`: the tailnet as decisions see it: tables of aggregates, and their indices
- `evolve.py`: (aggregate, event) → aggregate
- `whom.py`: people and devices, as a policy may know them
- `decide.py`: the one door: command → the module that decides it
- `document.py`: the policy in force, understood once
- `users.py`, `authkeys.py`, `apikeys.py`, `nodes.py`, `peers.py`, `connections.py`, `settings.py`, `policies.py`: decisions, one noun each
- `peerlife.py`: what changes a WireGuard-only peer in place; `masqpool.py`: masquerade addresses from its pool
- `places.py`: where a WireGuard-only peer is, with host names looked up; `lookups.py`: what a lookup changes
- `backends.py`: several far sides under one id; `backendlife.py`: its part of `evolve.py`
- `selectors.py`: connections that nodes have because of what they are
- `pairs.py`: a node and a WireGuard-only peer together: what may not meet
- `registration.py`, `offers.py`: decisions on what clients ask; `tags.py`, `routes.py`: what nodes are given
- `refs.py`: from an id or a name to the thing
- `addresses.py`: which address comes next; `names.py`: which name is free
- `endpoints.py`, `prefixes.py`, `masquerade.py`: what an endpoint, an allowed IP, a masquerade address may be
- `extra.py`: the extra config of a WireGuard-only peer, from a JSON object
"""
