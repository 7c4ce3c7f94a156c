"""How long the web desk's pages take with a hundred thousand messages in the journal.

Run: python -m benchmarks.bench_desk [messages] [database URL]
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from benchmarks.bench_journal import fill, timed
from core.transmission import stable_id
from gateway.journal import Journal
from gateway.journal.audit import GENESIS
from gateway.plans import prepare
from gateway.service import now
from gateway.settings import SPECS, from_environment
from gateway.web.app import build
from gateway.web.guard import Rate
from gateway.web.site import Site, WaysIn

FINDING = (
    '[{"code":"CAD-0101","severity":"refuse","text_en":"x","text_fr":"x","place":{},"value":null,"expected":null,'
    '"source_en":"s","source_fr":"s","syntax_error":null,"service_segment":null}]'
)

# One in ten is refused, for one finding; each has a reference of its own, and one of a hundred importers.
MORE = (
    f"UPDATE message SET verdict = 'refused', findings = '{FINDING}' WHERE inbox % 10 = 0",  # noqa: S608 - our own
    "UPDATE message SET reference = 'R' || inbox",
    "INSERT INTO message_term SELECT 'reference:R' || inbox, inbox, 1 FROM message",
    "INSERT INTO message_term SELECT 'importer:1000000' || (10 + inbox % 90) || 'RM0001', inbox, 1 FROM message",
    "INSERT INTO message_term SELECT 'finding:CAD-0101', inbox, 1 FROM message WHERE inbox % 10 = 0",
    "UPDATE handled SET state = 'parked', note = 'too many attempts' WHERE sequence % 1000 = 0",
)


def pages(rows: int) -> dict[str, str]:
    """Return the pages that are measured, by what they are."""
    middle = rows // 2
    return {
        "list": "/desk",
        "list, oldest page": "/desk?after=40.1",
        "list, middle page": f"/desk?after={middle}.1",
        "by number": f"/desk?search={middle:014}",
        "by reference": f"/desk?search=R{middle}",
        "by importer": "/desk?search=100000055RM0001",
        "by id": f"/desk?search={stable_id(str(middle))[:12]}",
        "by nothing there": "/desk?search=nothing",
        "by partner": "/desk?partner=maple",
        "by partner without any": "/desk?partner=nobody",
        "by finding": "/desk?finding=CAD-0101",
        "by finding's beginning": "/desk?finding=CAD",
        "by finding without any": "/desk?finding=GTW-0001",
        "refused": "/desk?verdict=refused",
        "refused of an importer": "/desk?verdict=refused&importer=100000055RM0001",
        "waiting": "/desk?state=received",
        "an old hour": "/desk?since=2020-01-01T10:00&until=2020-01-01T11:00",
        "all time": "/desk?since=2020-01-01",
        "a time without any": "/desk?since=2026-01-01",
        "parked": "/desk/parked",
        "destinations": "/desk/destinations",
        "a message": f"/desk/messages/{stable_id(str(middle))}",
        "replay form": "/desk/runs/new",
    }


def main() -> None:
    """Fill a journal and time every page of it."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{folder}/journal.sqlite3"
        journal = Journal.open(url)
        journal.migrate()
        fill(journal, 1, rows + 1, GENESIS)
        with journal._write() as connection:
            for statement in MORE:
                connection.exec_driver_sql(statement.replace("%", "%%") if "postgres" in url else statement)
        with journal._write() as connection:
            connection.exec_driver_sql("ANALYZE")
        settings = from_environment()
        settings = replace(settings, broker_url=f"sqlite:///{folder}/queue.db", database_url=url)
        site = Site(settings, prepare(SPECS), ("desk",), WaysIn(ticket="t"))
        with TestClient(build(site, ["testserver"], Rate(1_000))) as client:
            client.get("/desk/enter?ticket=t")
            slowest = 0.0
            for name, path in pages(rows).items():
                if (code := client.get(path).status_code) != 200:
                    raise SystemExit(f"{path}: {code}")
                took = timed(lambda path=path: client.get(path), 20)  # type: ignore[misc]
                slowest = max(slowest, took)
                print(f"{name:24} {took:7.1f} ms")
            print(f"{'figures at the top':24} {timed(lambda: journal.counts(now()), 20):7.1f} ms")
            start = time.perf_counter()
            size = len(client.get("/desk/messages.csv").content)
            print(f"{'all as CSV':24} {(time.perf_counter() - start) * 1000:7.0f} ms, {size / 1e6:.1f} MB")
            print(f"{rows:,} messages, slowest page {slowest:.0f} ms")
        journal.close()
        print(f"{sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
