"""Measures what docs/budgets.md promises; `python -m bench [name …]`; a test runs each in a tiny form.

__main__.py    the command
forms.py       how much of each is run: full, short, tiny
report.py      rows with their budgets, as a table and as JSON
history.py     what was measured when, on which code and machine; how two runs differ
machine.py     how busy the machine is, and what processes use of it
site.py        our processes in a temporary folder, with people and machines in it
asker.py       a NATS client that only asks, and notes when the answers come
viewer.py      a simulated client that only notes when bytes come
fleet.py       thousands of them in a few processes: orders.py what these are told, crew.py one of the processes,
               judge.py holds every frame that came against the log
floors.py      what the machine can do at best: the other half of every ratio
profiled.py    our processes under cProfile
commands.py    durable commands through NATS
first_map.py   a client's first map among 1,000 nodes
fleet5k.py     5,000 connected clients on four frontends
idle.py        5,000 on one, to whom nothing happens
join.py        a reconnect storm, and one node joining 200 and 1,000 connected clients
overload.py    three times the commands that can be done
past.py        a million records, and any moment of them
replay.py      a million records into the engine and the projection
revocation.py  what is taken away is gone: a node, a connection, the sight of others
scale.py       one, two, four frontends, and the death of one
wireguard.py   670 relays, all connected to each of 50 nodes
"""
