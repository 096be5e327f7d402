"""Time travel: which moment is meant, the state there, and the events on the way; pure.

- `moment.py`: a position, a time, `-2h`: which moment somebody means
- `replay.py`: records in, until the moment: the state there
- `audit.py`: records as rows that an operator reads
"""
