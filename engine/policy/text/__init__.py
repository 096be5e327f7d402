"""From an author's text to a document; pure.

- `hujson.py`: JSON with comments and trailing commas, every value with its place
- `reading.py`: the whole text, section by section: `names.py` (groups, hosts, tag owners), `ipsets.py`, `postures.py`, `rules.py`,
  `ssh.py`, `nodes.py` (attributes, approvers)
- `quoting.py`: rules as they are quoted to people
- `selectors.py`, `ports.py`, `addresses.py`, `fields.py`: what the sections are made of
"""
