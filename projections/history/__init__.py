"""Time travel: which moment is meant, the state there, and the events on the way; pure.

- `moment.py`: a position, a time, `-2h`: which moment somebody means
- `replay.py`: records in, until the moment: the state there
- `kept.py`: a moment, packed: from where a replay or a projection may start
- `causes.py`: which records made what holds now
- `scene.py`: a moment, from the side of a node and of a WireGuard-only peer; `findings.py`: what is found there
- `why.py`: why a node sees a peer or not: `way.py` (is it told?), `places.py` (the peer), `traffic.py` (can it use it?)
- `doctor.py`: what is wrong with all of them
- `audit.py`: records as rows that an operator reads
"""
