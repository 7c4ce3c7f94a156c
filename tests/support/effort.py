"""How much is drawn: little on a developer's machine (DECISIONS D27), more in the build, many and new ones at night.

The environment variable HYPOTHESIS_PROFILE says which (dev, ci or night); without it CI=true means ci.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXAMPLES = {"dev": 20, "ci": 100, "night": 10_000}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")

# No test is judged by its time: machines differ. A build draws the same examples in every run, however few.
SAME = PROFILE == "ci" or (PROFILE == "dev" and bool(os.environ.get("CI")))
for name, examples in EXAMPLES.items():
    settings.register_profile(name, deadline=None, max_examples=examples, derandomize=SAME, print_blob=name != "dev")
settings.load_profile(PROFILE)


def times(factor: float) -> int:
    """Return the profile's number of examples, multiplied: for what is dearer or more telling than others."""
    return max(1, round(EXAMPLES[PROFILE] * factor))


def run_machine(machine: type[RuleBasedStateMachine], *, examples: int, mutant: bool = False) -> None:
    """Run a state machine; one of a mutant only draws, since nobody wants its failure made small or remembered."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=mutant or settings.default.derandomize,  # type: ignore[union-attr]
            database=None if mutant else settings.default.database,  # type: ignore[union-attr]
            phases=[Phase.generate] if mutant else list(Phase),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
