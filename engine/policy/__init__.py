"""Who sees whom, and who may send what to whom; pure. It knows nothing of the rest of the engine.

- `hujson.py`, `reading.py`, `read_*.py`: from an author's text to a `Document` (`document.py`), or a `PolicyFault` (`faults.py`)
- `subjects.py`: people and devices, as a policy may know them
- `program.py`, `ssh.py`, `attributes.py`, `postures.py`, `ranges.py`: the parts of a compiled policy
- `compiled.py`: the compiled policy: of which class a device is, and how a class stands (`policy.py`)
- `matching.py`, `points.py`: whom a selector speaks of, one device at a time and all at once
- `checks.py`, `check_*.py`: a policy's own tests; `preview.py`, `preview_*.py`: what another policy would change
- `approval.py`: who may have which tag, and which routes are approved by themselves
"""
