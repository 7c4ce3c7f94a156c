"""Bytes to `Declaration`: readers for both syntaxes; knows no queue, no table of the journal, no rule."""
