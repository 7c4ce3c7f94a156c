"""For the trade: the implementation guide, the sample maker and the smoke test."""
