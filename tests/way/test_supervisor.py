"""What `gateway serve` compiles, and whom it starts again for it: the supervisor itself, with loops that only wait."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway import service, supervisor
from gateway.bells import STOPPING, stop_signals, wait
from gateway.journal import Journal
from gateway.loops import LOOPS, Given, worker_of
from gateway.settings import Settings
from tests.support.crashing_serve import forked
from tests.support.house import house, settings_in
from tests.support.journals import delivery
from tests.support.way import PLANS, SAMPLES

LONG = 60.0
NAMES = ["receive", "work-1", "work-2", "retry", "dispatch"]
WORKING = ["work-1", "work-2", "retry"]
USUAL, OTHERS = "usual", "others"
Steps = Callable[[SimpleNamespace, str], Iterator[bool]]


class Scene:
    """A supervisor in a process of its own; what its loops do and see stands in a file."""

    def __init__(self, folder: Path) -> None:
        self.settings, self.file = settings_in(folder), folder / "events"

    def say(self, what: str) -> None:
        """Note an event; whole, also beside other processes."""
        handle = os.open(self.file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.write(handle, f"{what}\n".encode())
        os.close(handle)

    def said(self) -> list[str]:
        """Return what has happened, in order."""
        return self.file.read_text().splitlines() if self.file.exists() else []

    def starts(self, name: str) -> list[int]:
        """Return how many patterns a loop had at each of its starts."""
        return [int(line.rpartition(" ")[2]) for line in self.said() if line.startswith(f"{name} has ")]

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something that happens in another process."""
        end = time.monotonic() + LONG
        while not reached() and time.monotonic() < end:
            time.sleep(0.01)

    def when_started(self, times: int, names: list[str], plans: SimpleNamespace) -> Iterator[bool]:
        """Compile three patterns, the first when all of the loops have started so often."""
        while any(len(self.starts(name)) < times for name in names):
            time.sleep(0.01)
            yield True
        for _ in range(3):
            plans.patterns += 1
            yield True

    def usual_then_others(self, plans: SimpleNamespace, forms: str) -> Iterator[bool]:
        """Compile three patterns of each kind, those that are left once all have been renewed for the usual ones."""
        return self.when_started(1 if forms == USUAL else 2, WORKING, plans)

    def play(
        self,
        steps: Steps,
        acts: Callable[[str, int], None] = lambda *_: None,
        ends: Callable[[str, int], None] | None = None,
    ) -> None:
        """Serve with two workers until told to stop; `steps` compile.

        `acts` and `ends` are what a loop does, by its name and patterns, once it is there and once it is to leave.
        """

        def loop(name: str, _settings: Settings, parent: int, given: Given) -> None:
            patterns = given.plans.patterns  # type: ignore[union-attr]
            self.say(f"{name} has {patterns}")
            with stop_signals() as told:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
                acts(name, patterns)
                while not told() and os.getppid() == parent:
                    wait(1.0)
            if ends:
                ends(name, patterns)
            self.say(f"{name} left")

        def body() -> None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(LONG))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # on a terminal SIGHUP is something else
            supervisor.plans = SimpleNamespace(  # type: ignore[assignment]
                prepare=lambda _root: SimpleNamespace(patterns=0), warm=steps, USUAL=USUAL, OTHERS=OTHERS
            )
            supervisor.run, supervisor.PAUSE_SECONDS, supervisor.SPREAD_SECONDS = loop, 0.0, 0.0  # type: ignore[assignment]
            supervisor.serve(self.settings, 2, None)

        assert forked(body) == 0


def stop() -> None:
    """Tell the supervisor of this loop to stop."""
    os.kill(os.getppid(), signal.SIGTERM)


def test_who_judges_is_renewed_one_by_one_for_what_is_compiled_and_who_dies_later_has_it_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    def acts(name: str, patterns: int) -> None:
        if name == "work-1" and scene.starts(name) == [0, 3, 6]:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "retry" and patterns == 6:
            scene.until(lambda: len(scene.starts("work-1")) == 4)
            stop()

    def ends(name: str, patterns: int) -> None:
        scene.say(f"{name} told")
        time.sleep(0.2 if name == "work-1" and not patterns else 0)  # for another to be told as well, were it so

    scene.play(scene.usual_then_others, acts, ends)
    assert {name: scene.starts(name) for name in NAMES} == {
        "receive": [0], "work-1": [0, 3, 6, 6], "work-2": [0, 3, 6], "retry": [0, 3, 6], "dispatch": [0],
    }  # fmt: skip
    said = scene.said()
    assert said.index("work-1 left") < said.index("work-2 told")
    assert said.index("work-2 left") < said.index("retry told")


def test_told_to_stop_it_compiles_nothing_more(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    def steps(_plans: SimpleNamespace, _forms: str) -> Iterator[bool]:
        yield True
        os.kill(os.getpid(), signal.SIGTERM)
        yield True
        scene.say("compiled on")

    scene.play(steps)
    assert sorted(scene.said()) == sorted(f"{name} {what}" for name in NAMES for what in ("has 0", "left"))


def test_the_partners_file_is_read_again_while_it_compiles(tmp_path: Path) -> None:
    scene = Scene(tmp_path)

    def steps(plans: SimpleNamespace, forms: str) -> Iterator[bool]:
        if forms == USUAL:
            os.kill(os.getpid(), signal.SIGHUP)
            yield from scene.when_started(2, ["receive", *WORKING], plans)
        else:
            yield from scene.when_started(3, WORKING, plans)

    scene.play(steps, lambda name, patterns: stop() if name == "retry" and patterns == 6 else None)
    assert {name: scene.starts(name) for name in NAMES} == {
        "receive": [0, 0], "work-1": [0, 0, 3, 6], "work-2": [0, 0, 3, 6], "retry": [0, 0, 3, 6], "dispatch": [0],
    }  # fmt: skip


def test_what_one_held_that_died_when_told_to_leave_is_free_at_once(tmp_path: Path) -> None:
    """It was taken for one that had left in order: its messages waited for a minute, and no death was counted."""
    scene = Scene(tmp_path)
    opened = Journal.open(scene.settings.database_url)
    opened.migrate()
    opened.receive([delivery("a")])
    opened.close()

    def acts(name: str, patterns: int) -> None:
        if name == "work-1":
            journal = Journal.open(scene.settings.database_url)
            claimed = journal.claim(f"{worker_of(os.getpid())}x", 10, 60, service.now()).work
            scene.say(f"claimed {[row.uid for row in claimed]}")
            journal.close()
            if patterns:
                stop()

    def ends(name: str, patterns: int) -> None:
        if name == "work-1" and not patterns:
            os.kill(os.getpid(), signal.SIGKILL)

    scene.play(scene.usual_then_others, acts, ends)
    assert [line for line in scene.said() if line.startswith("claimed")] == ["claimed ['a']"] * 2


@pytest.mark.parametrize(("name", "attempts"), [("work", 0), ("retry", 1)])
def test_a_loop_judges_by_the_plans_that_it_is_given_whatever_lies_in_their_folder(
    tmp_path: Path, name: str, attempts: int
) -> None:
    settings = settings_in(tmp_path, specs=str(tmp_path / "of another day"))
    with house(tmp_path) as gateway:
        gateway.send("maple", (SAMPLES / "originals/v-voluntary.edi").read_bytes())
        gateway.receive()
        for _ in range(attempts):
            gateway.journal.claim("died", 10, 60, service.now())
            gateway.journal.disown("died", service.now())

        def body() -> None:
            signal.alarm(int(LONG))
            with closing(Journal.open(settings.database_url)) as seen:
                LOOPS[name](settings, lambda: bool(seen.list_messages(state="done")), Given(plans=PLANS))

        assert forked(body) == 0
        assert [row["verdict"] for row in gateway.journal.list_messages()] == ["accepted"]
