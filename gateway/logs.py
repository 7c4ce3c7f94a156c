"""Logging: structlog everywhere, the libraries' own loggers through it, JSON in service and readable on a terminal."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from core.errors import GatewayError

# Never a payload: these are the only fields that an event may carry, whatever a caller passes.
FIELDS = {
    "event", "level", "timestamp", "logger", "exc_info", "exception", "message_id", "partner", "sequence", "verdict",
    "findings", "kind", "destination", "count", "error", "worker", "state", "broker", "database", "seconds", "loop",
    "digest", "attempts", "queue", "exit", "pid", "specs", "version", "transaction_number",
    "user", "operator", "client", "role", "way",
}  # fmt: skip


# A business number with its account (BN15), or the nine digits alone; the first three digits and the account stay.
BUSINESS_NUMBER = re.compile(r"(?<![0-9A-Za-z])(\d{3})\d{6}(R[A-Z]\d{4}(?!\d)|(?![\dA-Za-z]))")

NINE_DIGITS = re.compile(r"\d{9}")  # found or not many times faster

# Characters of one text: a library's message may repeat what it was given.
LONGEST = 2_000

# Lines that are laid by while nobody takes them (a megabyte or two), and how long a process that ends waits for them.
LINES, DRAIN_SECONDS = 5_000, 1.0


def _allowed(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Drop every field that is not on the list."""
    return {key: value for key, value in event.items() if key in FIELDS or key.startswith("_")}


def _harmless(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Make every text harmless, a library's too: one line, no control characters, business numbers shortened."""
    return {key: _clean(value) if isinstance(value, str) else value for key, value in event.items()}


def _clean(text: str) -> str:
    """Return a text with control characters escaped and the middle of business numbers left out, bounded."""
    shown = text[:LONGEST]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return BUSINESS_NUMBER.sub(r"\1***\2", shown) if NINE_DIGITS.search(shown) else shown


class _Lossy:
    """A file for a log: a line that cannot be written is lost and harms nobody, as with the handlers of `logging`.

    Else a full disk, or a reader of the log that went away, would end every loop and have messages parked.
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file  # None: the program was started without standard error

    def write(self, text: str) -> None:
        """Write and flush a text, if that is possible."""
        with suppress(OSError, ValueError):
            if self._file:
                self._file.write(text)
                self._file.flush()

    def flush(self) -> None:
        """Do nothing: what was written is flushed."""


class _Unwaiting(_Lossy):
    """The same for who may not wait: lines are laid by, written by a thread, and lost where nobody takes them.

    A pipe that nobody reads would stop every loop at its next line. `lost` is told how many were.
    """

    def __init__(self, file: TextIO | None, lost: Callable[[int], object]) -> None:
        super().__init__(file)
        self._lines: queue.Queue[str] = queue.Queue()
        self._lost, self._missing, self._process = lost, 0, 0

    def write(self, text: str) -> None:
        """Lay a text by; one too many is counted."""
        if self._process != os.getpid():  # at first, and after a fork, which takes no thread along
            self._process, self._lines = os.getpid(), queue.Queue()
            threading.Thread(target=self._work, args=(self._lines,), daemon=True, name="log").start()
        if self._lines.qsize() >= LINES:
            self._missing += 1
            self._lost(1)
            return
        if self._missing:
            self._lines.put(json.dumps({"event": "log lines were lost", "count": self._missing}) + "\n")
            self._missing = 0
        self._lines.put(text)

    def _work(self, lines: queue.Queue[str]) -> None:
        while True:
            super().write(lines.get())
            lines.task_done()

    def drain(self) -> None:
        """Wait until what was laid by is written, DRAIN_SECONDS at most."""
        end = time.monotonic() + DRAIN_SECONDS
        while self._lines.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.005)


def _own(file: TextIO | None) -> TextIO | None:
    """Return another way to the same file: a thread that waits to write there keeps a lock of nobody else's."""
    try:
        return open(file.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False) if file else None
    except (OSError, ValueError):  # no file at all
        return file


_unwaiting: list[_Unwaiting] = []


def drain() -> None:
    """Let a process that ends write what it has said, if anybody takes it."""
    for each in _unwaiting:
        each.drain()


def configure(
    style: str = "auto",
    level: int = logging.INFO,
    *,
    waiting: bool = True,
    lost: Callable[[int], object] = lambda _count: None,
) -> None:
    """Send every log line to stderr in the style: json, text, or auto (text on a terminal); `,debug` behind it for all.

    Who is not `waiting` loses lines that nobody takes, is told how many by `lost`, and calls `drain` at its end.
    """
    file = _Lossy(sys.stderr) if waiting else _Unwaiting(_own(sys.stderr), lost)
    _unwaiting[:] = [file] if isinstance(file, _Unwaiting) else []
    terminal = sys.stderr is not None and sys.stderr.isatty()
    style, _, more = style.partition(",")
    level = logging.DEBUG if more == "debug" else level
    readable = style == "text" or (style == "auto" and terminal)
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _allowed,
    ]
    rendered: list[structlog.types.Processor] = [
        structlog.processors.format_exc_info,
        _harmless,
        structlog.dev.ConsoleRenderer(colors=terminal) if readable else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", file)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(cast("TextIO", file))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The libraries report what they are told to do, payloads included: only their warnings count here.
    for library in ("kombu", "amqp", "sqlalchemy", "alembic", "pydifact", "xmlschema"):
        logging.getLogger(library).setLevel(logging.WARNING)


def logger() -> Any:
    """Return the log; message ids are bound with `bound`."""
    return structlog.get_logger("gateway")


bound = structlog.contextvars.bound_contextvars


def reason(error: Exception) -> str:
    """Return what went wrong and where; an unexpected error's own text could repeat the sender's data."""
    if isinstance(error, GatewayError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
