"""How Hypothesis looks for examples: new ones at every run, the same ones where a run decides about a change."""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True, database=None, print_blob=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")
