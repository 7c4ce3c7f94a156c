"""The operator's desk: replay, explanation and comparison of messages."""
