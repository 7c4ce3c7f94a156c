"""What waits and how old it is: one watcher asks for everybody, pages show it, open pages hear of changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool

from gateway import pages
from gateway.web.site import LANGUAGES

# How old what is shown may be; the queue of dead letters is on a server that is asked less often.
FRESH_SECONDS, DEAD_SECONDS = 2.0, 15.0

# Open pages that hear of changes, all in all; who comes after them sees what was when the page was loaded.
VIEWERS = 200

# After so long without news a line keeps the connection, and finds out whether anybody still reads it.
QUIET_SECONDS = 15.0

# How soon an open page hears that its session, or this process, ends.
BEAT_SECONDS = 1.0

Counted = Mapping[str, Any]


class Glance(NamedTuple):
    """What was found at one moment: the figures in each language, as a piece of a page, and the newest message."""

    at: float
    newest: int
    fragments: Mapping[str, str]


class Watcher:
    """Asks for the figures while somebody looks, and tells every open page what changed."""

    def __init__(self, ask: Callable[[], tuple[int, Counted]], dead: Callable[[], int | None]) -> None:
        self._ask, self._dead = ask, dead
        self._lock = Lock()
        self._look: Glance | None = None
        self._dead_found: tuple[float, int | None] | None = None
        self._viewers: set[asyncio.Queue[Glance]] = set()
        self._somebody = asyncio.Event()

    def fragment(self, language: str) -> str:
        """Return the figures as a piece of a page, at most FRESH_SECONDS old."""
        return self.look().fragments[language]

    def look(self) -> Glance:
        """Return what is; whoever comes while one asks waits for what that one finds."""
        with self._lock:
            now = time.monotonic()
            if self._look is None or now - self._look.at >= FRESH_SECONDS:
                newest, figures = self._ask()
                facts = {**figures, "dead": self._dead_letters(now)}
                fragments = {each: pages.render("web/desk_figures.html", each, figures=facts) for each in LANGUAGES}
                self._look = Glance(time.monotonic(), newest, fragments)
            return self._look

    def _dead_letters(self, now: float) -> int | None:
        if self._dead_found is None or now - self._dead_found[0] >= DEAD_SECONDS:
            self._dead_found = now, self._dead()
        return self._dead_found[1]

    async def run(self) -> None:
        """Glance as long as somebody does; what cannot be asked is asked again."""
        before: Glance | None = None
        while True:
            await self._somebody.wait()
            with suppress(Exception):  # a page that is loaded meanwhile says what is wrong
                found = await run_in_threadpool(self.look)
                if before is None or (found.newest, found.fragments) != (before.newest, before.fragments):
                    self._tell(found)
                before = found
            await asyncio.sleep(FRESH_SECONDS)

    def _tell(self, found: Glance) -> None:
        """Give every open page the latest; one that has not read the one before need not."""
        for viewer in self._viewers:
            while not viewer.empty():
                viewer.get_nowait()
            viewer.put_nowait(found)

    @contextmanager
    def _viewing(self) -> Iterator[asyncio.Queue[Glance]]:
        viewer: asyncio.Queue[Glance] = asyncio.Queue()
        self._viewers.add(viewer)
        self._somebody.set()
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._somebody.clear()

    @property
    def full(self) -> bool:
        """Whether as many pages are open as may be."""
        return len(self._viewers) >= VIEWERS

    async def stream(self, language: str, lasts: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield server-sent events as long as a session lasts: `figures`, and `newest` when messages have come."""
        with self._viewing() as viewer:
            first = await run_in_threadpool(self.look)
            yield "retry: 5000\n" + event("figures", first.fragments[language])
            newest, spoke = first.newest, time.monotonic()
            while lasts():
                try:
                    found = await asyncio.wait_for(viewer.get(), BEAT_SECONDS)
                except TimeoutError:
                    if time.monotonic() - spoke >= QUIET_SECONDS:
                        spoke = time.monotonic()
                        yield ": still here\n\n"
                    continue
                spoke = time.monotonic()
                yield event("figures", found.fragments[language])
                if found.newest != newest:
                    newest = found.newest
                    yield event("newest", pages.render("web/desk_newest.html", language))


def event(name: str, data: str) -> str:
    """Return a server-sent event."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines())
    return f"event: {name}\n{lines}\n"
