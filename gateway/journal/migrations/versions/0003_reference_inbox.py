"""Find a transmission's references by the transmission: without it, each row purged costs a look at all of them."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the index."""
    op.create_index("interchange_reference_inbox", "interchange_reference", ["inbox"])
