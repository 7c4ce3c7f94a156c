"""What came in and what goes out is written once; open work, and what became of it, stands beside, without keys."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)

FOREIGN_KEYS = (
    ("message", "inbox"),
    ("message_term", "inbox"),
    ("declaration_version", "inbox"),
    ("assessment_request", "inbox"),
    ("interchange_reference", "inbox"),
    ("outbox", "inbox"),
    ("execution", "inbox"),
    ("execution_answer", "execution"),
)

KEY = re.compile(r",\s*CONSTRAINT \w+ FOREIGN KEY\s*\(\w+\)\s*REFERENCES \"?\w+\"? \(\w+\)")

NAME = re.compile(r'^CREATE TABLE "?\w+"?')

# Each table is read once. A row that is finished and neither done nor parked is of no version.
FILL = (
    """
    INSERT INTO work (sequence, channel, partner, lane, received_at, size, attempts, worker, lease_until)
    SELECT sequence, channel, partner, lane, received_at, length(body), attempts,
        CASE WHEN state = 'working' THEN coalesce(worker, '') END, lease_until
    FROM inbox WHERE finished_at IS NULL ORDER BY sequence
    """,
    """
    INSERT INTO handled (sequence, state, attempts, worker, finished_at, note)
    SELECT sequence, state, attempts, worker, finished_at, note
    FROM inbox WHERE finished_at IS NOT NULL ORDER BY sequence
    """,
    """
    INSERT INTO due (position, destination, created_at, size, attempts, error, parked_at)
    SELECT position, destination, created_at, length(body), attempts, error, parked_at
    FROM outbox WHERE sent_at IS NULL AND closed_at IS NULL ORDER BY position
    """,
    """
    INSERT INTO sent (position, attempts, sent_at, closed_at, parked_at, error)
    SELECT position, attempts, sent_at, closed_at, parked_at, error
    FROM outbox WHERE sent_at IS NOT NULL OR closed_at IS NOT NULL ORDER BY position
    """,
)

GONE = {
    "inbox": ("state", "attempts", "worker", "lease_until", "finished_at", "note"),
    "outbox": ("attempts", "sent_at", "error", "parked_at", "closed_at"),
}

INDEXES = {
    "inbox": ("inbox_unfinished", "inbox_parked", "inbox_unproven", "inbox_received", "inbox_partner"),
    "outbox": ("outbox_due", "outbox_unacknowledged", "outbox_inbox"),
}


def upgrade() -> None:
    """Make and fill the tables, then take the columns and keys away."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    if postgresql:
        op.execute("SET LOCAL statement_timeout = 0")
    _make_tables()
    for statement in FILL:
        op.execute(statement)
    parked, waits = sa.text("state = 'parked'"), sa.text("parked_at IS NULL")
    op.create_index("handled_parked", "handled", ["sequence"], postgresql_where=parked, sqlite_where=parked)
    op.create_index("due_next", "due", ["destination", "position"], postgresql_where=waits, sqlite_where=waits)
    if postgresql:
        _take_away()
    else:
        _forget_keys()
        _write_anew()
    open_ = sa.text("acknowledgement IN ('awaited', '4')")
    op.create_index("outbox_unacknowledged", "outbox", ["position"], postgresql_where=open_, sqlite_where=open_)
    if postgresql:  # until it had a look by itself, one life would be looked for in all that was ever sent
        op.execute("ANALYZE work, handled, due, sent")


def _make_tables() -> None:
    op.create_table(
        "work",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("sequence", name="work_pk"),
    )
    op.create_table(
        "handled",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name="handled_pk"),
    )
    op.create_table(
        "due",
        sa.Column("position", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("parked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("position", name="due_pk"),
    )
    op.create_table(
        "sent",
        sa.Column("position", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", INSTANT, nullable=True),
        sa.Column("link", SEQUENCE, nullable=True),
        sa.Column("closed_at", INSTANT, nullable=True),
        sa.Column("parked_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position", name="sent_pk"),
    )
    op.create_table(
        "resent",
        sa.Column("position", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("link", SEQUENCE, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("position", "link", name="resent_pk"),
    )


def _take_away() -> None:
    """Drop columns, with the indexes on them, and keys on PostgreSQL: no row is written."""
    for table, column in FOREIGN_KEYS:
        op.drop_constraint(f"{table}_{column}_fk", table, type_="foreignkey")
    op.drop_constraint("inbox_uid_key", "inbox", type_="unique")
    for name in ("inbox_unfinished", "inbox_parked"):
        op.drop_index(name, "inbox")
    for name in ("outbox_due", "outbox_unacknowledged"):
        op.drop_index(name, "outbox")
    for table, columns in GONE.items():
        for column in columns:
            op.drop_column(table, column)
    # Both tables of open things are written and emptied all the time: what has gone is cleared away early.
    for table in ("work", "due"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)")


def _forget_keys() -> None:
    """Write the tables that had a foreign key anew on SQLite, as they are stored in its schema, but for the key."""
    connection = op.get_bind()
    for table, _ in FOREIGN_KEYS:
        if table == "outbox":
            continue  # it is written anew with other columns
        made = "SELECT type, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type DESC"
        (_, sql), *indexes = connection.exec_driver_sql(made, (table,)).all()
        without, keys = KEY.subn("", sql)
        if keys != 1:
            raise ValueError(f"the table {table} is not as the migrations made it")
        connection.exec_driver_sql(NAME.sub(f"CREATE TABLE {table}_new", without))
        _move(table, ", ".join(each["name"] for each in sa.inspect(connection).get_columns(table)))
        for _, index in indexes:
            connection.exec_driver_sql(index)


def _write_anew() -> None:
    """Write the two tables anew on SQLite, which would write them anew for each column that goes."""
    for table, names in INDEXES.items():
        for name in names:
            op.drop_index(name, table)
    op.create_table(
        "inbox_new",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("unproven", sa.Text(), nullable=True),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="inbox_pk"),
        sa.UniqueConstraint("id", name="inbox_id_key"),
    )
    _move("inbox", "sequence, id, uid, channel, partner, received_at, digest, headers, unproven, lane, body")
    unproven = sa.text("unproven IS NOT NULL")
    op.create_index("inbox_unproven", "inbox", ["unproven", "received_at"], sqlite_where=unproven)
    op.create_index("inbox_received", "inbox", ["received_at", "sequence"])
    op.create_index("inbox_partner", "inbox", ["partner", "sequence"])
    op.create_table(
        "outbox_new",
        sa.Column("position", SEQUENCE, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("inbox", SEQUENCE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("acknowledgement", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", INSTANT, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="outbox_pk"),
        sa.UniqueConstraint("id", name="outbox_id_key"),
    )
    columns = "position, id, inbox, ordinal, kind, destination, content_type, created_at, acknowledgement"
    _move("outbox", f"{columns}, acknowledged_at, body")
    op.create_index("outbox_inbox", "outbox", ["inbox"])


def _move(table: str, columns: str) -> None:
    op.execute(f"INSERT INTO {table}_new ({columns}) SELECT {columns} FROM {table}")  # noqa: S608 - names of ours
    op.drop_table(table)
    op.rename_table(f"{table}_new", table)
