"""The pool of worker processes: what takes too long or too much ends alone, and the next job is done."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gateway.web import judging, work
from gateway.web.judging import Judges
from gateway.web.site import NotDone
from tests.support.web import ROOT

pytestmark = pytest.mark.slow  # workers have the specification compiled: seconds


@pytest.fixture(scope="module")
def judges() -> Iterator[Judges]:
    judges = Judges(ROOT, workers=2, waiting=4)
    judges.start()
    yield judges
    judges.stop()


def hang() -> None:
    time.sleep(600)


def hang_in_c() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    time.sleep(600)


def burn() -> None:
    """Use up processor time, of which one second is left."""
    left, most = resource.getrlimit(resource.RLIMIT_CPU)
    assert left - time.process_time() <= judging.CPU_SECONDS + 1
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1, most))
    while True:
        pass


def grow() -> int:
    return len(bytearray(4_000_000_000))


def die() -> None:
    os._exit(3)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def pid() -> int:
    time.sleep(0.2)
    return os.getpid()


@pytest.mark.parametrize(
    ("job", "status", "said"),
    [
        (hang, 422, "too long"),
        (hang_in_c, 422, "too long"),
        (burn, 422, "too long"),
        (grow, 422, "too much memory"),
        (be_killed, 422, "too much memory"),
        (die, 500, "the fault is ours"),
        (crash, 500, "the fault is ours"),
    ],
)
def test_a_job_that_fails_is_one_line_and_the_next_is_done(
    judges: Judges, monkeypatch: pytest.MonkeyPatch, job: object, status: int, said: str
) -> None:
    monkeypatch.setattr(judging, "JOB_SECONDS", 1.0 if job is not burn else 60.0)
    with pytest.raises(NotDone, match=said) as raised:
        asyncio.run(judges(job))  # type: ignore[arg-type]
    assert raised.value.status_code == status
    assert raised.value.__cause__ is None
    assert asyncio.run(judges(work.ready)) is True


def test_a_worker_that_dies_idle_takes_nobody_along(judges: Judges) -> None:
    async def both() -> list[int]:
        return await asyncio.gather(judges(pid), judges(pid))

    for one in set(asyncio.run(both())):
        os.kill(one, signal.SIGKILL)
    time.sleep(0.5)
    assert asyncio.run(judges(work.ready)) is True


def test_what_there_is_no_room_for_is_told_to_come_again(judges: Judges) -> None:
    async def many() -> list[object]:
        return await asyncio.gather(*(judges(pid) for _ in range(20)), return_exceptions=True)

    came = asyncio.run(many())
    refused = [each for each in came if isinstance(each, NotDone)]
    assert len(refused) == 20 - 6
    assert {(each.status_code, *(each.headers or {})) for each in refused} == {(503, "Retry-After")}
    assert len({each for each in came if isinstance(each, int)}) == 2


def test_a_worker_leaves_no_core_behind(judges: Judges) -> None:
    assert asyncio.run(judges(cores)) == (0, 0)
    assert not list(Path.cwd().glob("core*.[0-9]*"))


def cores() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_CORE)


def test_no_process_stays() -> None:
    judges = Judges(ROOT, workers=2)
    (worker,) = {asyncio.run(judges(pid))}
    judges.stop()
    assert not psutil.pid_exists(worker)
