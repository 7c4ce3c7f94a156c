"""That the broker did not prove a sender stands beside what the sender wrote, not among it."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

FACTS = {"unproven", "queue", "user"}


def upgrade() -> None:
    """Add the column, and move into it what the former versions wrote into the headers, which only they could."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("SET LOCAL statement_timeout = 0")  # the table is read once
    op.add_column("inbox", sa.Column("unproven", sa.Text(), nullable=True))
    former = sa.text("SELECT sequence, headers FROM inbox WHERE partner = '' AND headers LIKE '%\"unproven\"%'")
    for sequence, text in connection.execute(former).all():
        headers = json.loads(text)
        if not headers.keys() >= FACTS:
            continue
        told = {"code": headers["unproven"], "queue": headers["queue"], "user": headers["user"] or None}
        left = {name: said for name, said in headers.items() if name not in FACTS}
        connection.execute(
            sa.text("UPDATE inbox SET headers = :left, unproven = :told WHERE sequence = :sequence"),
            {"left": _dump(left), "told": _dump(told), "sequence": sequence},
        )


def _dump(value: object) -> str:
    """Return the text as the journal writes it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
