"""A policy's own tests; pure.

- `failures.py`: which of them fail, and why
- `entries.py`, `packets.py`, `shells.py`, `world.py`: what a test says, and what a policy says to it
"""
