"""The keys that open what a log says of people (port `SubjectKeys`).

memory.py    in memory, and what all of them do
sqlite.py    in a file of its own beside the log
postgres.py  in a table of its own in the log's database
"""
