"""Real Tailscale clients and real wireguard-go in network namespaces, without a route outside.

beyond.py    `Beyond`: a network behind the hosts, for subnet routers and exit nodes
capture.py   tcpdump on an interface, as a list of source addresses
claims.py    the name and folder of a run, and the clean-up after crashed runs
clients.py   `TailscaleClient`: a real tailscaled and its command line
derp.py      the DERP map of the lab and its STUN responder
dns.py       a name server that answers one address and notes who asked (script and starter)
localapi.py  requests to the socket of a tailscaled
net.py       `Lab` and `Host`: the switch, the hosts, processes inside
policy.py    people, policies, and who reaches what
ready.py     what is missing to run the lab here
relay.py     `Relay`: a WireGuard-only peer of the product and its far side
ssh.py       ssh through Tailscale, and accounts on the far side
stun.py      the STUN responder itself (script)
talk.py      a conversation over one TCP connection (script and starter)
web.py       `WebEcho`: answers the address of the caller (script and starter)
wireguard.py `WireGuardGo`: the far side of a WireGuard-only peer
"""
