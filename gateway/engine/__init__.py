"""The reference assessment engine: made-up rates, real arithmetic; for trials and tests."""
