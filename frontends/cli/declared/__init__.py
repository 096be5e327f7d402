"""WireGuard-only peers and their connections, declared in files. No I/O here.

- `fields.py`: which fields a file has; the JSON schema of it
- `reading.py`: a file's text, strictly, with the place of everything in it
- `wanted.py`: what files declare, in the form in which the log has it
- `present.py`: what there is, of the lists' rows; the same as a file
- `steps.py`: what a plan is made of; `planning.py`: from what there is to what is wanted; `peerplan.py`: its peers;
  `pairplan.py`: its connections and selectors
- `showing.py`: a plan as text, and as a document
"""
