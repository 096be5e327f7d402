"""The netmaps of a tailnet, folded from its log; pure.

- `state.py`: what the fold holds: the tailnet, the classes, the netmap objects; its canonical bytes
- `classes.py`: which class a node belongs to, and which classes a set has
- `policy.py`: a policy takes effect: who is looked at anew
- `routes.py`, `extras.py`, `objects.py`: approved prefixes, connections, and how nodes and peers become objects
- `fold.py`: one record more: which objects changed
- `rebuild.py`: a state from the tailnet alone, looked at from nothing
- `deltas.py`: folded records as the deltas of a chain, each small enough for a message
- `view.py`: one node's netmap, put together for people and for tests
- `diff.py`: what changed between two views
"""
