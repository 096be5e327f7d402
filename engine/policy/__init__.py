"""Who sees whom, and who may send what to whom; pure. It knows nothing of the rest of the engine.

- `text/`: from an author's text to a `Document` (`document.py`), or a `PolicyFault` (`faults.py`)
- `subjects.py`, `matching.py`, `points.py`: people and devices as a policy may know them; whom a selector speaks of
- `compiled.py`: the compiled policy: of which class a device is, and how a class stands (`policy.py`); its parts are `program.py`,
  `ssh.py`, `attributes.py`, `postures.py` and `ranges.py`; `edit.py` says what an edit touches
- `permit.py`: what a policy leaves of a connection to a WireGuard-only peer
- `approval.py`: who may have which tag, and which routes are approved by themselves
- `checks/`: a policy's own tests
- `preview/`: who gains and who loses what by another policy
"""
