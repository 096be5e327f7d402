"""The HTTP API for other tools and for routers. It decides nothing and keeps nothing: it asks over NATS.

- `listen.py`: the process: socket, tasks, end; `app.py`: which path is whose; `server.py`: HTTP/1.1 within limits
- `gate.py`: who may come in; `rate.py`: how often somebody may be turned away
- `asking.py`: questions and commands over the bus; `errors.py`: refusals as HTTP tells them
- `shapes.py`, `bodies.py`: Headscale's JSON, out and in (pure)
- `nodes.py`, `wireguard.py`, `export.py`, `health.py`: the endpoints
"""
