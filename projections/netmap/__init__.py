"""The netmaps of a tailnet, folded from its log; pure.

- `state.py`: what the fold holds: the tailnet, the classes, the netmap objects; its canonical bytes
- `classes.py`: which class a node belongs to, and what the classes' objects are under a policy
- `fold.py`: one record more: which objects changed
- `deltas.py`: folded records as the deltas of a chain, each small enough for a message
- `view.py`: one node's netmap, put together for people and for tests
- `diff.py`: what changed between two views
"""
