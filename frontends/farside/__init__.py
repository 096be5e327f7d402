"""The far side of a WireGuard-only peer: formats that it reads, files that it has. No I/O here.

- `remotes.py`: a node as the far side knows it; the checksum of all of them
- `rendering.py`: the formats by name; `wgquick.py`: `[Peer]` blocks and `wg set` lines; `routeros.py`: RouterOS 7;
  `fields.py`: what to type into OPNsense and UniFi; `qr.py`: a QR code
- `polling.py`: scripts with which a far side keeps up by itself
- `checking.py`: what a far side's file lacks, has too many of, or has otherwise
- `wgfile.py`: a wg-quick file that is read; `plan.py`: what its import will do
- `relays.py`: a provider's list of relays; `relaylist.py`: what it says; `relayplan.py`: what its import will do
"""
