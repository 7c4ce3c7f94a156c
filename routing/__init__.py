"""Where a verdict goes: partners, routes, the assessment contract and the reference engine."""
