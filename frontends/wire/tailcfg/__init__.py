"""The wire types, one file per conversation. Names on the wire are those of tailscale tailcfg, v1.102.3.

text.py       keys, numbers and lists, as strictly as the real client reads them
register.py   POST /machine/register, and GET /key
map.py        POST /machine/map
node.py       nodes, patches of nodes, and how each field travels
hostinfo.py   what a client says of its host, and what of it peers are told
dns.py        names and resolvers
derp.py       the DERP map, checked before it is sent
filter.py     packet filter rules
ssh.py        who may open which shell
c2n.py        pings, and requests from control to node

In every file: None, absent and null are one and mean "unchanged" or "none"; an empty list or map is a value of its
own and is written as `[]` or `{}`. Times are texts of `timetext`.
"""
