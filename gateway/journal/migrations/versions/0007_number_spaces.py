"""A sender's reference is kept in its number space: with its syntax, and with the ids of sender and recipient."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# Characters of a key that are kept as they are, as the journal has it.
KEY = 200

USED = """
    SELECT r.partner, r.reference, m.syntax, m.envelope
    FROM interchange_reference r JOIN message m ON m.inbox = r.inbox AND m.reference IS NOT NULL
    ORDER BY r.partner, r.reference, m.ordinal
"""


def upgrade() -> None:
    """Put each reference into the number space of the message that used it, which is beside it in the journal."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("SET LOCAL statement_timeout = 0")  # each table is read once
    changes: dict[tuple[str, str], str] = {}
    for partner, reference, syntax, envelope in connection.execute(sa.text(USED)):
        said = json.loads(envelope)
        if _key(said["reference"]) == reference:
            space = [syntax, said["sender"] or "", said["recipient"] or "", said["reference"]]
            changes.setdefault((partner, reference), _key(json.dumps(space)))
    rows = [{"partner": partner, "was": was, "number": number} for (partner, was), number in changes.items()]
    if rows:
        connection.execute(
            sa.text(
                "UPDATE interchange_reference SET reference = :number WHERE partner = :partner AND reference = :was"
            ),
            rows,
        )


def _key(text: str) -> str:
    """Return the text as it stands in a key of the journal."""
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if len(clean) <= KEY:
        return clean
    return f"{clean[: KEY - 65]}#{hashlib.sha256(clean.encode()).hexdigest()}"
