"""How Hypothesis looks for examples: new ones at every run, the same ones where a run decides about a change.

No example has a deadline: how long one takes depends on what else the machine does.
"""

import os

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")
