"""What if another specification had judged: over generated traffic exactly the verdicts that must change do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gateway import plans
from gateway.cli import what_if as cli_what_if
from gateway.desk import replay, what_if
from gateway.journal import Journal, Selection
from gateway.settings import Settings
from tests.support.desk import runner
from tests.support.house import settings_in
from tests.support.traffic import Template, record, templates, uses, without
from tests.support.way import HOME, SAMPLES

COUNT, LIST, CODE = 240, "currency", "EUR"


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[Template]]:
    """A folder with a journal of generated messages, and a specification that lacks a currency."""
    folder = tmp_path_factory.mktemp("traffic")
    journal = Journal.open(settings_in(folder).database_url)
    journal.migrate()
    given = templates(24)
    ids = record(journal, COUNT, given)
    journal.close()
    without(folder / "specs", LIST, CODE)
    return folder, ids, given


def expected(ids: list[str], given: list[Template]) -> set[str]:
    return {id_ for n, id_ in enumerate(ids) if uses(given[n % len(given)].declaration, LIST, CODE)}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_exactly_the_messages_with_the_code_change_their_verdict(
    traffic: tuple[Path, list[str], list[Template]], processes: int
) -> None:
    folder, ids, given = traffic
    heard: list[int] = []
    specs = plans.prepare(folder / "specs")
    result = what_if.what_if(settings_in(folder), Selection(), specs, processes, heard.append)
    turned = [change["id"] for change in result.changes()]
    wanted = expected(ids, given)
    assert 0 < len(wanted) < COUNT
    assert turned == [id_ for id_ in ids if id_ in wanted], "in the order of receipt"
    assert result.tally.verdicts == {
        ("accepted", "accepted"): COUNT - len(wanted),
        ("accepted", "refused"): len(wanted),
    }
    assert result.tally.new == {("CAD-0003", "accepted", "refused"): len(wanted)}
    assert (result.tally.only_findings, result.tally.failed, sum(heard)) == (0, [], COUNT)
    assert all(len(shown) <= what_if.EXAMPLES for shown in result.tally.examples.values())


def test_the_same_specification_changes_nothing(traffic: tuple[Path, list[str], list[Template]]) -> None:
    settings = settings_in(traffic[0])
    result = what_if.what_if(settings, Selection(), plans.prepare(settings.specs), 1)
    assert (result.tally.messages, result.tally.turned, list(result.changes())) == (COUNT, 0, [])


def test_the_report_by_finding_by_sender_with_examples(
    traffic: tuple[Path, list[str], list[Template]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ids, given = traffic
    run = runner(folder, monkeypatch)
    wanted = expected(ids, given)
    result = run("replay", "--specs", folder / "specs", "--processes", 1, "--format", "json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["messages"], report["turned"]) == (COUNT, len(wanted))
    (finding,) = report["findings"]
    assert (finding["code"], finding["new"], finding["new_refused"], finding["gone"]) == (
        "CAD-0003",
        len(wanted),
        len(wanted),
        0,
    )
    by_sender = {row["partner"]: row["now_refused"] for row in report["senders"]}
    for partner in ("maple", "erable"):
        mine = {id_ for n, id_ in enumerate(ids) if given[n % len(given)].partner == partner}
        assert by_sender[partner] == len(mine & wanted)
    assert {change["id"] for change in report["changes"]} == wanted
    assert all(CODE in change["text"]["fr"] for change in report["changes"])
    told = run("replay", "--specs", folder / "specs", "--processes", 1, "--partner", "maple").stdout
    assert "CAD-0003, for example" in told
    assert "erable" not in told


def test_files_judged_by_both_specifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runner(tmp_path, monkeypatch)
    files = [SAMPLES / "originals/v-voluntary.edi", SAMPLES / "changes/v-correction.edi", SAMPLES / "refused/noise.bin"]
    specs = without(tmp_path / "specs", LIST, CODE)
    report = json.loads(run("replay", *files, "--specs", specs, "--format", "json").stdout)
    assert [(Path(each["id"]).name, each["before"], each["after"]) for each in report["changes"]] == [
        ("v-voluntary.edi", "accepted", "refused"),
        ("v-correction.edi", "accepted", "refused"),
    ]
    unchanged = run("replay", *files, "--specs", HOME / "eccrd_specs")
    assert unchanged.exit_code == 0, unchanged.output


def test_a_finding_that_goes_is_told_as_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other way round: what the tight specification refused, the present one accepts."""
    run = runner(tmp_path, monkeypatch)
    monkeypatch.setenv("GATEWAY_SPECS", str(without(tmp_path / "specs", LIST, CODE)))
    file = SAMPLES / "originals/v-voluntary.edi"
    report = json.loads(run("replay", file, "--specs", HOME / "eccrd_specs", "--format", "json").stdout)
    (finding,) = report["findings"]
    assert (finding["code"], finding["gone"], finding["gone_accepted"]) == ("CAD-0003", 1, 1)


@pytest.mark.slow
def test_a_process_that_dies_is_one_line(
    traffic: tuple[Path, list[str], list[Template]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_if, "_page", _die)
    monkeypatch.setattr(cli_what_if, "FEW", 1)
    run = runner(traffic[0], monkeypatch)
    result = run("replay", "--specs", traffic[0] / "specs", "--processes", 2)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "gateway: a process that judged was killed: is there enough memory?",
    )


def _die(_: object) -> None:
    import os

    os._exit(9)


def test_pages_hold_few_transmissions_and_few_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [10, 10, 10, 100, 10, 10]

    class Fake:
        def selected(self, wanted: Selection, after: int) -> list[tuple[int, int]]:
            return [(n, size) for n, size in enumerate(sizes, 1) if n > after][:4]

    monkeypatch.setattr(replay, "PAGE", 3)
    monkeypatch.setattr(replay, "PAGE_BYTES", 25)
    assert list(replay.pages(Fake(), Selection())) == [[1, 2], [3], [4], [5, 6]]  # type: ignore[arg-type]


def test_settings_travel_to_other_processes() -> None:
    import pickle

    assert isinstance(pickle.loads(pickle.dumps(settings_in(Path("x")))), Settings)  # noqa: S301


PRESSED = """
import gateway.cli.what_if as command
command.FEW, command.replay.PAGE = 1, 1
from gateway.__main__ import main
main()
"""


def busy(process: psutil.Process) -> bool:
    """Tell whether a process is past its very start: it loads its modules, or judges."""
    return bool(process.cpu_times().user > 0.2)


@pytest.mark.slow
def test_ctrl_c_is_one_line_also_from_many_processes(
    traffic: tuple[Path, list[str], list[Template]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends it to every process: those that judged each showed a traceback."""
    runner(traffic[0], monkeypatch)  # sets the environment
    command = [sys.executable, "-c", PRESSED, "replay", "--specs", str(HOME / "eccrd_specs"), "--processes", "2"]
    for _ in range(20):  # on a busy machine all may be judged before the second process has begun
        judging = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
        while judging.poll() is None and sum(busy(each) for each in psutil.Process(judging.pid).children()) < 2:
            time.sleep(0.02)
        if judging.poll() is None:
            os.killpg(judging.pid, signal.SIGINT)
        _, said = judging.communicate(timeout=60)
        if judging.returncode:
            break
    assert (judging.returncode, said.strip()) == (130, "gateway: interrupted")
