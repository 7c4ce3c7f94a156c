"""The schema of the journal, version by version; `Journal.migrate` runs them."""
