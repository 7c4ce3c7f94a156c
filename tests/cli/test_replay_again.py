"""Replay of recorded messages as they are: the same verdicts on the facts of their time, and no second effect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from gateway.journal import Journal, Recorded, Selection
from tests.support.desk import Run, recorded, runner
from tests.support.house import settings_in
from tests.support.traffic import without
from tests.support.way import SAMPLES


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = recorded(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def nth(journal: Journal, number: int) -> Recorded:
    """The n-th transmission of a partner's."""
    return journal.recorded([journal.selected(Selection())[number - 1][0]])[0]


def due_now(journal: Journal) -> list[Any]:
    return journal.due(100, datetime.now(UTC))


def effects(folder: Path) -> dict[str, list[Any]]:
    """Everything in the journal that replaying must not touch."""
    engine = sqlalchemy.create_engine(settings_in(folder).database_url)
    tables = ("inbox", "message", "declaration_version", "assessment_request", "interchange_reference", "outbox")
    with engine.connect() as connection:
        found = {name: connection.exec_driver_sql(f"SELECT * FROM {name}").all() for name in tables}  # noqa: S608
    engine.dispose()
    return found


def test_all_that_was_recorded_is_judged_as_before_and_nothing_else_changes(
    run: Run, journal: Journal, tmp_path: Path
) -> None:
    """A number that is in use by now, a withdrawn declaration, a settled status: none of it reaches back in time."""
    before = effects(tmp_path)
    result = run("replay", "--since", "2020-01-01", "--operator", "Jo", "--format", "json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert len(shown) == 25
    assert all(each["agrees"] for each in shown)
    (resend,) = [each for each in shown if not each["execution"]]
    assert resend["problem"].startswith("resend of ")
    assert effects(tmp_path) == before
    assert journal.verify().bad is None


def test_a_replay_is_kept_with_its_answers_under_its_own_id_and_the_operators_name(run: Run, journal: Journal) -> None:
    (shown,) = json.loads(run("replay", "--finding", "CAD-0213", "--operator", "Jo", "--format", "json").stdout)
    life = journal.show(shown["id"])
    assert life is not None
    (execution,) = life["executions"]
    assert execution["id"] == shown["execution"] != shown["id"]
    assert (execution["operator"], execution["sent_at"]) == ("Jo", None)
    assert [each["verdict"] for each in execution["messages"]] == ["refused"]
    assert [each["kind"] for each in execution["answers"]] == ["contrl", "refused"]
    assert not {each["id"] for each in execution["answers"]} & {each["id"] for each in life["outbox"]}
    (event,) = [link for link in life["audit"] if link["event"] == "replayed"]
    assert (event["detail"]["operator"], event["detail"]["agrees"]) == ("Jo", True)
    assert len(event["detail"]["outgoing"]) == 2
    assert run("show", shown["execution"]).exit_code == 0


def test_answers_of_a_replay_go_out_once_and_only_when_told(run: Run, journal: Journal) -> None:
    (shown,) = json.loads(
        run("replay", "--finding", "CAD-0213", "--send", "--operator", "Jo", "--format", "json").stdout
    )
    assert shown["sent"] == 2
    life = journal.show(shown["id"])
    assert life is not None
    due = [each for each in life["outbox"] if each["sent_at"] is None]
    assert {each["id"] for each in due} == {each["id"] for each in life["executions"][0]["answers"]}
    assert [link["detail"]["operator"] for link in life["audit"] if link["event"] == "replay sent"] == ["Jo"]
    assert journal.send_execution(shown["execution"], "Jo", life["executions"][0]["at"]) == 0


def test_what_was_accepted_sends_no_second_request_to_the_engine(run: Run, journal: Journal) -> None:
    result = run("replay", "--transaction", "12345000000023", "--verdict", "accepted", "--send", "--format", "json")
    shown = json.loads(result.stdout)
    assert len(shown) == 3
    kinds = [each["kind"] for one in shown for each in journal.show(one["id"])["executions"][0]["answers"]]
    assert "request" not in kinds
    assert [item.kind for item in journal.due(100, journal.show(shown[0]["id"])["executions"][0]["at"])].count(
        "request"
    ) == 0


def test_an_answer_that_contradicts_the_record_is_never_sent(
    run: Run, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SPECS", str(without(tmp_path / "specs", "currency", "EUR")))
    chosen = ("--transaction", "12345000000023", "--verdict", "accepted", "--send")
    result = run("replay", *chosen, "--format", "json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert [(each["agrees"], bool(each["sent"])) for each in shown] == [(False, False), (False, False), (True, True)]
    assert len(due_now(journal)) == shown[2]["sent"]
    told = run("replay", *chosen).stdout
    assert "DIFFERENT" in told
    assert "an answer that contradicts the record is never sent" in told


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--partner", "erable"), 11),
        (("--verdict", "accepted"), 9),
        (("--finding", "CAD-0001"), 1),
        (("--finding", "CAD-000"), 0),
        (("--finding", "%"), 0),
        (("--transaction", "12345000000012"), 4),
        (("--verdict", "refused", "--partner", "maple", "--finding", "GTW-0005"), 1),
        (("--until", "2020-01-01"), 0),
        (("--since", "2999-01-01T00:00"), 0),
    ],
)
def test_selections(run: Run, journal: Journal, options: tuple[str, ...], count: int) -> None:
    result = run("replay", *options, "--format", "json")
    assert len(json.loads(result.stdout)) == count, result.output


def test_by_id_or_the_start_of_it(run: Run, journal: Journal) -> None:
    row = nth(journal, 2)
    (shown,) = json.loads(run("replay", "--id", row.id[:10], "--format", "json").stdout)
    assert shown["id"] == row.id
    unknown = run("replay", "--id", "zzz")
    assert (unknown.exit_code, unknown.stderr) == (2, "gateway: no message has an id that starts with 'zzz'\n")


def test_a_day_means_the_whole_day_in_eastern_time(journal: Journal) -> None:
    from gateway.cli.shared import Moment

    start, end = (Moment(end=end).convert("2026-11-01", None, None) for end in (False, True))
    assert start.isoformat() == "2026-11-01T00:00:00-04:00"
    assert end.isoformat() == "2026-11-02T00:00:00-05:00", "the day has 25 hours"
    assert Moment().convert("2026-11-23T14:30+00:00", None, None).isoformat() == "2026-11-23T14:30:00+00:00"
    first = nth(journal, 1).received_at
    assert journal.count_selected(Selection(until=first)) == 0
    assert journal.count_selected(Selection(since=first)) == 25


def test_files_are_kept_as_replays_of_no_transmission(run: Run, journal: Journal, tmp_path: Path) -> None:
    files = [SAMPLES / "originals/v-voluntary.edi", SAMPLES / "changes/v-correction.edi"]
    before = effects(tmp_path)
    result = run("replay", *files, "--operator", "Jo", "--format", "json")
    shown = json.loads(result.stdout)
    assert [[one["verdict"] for one in each["after"]] for each in shown] == [["accepted"], ["accepted"]]
    assert result.exit_code == 0
    kept = journal.execution(shown[1]["execution"])
    assert kept is not None
    assert (kept["inbox"], kept["operator"], Path(kept["source"]).name) == (None, "Jo", "v-correction.edi")
    assert journal.send_execution(kept["id"], "Jo", kept["at"]) == 0, "who never sent it is not answered"
    assert effects(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name files, or select recorded messages"),
        (("--since", "2026-11-23", "--until", "2026-11-22"), "--since must lie before --until"),
        (("--since", "noon"), "is not a day"),
        ((str(SAMPLES / "run.csv"), "--partner", "maple"), "not both"),
        ((str(SAMPLES / "run.csv"), "--send"), "gateway send"),
        (("--partner", "maple", "--html", "x.html"), "--html is for what-if"),
        (("--samples",), "takes tables"),
        (("--id", "1", "--specs", "."), "what-if selects"),
        (("--specs", "."), "is no specification"),
    ],
)
def test_bad_usage_is_one_clear_line(
    run: Run, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("replay", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_message_that_the_pipeline_fails_on_is_told_and_the_others_go_on(
    run: Run, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway import pipeline

    judge, wrong = pipeline.judge, nth(journal, 2).body

    def fail(parsed: Any, *more: Any) -> Any:
        if parsed.received.body == wrong:
            raise ValueError("secret")
        return judge(parsed, *more)

    monkeypatch.setattr(pipeline, "judge", fail)
    result = run("replay", "--partner", "maple", "--format", "json")
    assert result.exit_code == 1
    assert [each["problem"] for each in json.loads(result.stdout)].count("ValueError") == 1
    assert "secret" not in result.output
