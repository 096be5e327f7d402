"""How the engine speaks to VPN providers, as the port `Providers` has it.

- `web.py`: one HTTP call outwards, with all that keeps it from going anywhere else
- `answers.py`: what comes back, judged
- `redaction.py`: what of a provider's words may be kept
- `mullvad.py`: the devices of an account at Mullvad
- `http.py`: the small protocol of `docs/providers.md`
- `memory.py`: a provider in this process, for tests
- `opening.py`: which of them a provider's kind means
"""
