"""The Tailscale control protocol, sans-I/O and role-neutral: bytes in, events out, bytes to send.

errors.py     who broke the protocol: the other side, or we
phases.py     the life of a control connection, as a table
keytext.py    mkey:, nodekey:, discokey: … parse and print
upgrade.py    the HTTP/1.1 request that carries the first Noise message
noise.py      Noise IK, both roles; ephemeral keys are passed in
frames.py     Noise transport records
early.py      the early payload
budget.py     what one connection may ask of us: bodies, headers, glitches
http2.py      streams and flow control as we use them, over the h2 library
mapframe.py   length-prefixed, compressed map responses
capver.py     the ledger of capability versions that matter to us
timetext.py   times on the wire
codec.py      JSON bodies, strictly
tailcfg/      the wire types, one file per conversation
"""
