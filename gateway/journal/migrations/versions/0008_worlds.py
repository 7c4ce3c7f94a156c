"""Test messages live in a world of their own: numbers, references, versions and requests say which they are of."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

# Envelopes are canonical JSON: a text in one cannot look like this, its quotes are escaped.
MARKED = sa.text("UPDATE message SET test = true WHERE envelope LIKE :marked").bindparams(marked='%"test":true%')

# A version and a request are of their message's world.
OF_ITS_MESSAGE = """
    UPDATE {table} SET test = true FROM message m
    WHERE m.inbox = {table}.inbox AND m.ordinal = {table}.ordinal AND m.test
"""

# A reference is of tests where all of its transmission is.
OF_ITS_MESSAGES = """
    UPDATE interchange_reference SET test = true WHERE
    EXISTS (SELECT 1 FROM message m WHERE m.inbox = interchange_reference.inbox AND m.test)
    AND NOT EXISTS (SELECT 1 FROM message m WHERE m.inbox = interchange_reference.inbox AND NOT m.test)
"""


def upgrade() -> None:
    """Add the column where a number or a reference stands, fill it, and make it part of the keys."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("SET LOCAL statement_timeout = 0")  # each step goes through a table once
    for table in ("message", "declaration_version", "assessment_request", "interchange_reference"):
        op.add_column(table, sa.Column("test", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(MARKED)
    for table in ("declaration_version", "assessment_request"):
        op.execute(OF_ITS_MESSAGE.format(table=table))
    op.execute(OF_ITS_MESSAGES)
    if postgresql:
        for table in ("message", "declaration_version", "assessment_request", "interchange_reference"):
            op.alter_column(table, "test", server_default=None)
        _new_key("declaration_version", ["transaction_number", "test", "attempt"])
        _new_key("interchange_reference", ["partner", "reference", "test"])
    else:
        _rewrite_versions()
        _rewrite_references()


def _new_key(table: str, columns: list[str]) -> None:
    op.drop_constraint(f"{table}_pk", table)
    op.create_primary_key(f"{table}_pk", table, columns)


def _rewrite(table: str, index: str, *parts: sa.Column[Any] | sa.Constraint) -> None:
    """Write a table anew, since SQLite changes no key; its one index is on the column `inbox`."""
    op.drop_index(index, table)
    op.rename_table(table, "former")
    op.create_table(table, *parts)
    kept = ", ".join(part.name for part in parts if isinstance(part, sa.Column))
    op.execute(f"INSERT INTO {table} ({kept}) SELECT {kept} FROM former")  # noqa: S608 - names of ours
    op.drop_table("former")
    op.create_index(index, table, ["inbox"])


def _rewrite_versions() -> None:
    _rewrite(
        "declaration_version",
        "declaration_version_inbox",
        sa.Column("transaction_number", sa.Text(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
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
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="declaration_version_inbox_fk"),
        sa.PrimaryKeyConstraint("transaction_number", "test", "attempt", name="declaration_version_pk"),
    )


def _rewrite_references() -> None:
    _rewrite(
        "interchange_reference",
        "interchange_reference_inbox",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="interchange_reference_inbox_fk"),
        sa.PrimaryKeyConstraint("partner", "reference", "test", name="interchange_reference_pk"),
    )
