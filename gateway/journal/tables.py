"""The journal's tables; `gateway/journal/migrations` makes them, and a test compares the two.

What came in and what goes out is written once and never changed; what is open about it stands in small tables beside
(`work`, `due`), which stay as small as the backlog however long the archive grows, and what became of it in `handled`
and `sent`. No table has a foreign key: each would cost a look and a lock for every row (DECISIONS D169 says what guards
them instead).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    literal_column,
)
from sqlalchemy.engine import Dialect


class Instant(TypeDecorator[datetime]):
    """An aware time; SQLite keeps it as UTC text, which sorts as it should."""

    impl = DateTime(timezone=True)
    cache_ok = True

    # Both are called by SQLAlchemy with the dialect.
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Bring an aware time to UTC; a naive one is a programming error."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the journal takes aware times only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite numbers rows by itself only where the type is exactly INTEGER.
Sequence = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
    }
)

# Every transmission as it came in, from either side; also the archive that knows redeliveries for the whole retention.
inbox = Table(
    "inbox",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("id", String(32), nullable=False, unique=True),  # of the uid
    Column("uid", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("partner", Text, nullable=False),  # empty: unknown to the transport
    Column("received_at", Instant, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("headers", Text, nullable=False),
    Column("unproven", Text),  # that the broker did not prove who sent it
    Column("lane", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # last: SQLite reads through it to whatever stands behind
)
Index(
    "inbox_unproven",
    inbox.c.unproven,
    inbox.c.received_at,
    postgresql_where=inbox.c.unproven.is_not(None),
    sqlite_where=inbox.c.unproven.is_not(None),
)
# What an operator's lists are cut by.
Index("inbox_received", inbox.c.received_at, inbox.c.sequence)
Index("inbox_partner", inbox.c.partner, inbox.c.sequence)

# The transmissions that are not finished, with what it takes to choose among them; one with a worker is worked on.
work = Table(
    "work",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("channel", Text, nullable=False),
    Column("partner", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("size", Integer, nullable=False),  # bytes
    Column("attempts", Integer, nullable=False),
    Column("worker", Text),
    Column("lease_until", Instant),
)

# What became of the others: done, or parked until an operator decides.
handled = Table(
    "handled",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # done, parked
    Column("attempts", Integer, nullable=False),
    Column("worker", Text),
    Column("finished_at", Instant, nullable=False),
    Column("note", Text),  # why it was parked, or that it had no effect of its own
)
PARKED = handled.c.state == literal_column("'parked'")
Index("handled_parked", handled.c.sequence, postgresql_where=PARKED, sqlite_where=PARKED)

# Every message found in a transmission, with its verdict.
message = Table(
    "message",
    metadata,
    Column("inbox", Sequence, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("syntax", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("sender", Text),
    Column("reference", Text),
    Column("message_reference", Text),
    Column("envelope", Text, nullable=False),
    Column("transaction_number", Text),
    Column("version", Text),
    Column("verdict", Text, nullable=False),
    Column("findings", Text, nullable=False),
    Column("nature", Text),
    Column("pack", Text),
    Column("specs", Text, nullable=False),  # digest of the specification data that judged
    Column("created_at", Instant, nullable=False),
    Column("test", Boolean, nullable=False),  # a test message, of a world of its own
    Index("message_transaction_number", "transaction_number"),
)
_refused = message.c.verdict == literal_column("'refused'")
Index("message_refused", message.c.inbox, postgresql_where=_refused, sqlite_where=_refused)

# What a message is looked up by, beside its transaction number: references, importers, codes of findings.
message_term = Table(
    "message_term",
    metadata,
    Column(
        "term", Text(collation="C").with_variant(Text(), "sqlite"), primary_key=True
    ),  # its kind, a colon, the value: see rows.terms_of
    Column("inbox", Sequence, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Index("message_term_inbox", "inbox"),
    sqlite_with_rowid=False,
)

# Every version of a declaration that we accepted: the effect that a message may have only once. A version that the
# engine refused may be sent again under its number; each attempt has its own row. Test messages use no numbers up.
declaration_version = Table(
    "declaration_version",
    metadata,
    Column("transaction_number", Text, primary_key=True),
    Column("test", Boolean, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("partner", Text, nullable=False),
    Column("inbox", Sequence, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("nature", Text, nullable=False),
    Column("status", Text, nullable=False),  # accepted, assessed, pending, refused, withdrawn
    Column("declaration", Text, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("payment_due", Date),
    Column("created_by_cbsa", Boolean, nullable=False),
    Index("declaration_version_inbox", "inbox"),
)

# Every request to the assessment engine, with its word on it; a withdrawal is a request about a version on file.
assessment_request = Table(
    "assessment_request",
    metadata,
    Column("id", String(32), primary_key=True),  # the message id that the engine repeats
    Column("transaction_number", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("inbox", Sequence, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("nature", Text, nullable=False),
    Column("status", Text, nullable=False),  # accepted, then what the engine said
    Column("result", Text),  # as it came
    Column("settled_at", Instant),
    Column("test", Boolean, nullable=False),
    Index("assessment_request_inbox", "inbox"),
    Index("assessment_request_version", "transaction_number", "attempt"),
)
# What the engine has yet to decide on.
UNSETTLED = assessment_request.c.status.in_((literal_column("'accepted'"), literal_column("'pending'")))
Index("assessment_request_unsettled", assessment_request.c.id, postgresql_where=UNSETTLED, sqlite_where=UNSETTLED)

# The transmission that each of a sender's references belongs to: resends and duplicates are told by it.
interchange_reference = Table(
    "interchange_reference",
    metadata,
    Column("partner", Text, primary_key=True),
    Column("reference", Text, primary_key=True),  # in its number space
    Column("test", Boolean, primary_key=True),
    Column("inbox", Sequence, nullable=False),
    Column("digest", String(64), nullable=False),
    Index("interchange_reference_inbox", "inbox"),
)

# Everything to be sent; it stays, so that it can be sent again byte for byte.
outbox = Table(
    "outbox",
    metadata,
    Column("position", Sequence, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("inbox", Sequence, nullable=False),  # the transmission that it answers
    Column("ordinal", Integer),
    Column("kind", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    # awaited; then what the partner's CONTRL said: 4 rejected, 7 acknowledged, 8 received; closed by an operator
    Column("acknowledgement", Text),
    Column("acknowledged_at", Instant),
    Column("body", LargeBinary, nullable=False),
    Index("outbox_inbox", "inbox"),
)

# What an operator may have to look at; a literal, so that the planner sees that the index is meant.
UNACKNOWLEDGED = outbox.c.acknowledgement.in_((literal_column("'awaited'"), literal_column("'4'")))
Index("outbox_unacknowledged", outbox.c.position, postgresql_where=UNACKNOWLEDGED, sqlite_where=UNACKNOWLEDGED)

# What of it is to be sent, with what it takes to choose; parked when the broker refused to take it, as too large.
due = Table(
    "due",
    metadata,
    Column("position", Sequence, primary_key=True, autoincrement=False),
    Column("destination", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("size", Integer, nullable=False),  # bytes
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("parked_at", Instant),
)
WAITS, REFUSED = due.c.parked_at.is_(None), due.c.parked_at.is_not(None)
Index("due_next", due.c.destination, due.c.position, postgresql_where=WAITS, sqlite_where=WAITS)

# What became of the rest: sent, and by which audit link witnessed; or closed when an operator decided that it is not to
# be sent.
sent = Table(
    "sent",
    metadata,
    Column("position", Sequence, primary_key=True, autoincrement=False),
    Column("attempts", Integer, nullable=False),
    Column("sent_at", Instant),
    Column("link", Sequence),
    Column("closed_at", Instant),
    Column("parked_at", Instant),
    Column("error", Text),
)

# The links of earlier times of what was sent again.
resent = Table(
    "resent",
    metadata,
    Column("position", Sequence, primary_key=True, autoincrement=False),
    Column("link", Sequence, primary_key=True, autoincrement=False),
)

# Every replay: what today's pipeline makes of a transmission (or of a file: no inbox), without any effect.
execution = Table(
    "execution",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("inbox", Sequence),
    Column("source", Text, nullable=False),  # the transmission's id, or the file's name
    Column("digest", String(64), nullable=False),
    Column("partner", Text, nullable=False),
    Column("operator", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("specs", String(64), nullable=False),
    Column("messages", Text, nullable=False),  # verdicts and findings
    Column("sent_at", Instant),  # when its answers were put into the outbox
    Index("execution_inbox", "inbox"),
)

# The answers that a replay made; they are kept here, and go out only when an operator says so.
execution_answer = Table(
    "execution_answer",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("execution", Sequence, nullable=False),
    Column("ordinal", Integer),
    Column("kind", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("execution_answer_execution", "execution"),
)

# Destinations that failed: a row goes when the destination works again.
destination = Table(
    "destination",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("paused_until", Instant, nullable=False),
    Column("parked_at", Instant),
    Column("error", Text, nullable=False),
)

# Who does what only one of several gateways may do, and for how long.
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Instant, nullable=False),
)

# What is done by the clock, such as a backup: when it last went well, and when and why it last did not.
chore = Table(
    "chore",
    metadata,
    Column("name", Text, primary_key=True),
    Column("succeeded_at", Instant),
    Column("failed_at", Instant),
    Column("error", Text),
)

# The audit chain; insert-only by triggers. `at` is text: the hash covers exactly what is stored.
audit = Table(
    "audit",
    metadata,
    Column("n", Sequence, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", Sequence),  # inbox sequence
    Column("detail", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_subject", "subject"),
)
