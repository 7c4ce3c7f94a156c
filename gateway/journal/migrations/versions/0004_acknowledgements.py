"""What partners say of our answers with a CONTRL, and which of them still say nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the two columns and the index; what was sent before awaits nothing."""
    op.add_column("outbox", sa.Column("acknowledgement", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True))
    open_ones = sa.text("acknowledgement IN ('awaited', '4')")
    op.create_index("outbox_unacknowledged", "outbox", ["sent_at"], postgresql_where=open_ones, sqlite_where=open_ones)
