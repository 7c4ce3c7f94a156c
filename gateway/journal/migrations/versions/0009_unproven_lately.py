"""How often an unproven sender came lately is asked for each of its transmissions."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the index; it holds the few rows of unproven senders only."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL statement_timeout = 0")  # the table is read once
    told = sa.text("unproven IS NOT NULL")
    op.create_index("inbox_unproven", "inbox", ["unproven", "received_at"], postgresql_where=told, sqlite_where=told)
