"""Replays of transmissions and the answers that they made."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "execution",
        sa.Column("number", SEQUENCE, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("specs", sa.String(length=64), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="execution_inbox_fk"),
        sa.PrimaryKeyConstraint("number", name="execution_pk"),
        sa.UniqueConstraint("id", name="execution_id_key"),
    )
    op.create_index("execution_inbox", "execution", ["inbox"])
    op.create_table(
        "execution_answer",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("execution", SEQUENCE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["execution"], ["execution.number"], name="execution_answer_execution_fk"),
        sa.PrimaryKeyConstraint("id", name="execution_answer_pk"),
    )
    op.create_index("execution_answer_execution", "execution_answer", ["execution"])
