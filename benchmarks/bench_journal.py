"""What a long archive costs: claims, facts and what is due with ten thousand and with a million finished transmissions.

Also how fast the audit chain is walked. Run: python -m benchmarks.bench_journal [rows] [database URL]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, insert, literal, select

from core.transmission import stable_id
from gateway.journal import Arrival, Journal
from gateway.journal.audit import GENESIS, Link, link_hash
from gateway.journal.tables import audit, handled, inbox, interchange_reference, message, outbox, sent, work

START = datetime(2020, 1, 1, tzinfo=UTC)
BODY = b"x" * 500
PORTION = 10_000


def fill(journal: Journal, first: int, last: int, previous: str) -> str:
    """Write finished transmissions with message, reference, answer and audit link each; return the last hash."""
    for start in range(first, last, PORTION):
        numbers = range(start, min(start + PORTION, last))
        rows: dict[str, list[dict[str, object]]] = defaultdict(list)
        for n in numbers:
            at, key = START + timedelta(seconds=n), stable_id(str(n))
            rows["inbox"].append(
                {"sequence": n, "id": key, "uid": key, "channel": "partner", "partner": "maple", "received_at": at,
                 "digest": key * 2, "headers": "{}", "lane": str(n), "body": BODY}
            )  # fmt: skip
            rows["handled"].append({"sequence": n, "state": "done", "attempts": 1, "finished_at": at})
            rows["message"].append(
                {"inbox": n, "ordinal": 1, "syntax": "edifact", "type": "declaration", "envelope": "{}",
                 "transaction_number": f"{n:014}", "verdict": "accepted", "findings": "[]", "specs": "s",
                 "created_at": at, "test": False}
            )  # fmt: skip
            rows["reference"].append(
                {"partner": "maple", "reference": f"R{n}", "test": False, "inbox": n, "digest": key * 2}
            )
            rows["outbox"].append(
                {"position": n, "id": key, "inbox": n, "kind": "accepted", "destination": "out.maple",
                 "content_type": "a/b", "created_at": at, "body": BODY}
            )  # fmt: skip
            rows["sent"].append({"position": n, "attempts": 1, "sent_at": at, "link": n})
            moment = at.isoformat(timespec="microseconds")
            previous = link_hash(previous, n, moment, "judged", n, "{}")
            rows["audit"].append(Link(n, moment, "judged", n, "{}", previous)._asdict())
        with journal._write() as connection:
            for table, name in (
                (inbox, "inbox"), (message, "message"), (interchange_reference, "reference"), (outbox, "outbox"),
                (handled, "handled"), (sent, "sent"), (audit, "audit"),
            ):  # fmt: skip
                connection.execute(insert(table), rows[name])
    return previous


def timed(step: Callable[[], object], times: int = 30) -> float:
    """Return the median milliseconds of a step."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    return sorted(took)[times // 2] * 1000


def measure(journal: Journal, rows: int) -> None:
    """Print the figures of a journal that holds so many finished rows; a backlog of 200 waits in it."""
    now = datetime.now(UTC)
    backlog = [Arrival(f"{rows}-{n}", "partner", "maple", BODY, {}, now, lane=f"{rows}-{n}") for n in range(200)]
    received = timed(lambda: journal.receive([backlog.pop()]), 50)

    def claim() -> None:
        journal.release(journal.claim("bench", 50, 60, now).work)

    wanted = [f"{n:014}" for n in range(1, 51)]
    figures = {
        "receive": received,
        "claim 50 and release": timed(claim),
        "facts of 50": timed(lambda: journal.facts("maple", wanted, [f"R{n}" for n in range(1, 51)])),
        "due": timed(lambda: journal.due(200, now)),
        "counts": timed(lambda: journal.counts(now)),
    }
    told = ", ".join(f"{name} {value:.2f} ms" for name, value in figures.items())
    print(f"{rows:>9,} finished: {told}", flush=True)
    with journal._write() as connection:  # the backlog is finished too, so that each round sees one of its own
        done = select(work.c.sequence, literal("done"), work.c.attempts, literal(now, handled.c.finished_at.type))
        connection.execute(insert(handled).from_select(["sequence", "state", "attempts", "finished_at"], done))
        connection.execute(delete(work))


def main() -> None:
    """Fill and measure at ten thousand rows and at all."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{folder}/journal.sqlite3")
        journal.migrate()
        previous, done = GENESIS, 1
        for wanted in (min(10_000, rows), rows):
            # What the measurement wrote carries numbers of its own: the next rows and links go on behind them.
            with journal._read() as connection:
                done = max(done, (connection.exec_driver_sql("SELECT max(sequence) FROM inbox").scalar() or 0) + 1)
            head = journal.head()
            if head[0]:
                done, previous = max(done, head[0] + 1), head[1]
            previous = fill(journal, done, wanted + 1, previous) if wanted >= done else previous
            measure(journal, wanted)
        start = time.perf_counter()
        report = journal.verify()
        seconds = time.perf_counter() - start
        print(f"audit: {report.links:,} links in {seconds:.1f} s, {report.links / seconds:,.0f}/s, bad {report.bad}")
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        if size:
            print(f"files: {size / 1e6:,.0f} MB")
        journal.close()


if __name__ == "__main__":
    main()
