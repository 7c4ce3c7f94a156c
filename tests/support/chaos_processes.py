"""A gateway whose processes die at every step of their work, as a program of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core import limits
from gateway import journal, loops, pipeline, plans, queues, service, supervisor
from gateway.bells import DISPATCH, WORK, Bell, Bells
from gateway.journal import outbox
from gateway.settings import HOME, Settings

POINTS = (
    (queues.Intake, "receive", "fetched"),
    (journal.Journal, "receive", "recorded"),
    (queues.Intake, "ack", "acknowledged"),
    (journal.Journal, "claim", "claimed"),
    (pipeline, "parse", "parsed"),
    (pipeline, "judge", "judged"),
    (journal.Journal, "finish", "finished"),
    (journal.Journal, "settle", "settled"),
    (journal.Journal, "due", "found due"),
    (queues.Broker, "publish", "published"),
    (journal.Journal, "mark_sent", "marked"),
)


@dataclass(frozen=True)
class Plan:
    """How a gateway is run, and how its processes die: `chance` at each point, `every` seconds from outside.

    `file_bytes` is how large a file may become (0: any size), `failures` after how many a destination is parked,
    `hang_seconds` how long one message may take; a body with POISON kills its worker, one with ENDLESS never ends.
    """

    folder: str
    broker_url: str
    database_url: str
    workers: int = 1
    chance: float = 0.0
    every: float = 0.0
    batch: int = 10
    seed: int = 1
    file_bytes: int = 0
    failures: int = 55
    hang_seconds: float = 30.0
    lease_seconds: int = 10

    @property
    def settings(self) -> Settings:
        return Settings(self.broker_url, self.database_url, Path(self.folder) / "partners.toml", SPECS, "json")


SPECS = HOME / "eccrd_specs"


def supervise(plan: Plan) -> None:
    """Run a gateway until SIGTERM, forking each process that died anew; nothing here is opened before a fork."""
    from tests.support import way

    way.play()  # what is compiled at first use, the forks need not compile again
    plans.prepare = lambda _root: way.PLANS
    loops.not_ours = lambda *_: None  # here one user sends and receives
    service.BATCH, service.LEASE_SECONDS = plan.batch, plan.lease_seconds
    outbox.FAILURES, limits.MESSAGE_SECONDS = plan.failures, plan.hang_seconds
    pipeline.parse = _poisonous(pipeline.parse)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    bells = {name: Bell() for name in (WORK, DISPATCH)}
    names = ["receive", *(f"work-{n}" for n in range(plan.workers)), "retry", "dispatch", "engine"]
    running: dict[str, int] = {}
    dead: dict[str, list[int]] = defaultdict(list)
    dice = random.Random(plan.seed)
    strike = time.monotonic() + 1
    births = 0
    while not told:
        for name in names:
            if name not in running:
                births += 1
                running[name] = os.fork()
                if not running[name]:
                    _live(plan, name, births, dead[name][-5:], os.getppid(), bells)
        if plan.every and time.monotonic() > strike:
            strike = time.monotonic() + dice.uniform(0, 2 * plan.every)
            with suppress(ProcessLookupError):
                os.kill(running[dice.choice(names)], signal.SIGKILL)
                _note(plan, "anywhere")
        _collect(running, dead)
        time.sleep(0.005)
    for pid in running.values():
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while running and time.monotonic() < deadline:
        _collect(running, dead)
        time.sleep(0.01)
    for pid in running.values():
        os.kill(pid, signal.SIGKILL)


def _collect(running: dict[str, int], dead: dict[str, list[int]]) -> None:
    while running:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        name = next(name for name, one in running.items() if one == pid)
        dead[name].append(running.pop(name))


def _live(plan: Plan, name: str, birth: int, former: list[int], parent: int, bells: Bells) -> None:
    """Be one process of the gateway, mortal at every point."""
    try:
        random.seed(f"{plan.seed} {name} {birth}")
        if plan.file_bytes:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_bytes, resource.RLIM_INFINITY))
        for pid in former:  # one that died before it had come this far did not do it
            supervisor._disown(plan.settings, SimpleNamespace(name=name, pid=pid))  # type: ignore[arg-type]
        if plan.chance:
            for owner, method, point in POINTS:
                setattr(owner, method, _mortal(getattr(owner, method), point, plan))
        loops.run(name, plan.settings, parent, loops.Given(bells=bells))
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def _poisonous(parse: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(parse)
    def wrapper(received: Any, specs: Any) -> Any:
        if b"POISON" in received.body:
            os.kill(os.getpid(), signal.SIGKILL)
        while b"ENDLESS" in received.body:
            pass
        return parse(received, specs)

    return wrapper


def _mortal(act: Callable[..., Any], point: str, plan: Plan) -> Callable[..., Any]:
    @wraps(act)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        done = act(*args, **kwargs)
        if (done is None or done) and random.random() < plan.chance:
            _note(plan, point)
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return wrapper


def _note(plan: Plan, point: str) -> None:
    handle = os.open(Path(plan.folder) / "kills", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(handle, f"{point}\n".encode())
    os.close(handle)


if __name__ == "__main__":
    supervise(Plan(**json.loads(sys.argv[1])))
