"""The lists that operators read, from the tailnet and what frontends know of its nodes; pure.

- `rows.py`: the rows of every list, as JSON has them
- `lists.py`: the tailnet's tables as rows, by id
- `devices.py`: providers, and nodes there
- `legacy.py`: two lists with the names that a tool of the older fork reads
- `receipts.py`: which command was recorded where
- `versions.py`: every version of the policy that the log has
"""
