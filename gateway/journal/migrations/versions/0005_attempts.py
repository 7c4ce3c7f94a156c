"""Every attempt at a version has its own row: a version that the engine refused may be sent again under its number."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

# Attempts are numbered in the order of their verdicts: what was released from parking came late. Kept are those that
# are not the first of their number, which are few.
NUMBERED = """
    CREATE TEMPORARY TABLE attempts AS
    SELECT * FROM (
        SELECT v.transaction_number, v.version, row_number() OVER (
            PARTITION BY v.transaction_number ORDER BY coalesce(m.created_at, v.accepted_at), v.inbox, v.ordinal
        ) AS attempt
        FROM declaration_version v LEFT JOIN message m ON m.inbox = v.inbox AND m.ordinal = v.ordinal
    ) AS numbered
    WHERE attempt > 1
"""

# A refused withdrawal of what was not on file stands there in its stead: it is no declaration that uses the number.
REFUSED = """
    UPDATE declaration_version SET status = 'refused' WHERE nature = 'withdrawal' AND EXISTS (
        SELECT 1 FROM assessment_request r
        WHERE r.inbox = declaration_version.inbox AND r.ordinal = declaration_version.ordinal AND r.status = 'refused'
    )
"""


def upgrade() -> None:
    """Add the attempts, to the versions and to the requests about them, and make them the key."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("SET LOCAL statement_timeout = 0")  # each step goes through a table once
    op.execute(NUMBERED)
    op.execute("CREATE UNIQUE INDEX attempts_version ON attempts (transaction_number, version)")
    _number("assessment_request")
    if postgresql:
        _number("declaration_version")
        op.alter_column("assessment_request", "attempt", server_default=None)
        op.alter_column("declaration_version", "attempt", server_default=None)
        op.drop_constraint("declaration_version_pk", "declaration_version")
        op.create_primary_key("declaration_version_pk", "declaration_version", ["transaction_number", "attempt"])
    else:
        _rewrite_versions()
    op.execute("DROP TABLE attempts")
    op.create_index("assessment_request_version", "assessment_request", ["transaction_number", "attempt"])
    op.execute(REFUSED)


def _number(table: str) -> None:
    """Add the column, which costs nothing, and fill it where it is not 1. On SQLite the default cannot be taken off."""
    op.add_column(table, sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"))
    op.execute(
        f"UPDATE {table} SET attempt = a.attempt FROM attempts a"  # noqa: S608 - a name of ours
        f" WHERE a.transaction_number = {table}.transaction_number AND a.version = {table}.version"
    )


def _rewrite_versions() -> None:
    """Write the table of versions anew, since SQLite changes no key."""
    op.drop_index("declaration_version_inbox", "declaration_version")
    op.rename_table("declaration_version", "former_version")
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column("transaction_number", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("nature", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("declaration", sa.Text(), nullable=False),
        sa.Column("accepted_at", INSTANT, nullable=False),
        sa.Column("payment_due", sa.Date(), nullable=True),
        sa.Column("created_by_cbsa", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "declaration_version",
        *columns,
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="declaration_version_inbox_fk"),
        sa.PrimaryKeyConstraint("transaction_number", "attempt", name="declaration_version_pk"),
    )
    kept = ", ".join(column.name for column in columns if column.name != "attempt")
    given = ", ".join(f"f.{column.name}" for column in columns if column.name != "attempt")
    op.execute(
        f"INSERT INTO declaration_version (attempt, {kept}) SELECT coalesce(a.attempt, 1), {given}"  # noqa: S608
        " FROM former_version f LEFT JOIN attempts a"
        " ON a.transaction_number = f.transaction_number AND a.version = f.version"
    )
    op.drop_table("former_version")
    op.create_index("declaration_version_inbox", "declaration_version", ["inbox"])
