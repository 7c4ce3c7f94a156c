"""Logging: structlog everywhere, the libraries' own loggers through it, JSON in service and readable on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

# Never a payload: these are the only fields that an event may carry, whatever a caller passes.
FIELDS = {
    "event", "level", "timestamp", "logger", "exc_info", "exception", "message_id", "partner", "sequence", "verdict",
    "findings", "kind", "destination", "count", "error", "worker", "state", "broker", "database", "seconds", "loop",
    "digest", "attempts", "queue", "exit", "pid", "specs", "version", "transaction_number",
    "user",
}  # fmt: skip


def _allowed(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Drop every field that is not on the list."""
    return {key: value for key, value in event.items() if key in FIELDS or key.startswith("_")}


def configure(style: str = "auto", level: int = logging.INFO) -> None:
    """Send every log line to stderr in the style: json, text, or auto (text on a terminal)."""
    readable = style == "text" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _allowed,
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if readable else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
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
