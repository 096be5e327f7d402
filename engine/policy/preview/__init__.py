"""Who gains and who loses what by another policy; pure.

- `compare.py`: two documents over the same people and devices
- `scene.py`, `relation.py`, `arrows.py`, `effects.py`, `rows.py`: groups of devices, what is between them, and what people are told
"""
