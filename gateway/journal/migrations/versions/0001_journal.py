"""The journal's tables, and the triggers that keep the audit chain insert-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

SQLITE_TRIGGERS = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is insert-only'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is insert-only'); END",
)
POSTGRESQL_TRIGGERS = (
    (
        "CREATE FUNCTION audit_insert_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'audit is insert-only'; END $$"
    ),
    (
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_insert_only()"
    ),
)


PARKED, UNFINISHED, DUE = sa.text("state = 'parked'"), sa.text("finished_at IS NULL"), sa.text("sent_at IS NULL")


def upgrade() -> None:
    """Make tables, indexes and triggers."""
    op.create_table(
        "audit",
        sa.Column("n", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", SEQUENCE, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("n", name="audit_pk"),
    )
    op.create_index("audit_subject", "audit", ["subject"])
    op.create_table(
        "destination",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", INSTANT, nullable=False),
        sa.Column("parked_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="destination_pk"),
    )
    op.create_table(
        "inbox",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="inbox_pk"),
        sa.UniqueConstraint("id", name="inbox_id_key"),
        sa.UniqueConstraint("uid", name="inbox_uid_key"),
    )
    op.create_index("inbox_parked", "inbox", ["sequence"], postgresql_where=PARKED, sqlite_where=PARKED)
    op.create_index("inbox_unfinished", "inbox", ["sequence"], postgresql_where=UNFINISHED, sqlite_where=UNFINISHED)
    op.create_table(
        "assessment_request",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("transaction_number", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("nature", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("settled_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="assessment_request_inbox_fk"),
        sa.PrimaryKeyConstraint("id", name="assessment_request_pk"),
    )
    op.create_index("assessment_request_inbox", "assessment_request", ["inbox"])
    op.create_table(
        "declaration_version",
        sa.Column("transaction_number", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
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
        sa.PrimaryKeyConstraint("transaction_number", "version", name="declaration_version_pk"),
    )
    op.create_index("declaration_version_inbox", "declaration_version", ["inbox"])
    op.create_table(
        "interchange_reference",
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="interchange_reference_inbox_fk"),
        sa.PrimaryKeyConstraint("partner", "reference", name="interchange_reference_pk"),
    )
    op.create_table(
        "message",
        sa.Column("inbox", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("syntax", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("message_reference", sa.Text(), nullable=True),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("transaction_number", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("nature", sa.Text(), nullable=True),
        sa.Column("pack", sa.Text(), nullable=True),
        sa.Column("specs", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="message_inbox_fk"),
        sa.PrimaryKeyConstraint("inbox", "ordinal", name="message_pk"),
    )
    op.create_index("message_transaction_number", "message", ["transaction_number"])
    op.create_table(
        "outbox",
        sa.Column("position", SEQUENCE, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["inbox"], ["inbox.sequence"], name="outbox_inbox_fk"),
        sa.PrimaryKeyConstraint("position", name="outbox_pk"),
        sa.UniqueConstraint("id", name="outbox_id_key"),
    )
    op.create_index("outbox_due", "outbox", ["destination", "position"], postgresql_where=DUE, sqlite_where=DUE)
    op.create_index("outbox_inbox", "outbox", ["inbox"])

    for statement in POSTGRESQL_TRIGGERS if op.get_bind().dialect.name == "postgresql" else SQLITE_TRIGGERS:
        op.execute(statement)
