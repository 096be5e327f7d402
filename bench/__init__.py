"""Measures what docs/budgets.md promises; `python -m bench [name …]`, never part of a test.

__main__.py    the command
report.py      rows with their budgets, as a table and as JSON
machine.py     how busy the machine is, and what processes use of it
site.py        our processes in a temporary folder, with people and machines in it
asker.py       a NATS client that only asks, and notes when the answers come
viewer.py      a simulated client that only notes when bytes come
floors.py      what the machine can do at best: the other half of every ratio
profiled.py    our processes under cProfile
commands.py    durable commands through NATS
first_map.py   a client's first map among 1,000 nodes
join.py        a reconnect storm, and one node joining 200 and 1,000 connected clients
past.py        a million records, and any moment of them
replay.py      a million records into the engine and the projection
"""
