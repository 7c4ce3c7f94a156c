"""UN/EDIFACT: reads, checks and acknowledges any UN message by the UN's own tables, without knowing what it is about.

A folder of tables (see `edifact.loading`) says what there is. To read an interchange, check its messages and envelope,
and write the CONTRL that answers it:

>>> directories, matchers = load(Path("eccrd_specs/edifact")), Matchers()
>>> faults = {}
>>> for found in read(body, directories):  # the messages of an interchange, then the interchange itself
...     if isinstance(found, MessageText):
...         structure = directories.structure(found.identifier, found.interchange.syntax_version)
...         faults[found.ordinal] = check(found, structure, matchers)  # () if nothing is wrong
...     else:
...         interchange = check_interchange(found, matchers)
...         answer = contrl(interchange, faults, own_id="A1", reference="R1", now=datetime(2026, 1, 15, 10, 30))

with `load` of `edifact.loading`, `Matchers` of `match`, `read` and `MessageText` of `reader`, `check` of `message`,
`check_interchange` of `envelope`, `contrl` of `contrl`. Whatever cannot be read raises `core.errors.Malformed`, a table
that cannot be used `core.errors.SpecError`.

The wing imports itself and of the ground floor `core` errors, findings, envelope, limits and tables; nothing of it
changes what it was given, but that the reader completes an interchange while it yields the messages inside.
"""
