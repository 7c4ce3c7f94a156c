"""Documents and declarations to faults: structure, schema, code lists, business rules; pure."""
