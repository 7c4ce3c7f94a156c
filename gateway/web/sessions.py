"""Who is signed in: sessions kept in memory, by ids that only their browser has, and who must wait to try again."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

# What an operator may: look at everything, or also act.
UserRole = Literal["look", "act"]

# How long a session lasts without a request, and at most; how many there are, beyond which the longest idle one ends.
IDLE_SECONDS = 30 * 60.0
LONGEST_SECONDS = 12 * 3600.0
MOST = 1_000

# How many forms of a session are remembered as done.
FORMS = 200

# So many failures are free by each of these; each further one doubles the wait, up to the longest.
FREE: Mapping[str, int] = {"name and client": 4, "client": 20, "name": 50}
FIRST_WAIT, LONGEST_WAIT = 2.0, 900.0
# Failures that are remembered, beyond which the oldest are forgotten; and for how long.
FAILURES, FORGOTTEN = 20_000, 3600.0

Clock = Callable[[], float]


@dataclass(eq=False)
class Session:
    """One browser's stay: who it is, what it may, and the token that its forms carry."""

    id: str
    name: str
    role: UserRole
    started: float
    seen: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    done: OrderedDict[str, str] = field(default_factory=OrderedDict)  # forms that were sent, and where they led

    def once(self, form: str) -> bool:
        """Tell whether a form, by its own key, is sent for the first time; remember it."""
        if form in self.done:
            return False
        self.done[form] = ""  # where it leads is not known yet
        if len(self.done) > FORMS:
            self.done.popitem(last=False)
        return True


class Sessions:
    """The sessions of one process; nothing of them is kept beyond it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, Session] = OrderedDict()

    def start(self, name: str, role: UserRole) -> Session:
        """Start a session under a new id, whatever the browser had before."""
        now = self._clock()
        session = Session(secrets.token_urlsafe(32), name, role, now, now)
        self._known[session.id] = session
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return session

    def find(self, id_: str | None) -> Session | None:
        """Return the session of an id that has not ended; it is not idle any more."""
        session = self._known.get(id_ or "")
        if session is None or not self.lasts(session):
            return None
        session.seen = self._clock()
        self._known.move_to_end(session.id)
        return session

    def lasts(self, session: Session) -> bool:
        """Tell whether a session goes on; whoever only listens does not prolong it."""
        now = self._clock()
        lasts = now - session.seen < IDLE_SECONDS and now - session.started < LONGEST_SECONDS
        if not lasts:
            self._known.pop(session.id, None)
        return lasts and session.id in self._known

    def end(self, session: Session) -> None:
        """End a session."""
        self._known.pop(session.id, None)


class Attempts:
    """Failed tries to sign in: who has to wait, by name and client together, and by each of them alone."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()

    def wait(self, name: str, client: str) -> float:
        """Return for how many seconds this name from this client is not looked at, 0 for now."""
        now = self._clock()
        return max(0.0, *(self._until(key, free, now) - now for key, free in _keys(name, client)))

    def failed(self, name: str, client: str) -> None:
        """Count a failure."""
        now = self._clock()
        for key, _ in _keys(name, client):
            count, at = self._failed.pop(key, (0, now))
            self._failed[key] = (0 if now - at > FORGOTTEN else count) + 1, now
        while len(self._failed) > FAILURES:
            self._failed.popitem(last=False)

    def passed(self, name: str, client: str) -> None:
        """Forget the failures of a name from a client that has signed in."""
        self._failed.pop(_keys(name, client)[0][0], None)

    def _until(self, key: tuple[str, ...], free: int, now: float) -> float:
        count, at = self._failed.get(key, (0, now))
        if count <= free or now - at > FORGOTTEN:
            return now
        return at + float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(count - free - 1, 20)))


def _keys(name: str, client: str) -> list[tuple[tuple[str, ...], int]]:
    """Return what failures are counted by, with how many are free; a name is as long as one can be."""
    name = name[:200]
    return [
        (("name and client", name, client), FREE["name and client"]),
        (("client", client), FREE["client"]),
        (("name", name), FREE["name"]),
    ]
