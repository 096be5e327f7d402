"""The log's stores, over the recorders of the `eventsourcing` library.

opening.py   a store or a reader by its URL
codec.py     events to stored rows and back; upcasting
chain.py     the hash chain, and where it breaks
log.py       what every store does, in one thread
recorded.py  the same behind asyncio
memory.py    in memory
sqlite.py    in a file, behind a lock file
postgres.py  in a database, behind a fence
audit.py     whether a stored log holds; proofs
archive.py   a log in one file: what is in it, and whether it holds
backup.py    writing one
restore.py   and back into an empty store
"""
