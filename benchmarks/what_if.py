"""What-if over 100,000 recorded messages against a specification with one tightened code list.

Run: python -m benchmarks.what_if [MESSAGES] [FOLDER]
The recorded journal stays in FOLDER (run/what-if) for next time.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from pathlib import Path

import click
import psutil

from gateway import pipeline, plans
from gateway.desk import what_if
from gateway.journal import Journal, Recorded, Selection, inbox_id
from gateway.logs import configure
from tests.support.house import settings_in
from tests.support.traffic import record, templates, uses, without
from tests.support.way import HOME, PLANS

LIST, CODE = "currency", "EUR"
PROCESSES = (1, 2)


def main() -> int:
    """Record, ask what if, compare with what must come, print messages/s and memory; return 0 if it came."""
    configure("json", logging.CRITICAL)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else HOME / "run" / "what-if"
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_in(folder)
    given = templates()
    journal = Journal.open(settings.database_url)
    journal.migrate()
    if journal.count_selected(Selection()) != count:
        shutil.copytree(HOME / "eccrd_specs", folder / "recorded-by", dirs_exist_ok=True)
        started = time.monotonic()
        record(journal, count, given)
        click.echo(f"recorded {count} messages in {time.monotonic() - started:.0f} s")
    first = journal.recorded([sequence for sequence, _ in journal.selected(Selection(), limit=len(given))])
    journal.close()
    shutil.rmtree(folder / "specs", ignore_errors=True)
    specs = plans.prepare(without(folder / "specs", LIST, CODE, folder / "recorded-by"))
    # By the dictionary alone, from the bytes: no check of a code has a part in what is expected.
    concerned = [_uses(row) for row in first]
    expected = {inbox_id(f"traffic-{n}") for n in range(count) if concerned[n % len(given)]}
    for processes in PROCESSES:
        peak, before = _Peak(), _processor_seconds()
        result = what_if.what_if(settings, Selection(), specs, processes, clock=time.monotonic)
        turned = {each["id"] for each in result.changes() if each["before"] != each["after"]}
        click.echo(
            f"{processes} process(es): {result.tally.messages} messages in {result.seconds:.1f} s,"
            f" {result.per_second:.0f}/s, {result.tally.messages / (_processor_seconds() - before):.0f} a second of"
            f" processor time; peak memory {peak.stop() / 1e6:.0f} MB in all processes together;"
            f" {len(turned)} verdicts change, {len(expected)} were to"
        )
        if turned != expected or result.tally.turned != len(expected) or result.tally.only_findings:
            click.echo("these are not the expected ones")
            return 1
    return 0


def _uses(row: Recorded) -> bool:
    """Tell whether a recorded message has the code in an element of the list."""
    declarations = [message.declaration for message in pipeline.parse(row.received, PLANS).messages]
    return any(each is not None and uses(each, LIST, CODE) for each in declarations)


def _processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


class _Peak:
    """The most memory that this process and its children had at once, looked at five times a second."""

    def __init__(self) -> None:
        self._most, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.2):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            self._most = max(self._most, total)

    def stop(self) -> int:
        """Return the peak in bytes."""
        self._over.set()
        self._thread.join()
        return self._most


if __name__ == "__main__":
    sys.exit(main())
