"""What the broker refuses to take, such as an answer larger than it allows, stands aside by itself."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0006"

DUE = sa.text("sent_at IS NULL AND parked_at IS NULL")
PARKED = sa.text("parked_at IS NOT NULL")


def upgrade() -> None:
    """Add the column, and keep what stands aside out of the index of what is due."""
    op.add_column("outbox", sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("outbox_due", table_name="outbox")
    op.create_index("outbox_due", "outbox", ["destination", "position"], postgresql_where=DUE, sqlite_where=DUE)
    op.create_index("outbox_parked", "outbox", ["destination"], postgresql_where=PARKED, sqlite_where=PARKED)
