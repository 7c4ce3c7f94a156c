"""How much is drawn: little on a developer's machine (DECISIONS D27), more in the build, many and new ones at night.

The environment variable HYPOTHESIS_PROFILE says which (dev, ci or night); without it CI=true means ci.
"""

from __future__ import annotations

import os

from hypothesis import settings

EXAMPLES = {"dev": 20, "ci": 100, "night": 10_000}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")

# No test is judged by its time: machines differ. In CI the same examples in every run.
for name, examples in EXAMPLES.items():
    settings.register_profile(
        name, deadline=None, max_examples=examples, derandomize=name == "ci", print_blob=name != "dev"
    )
settings.load_profile(PROFILE)


def times(factor: float) -> int:
    """Return the profile's number of examples, multiplied: for what is dearer or more telling than others."""
    return max(1, round(EXAMPLES[PROFILE] * factor))
