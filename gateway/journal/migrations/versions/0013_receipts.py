"""A receipt is left to the receiver for a moment, who sends it as soon as it is recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column; nothing is held."""
    op.add_column("outbox", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
