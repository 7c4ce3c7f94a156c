"""Makes tests/support/data/journal-0.1.0.sqlite3.gz, in a checkout of version 0.1.0, whose gateway writes the journal.

    cd CHECKOUT-OF-0.1.0 && PYTHONPATH=. .venv/bin/python .../make_journal_0_1_0.py .../journal-0.1.0.sqlite3.gz

Transaction numbers and what became of them: 54321000000012 an original and its correction, assessed; ...023 an original
that the engine refused, and the better one that 0.1.0 parked; ...034 an original whose withdrawal the engine has yet to
decide; ...045 an original whose answer and request are still to be sent; ...056 refused by us, its reference free.
"""

from __future__ import annotations

import gzip
import sqlite3
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from gateway import service
from tests.support.house import House, house
from tests.support.traffic import number
from tests.support.way import SAMPLES


def as_then(file: str) -> bytes:
    """Return a sample with the classification number that it had in 0.1.0."""
    return (SAMPLES / file).read_bytes().replace(b"8431490000", b"7308900000")


ORIGINAL = as_then("originals/v-voluntary.edi")
CHANGE = as_then("changes/v-correction.edi")
WITHDRAWAL = as_then("changes/v-withdraw.edi")


class Clock:
    """A second passes whenever somebody looks."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def letter(sample: bytes, n: int, reference: str, functional: str = "REF", version: str | None = None) -> bytes:
    """Return a sample with another transaction number, interchange reference, functional reference and version.

    It bears the test mark, so that the functional reference may choose what the reference engine says.
    """
    interchange = sample.split(b"'")[1].split(b"+")[5]
    body = sample.replace(b"12345000000023", number(n).encode()).replace(interchange, reference.encode())
    body = body.replace(f"+{reference}'".encode(), f"+{reference}++++++1'".encode(), 1)
    for own in (b"REF-00023", b"REF-W1"):
        body = body.replace(b"ABO:" + own, b"ABO:" + functional.encode())
    return body if version is None else body.replace(b":00002+", f":{version}+".encode())


def fill(gateway: House) -> None:
    """Send everything, one after another."""
    gateway.send("maple", letter(ORIGINAL, 1, "A1"))
    gateway.settle_down()
    gateway.send("maple", letter(CHANGE, 1, "A2"))
    gateway.settle_down()
    gateway.send("maple", letter(ORIGINAL, 1, "A1"))  # a resend: answered again
    gateway.settle_down()
    gateway.send("maple", letter(ORIGINAL, 2, "B1", "TEST-REFUSE"))
    gateway.settle_down()
    gateway.send("maple", letter(ORIGINAL, 2, "B2", "REF-B"))
    for _ in range(30):  # tried until it is parked
        gateway.settle_down()
    gateway.send("maple", letter(ORIGINAL, 3, "C1"))
    gateway.settle_down()
    gateway.send("maple", letter(WITHDRAWAL, 3, "C2", "TEST-PENDING", "00001"))
    gateway.settle_down()
    gateway.send("maple", letter(ORIGINAL, 5, "E1").replace(b"UNS+S'", b"", 1))
    gateway.settle_down()
    (answer,) = [each for each in gateway.answers("maple") if each.headers["kind"] == "assessed"][:1]
    ours = answer.body.split(b"UNB+")[1].split(b"'")[0].split(b"+")[4].decode()
    gateway.send(
        "maple",
        f"UNB+UNOC:3+MAPLEBROKER+CARMGATEWAY+261123:1000+K1'UNH+1+CONTRL:D:3:UN'"
        f"UCI+{ours}+CARMGATEWAY+MAPLEBROKER+7'UNT+3+1'UNZ+1+K1'".encode(),
    )
    gateway.settle_down()
    gateway.send("maple", letter(ORIGINAL, 4, "D1"))
    gateway.receive()
    gateway.work()  # and nothing is sent any more


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with mock.patch.object(service, "now", Clock()), house(Path(folder)) as gateway:
            fill(gateway)
            print("audit head", gateway.journal.head())
            for row in gateway.journal.list_messages():
                names = ("state", "transaction_number", "version", "reference", "verdict", "nature", "note", "findings")
                print(*(row[name] for name in names[:-1]), [each["code"] for each in row["findings"]])
        path = Path(folder) / "gateway.sqlite3"
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA journal_mode=DELETE")
            raw.execute("VACUUM")
        target.write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
