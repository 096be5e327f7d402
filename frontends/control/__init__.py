"""Serves the control protocol to clients, from a replica of the tailnet's netmap objects.

Pure:
replica.py      the objects and soft facts at one position
fragment.py     a peer in its wire form, encoded once
journal.py      what changed in the peers, version by version
rules.py        packet filters, by capability or by address
profiles.py     users as clients see them; the two synthetic ones
common.py       what holds for every node: names, resolvers, DERP map
render.py       objects to tailcfg.Node, and patches
difference.py   how the nodes of a scope differ between two versions
scope.py        which classes a viewer sees, and which sets a class is in
view.py         who sees what: standings
peerlist.py     first lists of peers, in shared compressed pieces
session.py      one map session: what was told, what is to be told
facts.py        what a client says of itself, as a soft fact
rate.py         how often a machine may ask

Shell:
follow.py       keeps the replica at the log's head; knows how old its news are
offers.py       tells the engine what clients offer to route
presence.py     publishes and hears soft facts
sessions.py     the open map sessions, and when each is told something
frontend.py     what the endpoints share
exchange.py     a request inside Noise, and its answer
key.py register.py map.py other.py   one file per endpoint
routes.py       which path is whose, inside Noise
pages.py        the ordinary HTTP listener's pages
connection.py   one client's connection: HTTP/1.1, then HTTP/2 inside Noise
listen.py       the process: sockets, readiness, drain
"""
