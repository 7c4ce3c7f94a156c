"""One file for each version of the schema, in order; what was released is never changed."""
