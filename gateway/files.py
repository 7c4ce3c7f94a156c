"""The files of journal and embedded queue: one gateway's alone while it runs, and whole once it has stopped."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from core.errors import GatewayError
from gateway.journal import file_of
from gateway.queues.store import settle, store_of
from gateway.settings import Settings


def queue_file(settings: Settings) -> Path | None:
    """Return the embedded queue's file, None where the queues are a server's."""
    return store_of(settings.broker_url).path if settings.broker_url.startswith("sqlite:") else None


class Disk(NamedTuple):
    """Where one of our files lies: bytes that are left there for us, and whether it can be written."""

    free: int
    writable: bool


def disks(settings: Settings) -> dict[str, Disk]:
    """Return the disks of `journal` and embedded `queue`, as far as they are files; a server watches its own."""
    found = {}
    for name, path in (("journal", file_of(settings.database_url)), ("queue", queue_file(settings))):
        if path and path.exists():
            told = os.statvfs(path.parent)
            writable = not told.f_flag & os.ST_RDONLY and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
            found[name] = Disk(told.f_bavail * told.f_frsize, writable)
    return found


@contextmanager
def hold(settings: Settings) -> Iterator[None]:
    """Keep the files of queue and journal to one gateway, and leave them whole, without their logs.

    Raises GatewayError where another gateway runs on one of them.
    """
    paths = [path for path in (file_of(settings.database_url), queue_file(settings)) if path]
    with ExitStack() as locks:
        for path in paths:
            locks.enter_context(_alone(path))
        try:
            yield
        finally:
            for path in paths:
                if path.exists():
                    settle(path)


# The handles of the locks that this process holds.
_held: set[int] = set()


def forked() -> None:
    """Leave the locks to the process that this one was forked from: it alone holds them, and they end with it."""
    while _held:
        os.close(_held.pop())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock beside a file (never on it: DECISIONS D7); the kernel lets go of it when this process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error
    _held.add(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise GatewayError(f"another gateway runs on {path}: stop it first") from error
    finally:
        _held.discard(handle)
        os.close(handle)
