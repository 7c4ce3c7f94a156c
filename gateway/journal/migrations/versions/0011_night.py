"""One gateway dispatches, chores are remembered, what is unsettled is found, and an operator may end what waits."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add tables, column and index; nothing is leased, remembered or ended yet."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL statement_timeout = 0")  # the table is read once
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="lease_pk"),
    )
    op.create_table(
        "chore",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="chore_pk"),
    )
    op.add_column("outbox", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    open_ = sa.text("status IN ('accepted', 'pending')")
    op.create_index(
        "assessment_request_unsettled", "assessment_request", ["id"], postgresql_where=open_, sqlite_where=open_
    )
