"""Logging: structlog everywhere, the libraries' own loggers through it, JSON in service and readable on a terminal."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

# Never a payload: these are the only fields that an event may carry, whatever a caller passes.
FIELDS = {
    "event", "level", "timestamp", "logger", "exc_info", "exception", "message_id", "partner", "sequence", "verdict",
    "findings", "kind", "destination", "count", "error", "worker", "state", "broker", "database", "seconds", "loop",
    "digest", "attempts", "queue", "exit", "pid", "specs", "version", "transaction_number",
    "user",
}  # fmt: skip


# A business number with its account (BN15), or the nine digits alone; the first three digits and the account stay.
BUSINESS_NUMBER = re.compile(r"(?<![0-9A-Za-z])(\d{3})\d{6}(R[A-Z]\d{4}(?!\d)|(?![\dA-Za-z]))")

NINE_DIGITS = re.compile(r"\d{9}")  # found or not many times faster

# Characters of one text: a library's message may repeat what it was given.
LONGEST = 2_000


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


def configure(style: str = "auto", level: int = logging.INFO) -> None:
    """Send every log line to stderr in the style: json, text, or auto (text on a terminal)."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
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
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lossy(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
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
