"""What a desk looks messages up by: finding, importer, reference, partner, time, and refusals."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

REFERENCES = """
    INSERT INTO message_term (term, inbox, ordinal)
    SELECT DISTINCT 'reference:' || substr({column}, 1, 500), inbox, ordinal FROM message
    WHERE {column} IS NOT NULL ON CONFLICT DO NOTHING
"""

# A finding's code is the same key in all of them; what a text says is escaped (rows of before only; see rows.terms_of).
FINDINGS = {
    "sqlite": """
        INSERT INTO message_term (term, inbox, ordinal)
        SELECT DISTINCT 'finding:' || json_extract(f.value, '$.code'), m.inbox, m.ordinal
        FROM message m, json_each(m.findings) f WHERE m.findings <> '[]'
    """,
    "postgresql": r"""
        INSERT INTO message_term (term, inbox, ordinal)
        SELECT DISTINCT 'finding:' || (c)[1], m.inbox, m.ordinal
        FROM message m, regexp_matches(m.findings, '"code":"([A-Z0-9-]+)"', 'g') c WHERE m.findings <> '[]'
    """,
}

# Of what was refused before, neither importer nor reference of the declaration is known: they were not kept.
IMPORTERS = {
    "sqlite": """
        INSERT INTO message_term (term, inbox, ordinal)
        SELECT DISTINCT 'importer:' || json_extract(declaration, '$.values.{name}'), inbox, ordinal
        FROM declaration_version WHERE json_type(declaration, '$.values.{name}') = 'text' ON CONFLICT DO NOTHING
    """,
    "postgresql": r"""
        INSERT INTO message_term (term, inbox, ordinal)
        SELECT DISTINCT 'importer:' || substring(declaration FROM '"{name}":"([A-Za-z0-9]+)"'), inbox, ordinal
        FROM declaration_version WHERE declaration ~ '"{name}":"[A-Za-z0-9]+"' ON CONFLICT DO NOTHING
    """,
}
# A reference of the declaration may have any character; what JSON escapes is not found.
OWN_REFERENCES = {
    "sqlite": """
        INSERT INTO message_term (term, inbox, ordinal)
        SELECT DISTINCT 'reference:' || json_extract(declaration, '$.values.functional_reference'), inbox, ordinal
        FROM declaration_version WHERE json_type(declaration, '$.values.functional_reference') = 'text'
        ON CONFLICT DO NOTHING
    """,
    "postgresql": """
        INSERT INTO message_term (term, inbox, ordinal)
        SELECT DISTINCT 'reference:' || own, inbox, ordinal FROM (
            SELECT inbox, ordinal, substring(declaration FROM '"functional_reference":"([^"]+)"') AS own
            FROM declaration_version
        ) v WHERE own IS NOT NULL AND strpos(own, chr(92)) = 0 ON CONFLICT DO NOTHING
    """,
}


def upgrade() -> None:
    """Add table and indexes, and fill the table from what is there."""
    kind = op.get_bind().dialect.name
    if kind == "postgresql":
        op.execute("SET LOCAL statement_timeout = 0")  # three tables are read once
    op.create_table(
        "message_term",
        sa.Column("term", sa.Text(collation="C").with_variant(sa.Text(), "sqlite"), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("term", "inbox", "ordinal", name="message_term_pk"),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="message_term_inbox_fk"),
        sqlite_with_rowid=False,
    )
    for column in ("reference", "message_reference"):
        op.execute(REFERENCES.format(column=column))
    op.execute(sa.text(FINDINGS[kind].replace(":", r"\:")))
    for name in ("importer_bn", "new_importer_bn"):
        op.execute(sa.text(IMPORTERS[kind].format(name=name).replace(":", r"\:")))
    op.execute(sa.text(OWN_REFERENCES[kind].replace(":", r"\:")))
    op.create_index("message_term_inbox", "message_term", ["inbox"])
    refused = sa.text("verdict = 'refused'")
    op.create_index("message_refused", "message", ["inbox"], postgresql_where=refused, sqlite_where=refused)
    op.create_index("inbox_received", "inbox", ["received_at", "sequence"])
    op.create_index("inbox_partner", "inbox", ["partner", "sequence"])
