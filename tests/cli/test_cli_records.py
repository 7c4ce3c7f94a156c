"""`list` and `show`: what the journal holds, as people and programs read it."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from core.calendar import eastern
from tests.support.cli import FAULTY, ORIGINAL, one_line
from tests.support.desk import Run
from tests.support.house import House, settings_in
from tests.support.way import HOME


def test_list_shows_the_partners_messages_with_sender_and_findings(run: Run, gateway: House) -> None:
    gateway.send("maple", Path(ORIGINAL).read_bytes(), Path(FAULTY["edi"]).read_bytes(), b"noise")
    gateway.settle_down()
    rows = json.loads(run("list", "--format", "json").stdout)
    assert {row["channel"] for row in rows} == {"partner"}, "the engine's results are not messages"
    assert [row["sender"] for row in rows] == [None, "MAPLEBROKER", "MAPLEBROKER"]
    assert [[finding["code"] for finding in row["findings"]] for row in rows] == [
        ["GTW-0001"],
        ["CAD-0101", "CAD-0111", "CAD-0150", "CAD-0003", "CAD-0180"],
        [],
    ]
    text = run("list").stdout
    assert "GTW-0001" in text
    assert "MAPLEBROKER" in text
    assert len(json.loads(run("list", "--verdict", "accepted", "--format", "json").stdout)) == 1
    assert len(json.loads(run("list", "--limit", "2", "--format", "json").stdout)) == 2
    assert json.loads(run("list", "--partner", "erable", "--format", "json").stdout) == []
    assert json.loads(run("list", "--state", "parked", "--format", "json").stdout) == []


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--format", "json"), ("replay",), ("replay", "--specs", str(HOME / "eccrd_specs"))],
)
def test_a_partner_that_does_not_exist_is_told_with_those_that_do(
    run: Run, gateway: House, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments, "--partner", "maple").exit_code == 0
    said = one_line(run(*arguments, "--partner", "nobody"))
    assert said == "gateway: there is no partner 'nobody'; known: erable, maple"


def test_what_a_former_partner_sent_is_still_listed(
    run: Run, gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.send("maple", Path(ORIGINAL).read_bytes())
    gateway.settle_down()
    (tmp_path / "partners.toml").write_text("partner = []")
    monkeypatch.setenv("GATEWAY_PARTNERS", str(tmp_path / "partners.toml"))
    assert "MAPLEBROKER" in run("list", "--partner", "maple").stdout
    assert "no partner 'erable'" in one_line(run("list", "--partner", "erable"))


@pytest.mark.parametrize("folder", ["samples", "eccrd_specs/chapter24"])
def test_a_folder_that_is_no_specification_is_told_as_such(run: Run, folder: str) -> None:
    said = one_line(run("replay", ORIGINAL, "--specs", HOME / folder))
    assert said == f"gateway: {HOME / folder}: this is no specification: none of its folders has a manifest.toml"


def test_a_specification_that_lacks_a_table_is_told_in_words(run: Run, tmp_path: Path) -> None:
    (tmp_path / "specs/chapter24").mkdir(parents=True)
    (tmp_path / "specs/chapter24/manifest.toml").touch()
    said = one_line(run("replay", ORIGINAL, "--specs", tmp_path / "specs"))
    assert said == "gateway: findings/remedies.csv: cannot be read: No such file or directory"


def test_check_speaks_french_throughout(run: Run) -> None:
    result = run("check", FAULTY["edi"], FAULTY["xml"], "--lang", "fr")
    assert " : déclaration edifact " in result.stdout
    assert " : refusé" in result.stdout
    said = "\n".join(line for line in result.stdout.splitlines() if not line.startswith("    |"))
    assert "\n    ligne 4, colonne 12, segment 2, élément 3, composant 1, " in said
    for word in (": refused", "refuse ", "warn ", " from ", " at ", " line ", "column ", "expected"):
        assert word not in said, word


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "nofile"), ("check", ORIGINAL, "--lang", "de"), ("nonsense",), ("replay",), ("parked", "refuse"),
        ("replay", "--since", "yesterday"), ("samples", "make", "--out", "/proc/x"), ("smoke", "--verify", ORIGINAL),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    one_line(run(*arguments))


def test_ctrl_c_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.check.files_with_facts", pressed)
    result = run("check", ORIGINAL)
    assert (result.exit_code, result.stderr) == (130, "gateway: interrupted\n")


def test_list_names_what_a_resend_repeats(run: Run, gateway: House) -> None:
    gateway.send("maple", Path(ORIGINAL).read_bytes(), Path(ORIGINAL).read_bytes())
    gateway.settle_down()
    first = json.loads(run("list", "--format", "json").stdout)[-1]["id"]
    assert f"resend of {first[:12]} " in run("list").stdout


def test_list_of_nothing_is_nothing(run: Run, gateway: House) -> None:
    result = run("list", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_show_tells_the_whole_life(run: Run, gateway: House) -> None:
    body = Path(ORIGINAL).read_bytes()
    gateway.send("maple", body)
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner")
    life = json.loads(run("show", row["id"][:8], "--format", "json").stdout)
    assert life["id"] == row["id"]
    assert life["body"].encode("latin-1") == body
    assert life["intact"]
    assert [each["kind"] for each in life["outbox"] if each["kind"] != "request"] == [
        "receipt",
        "contrl",
        "accepted",
        "assessed",
    ]
    assert all(each["sent_at"] for each in life["outbox"])
    text = run("show", row["id"]).stdout
    assert life["digest"] in text
    assert "BGM+" in text


def test_show_begins_with_what_it_is_and_ends_with_the_bytes(run: Run, gateway: House) -> None:
    gateway.send("maple", Path(FAULTY["edi"]).read_bytes())
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner")
    text = run("show", row["id"]).stdout
    finding = row["findings"][0]
    order = [
        f"{row['id']} from maple, received {eastern(row['received_at'])}: done",
        f"declaration {row['transaction_number']} version 00001",
        "refused",
        f"refuse {finding['code']}  {finding['text_en']}",
        "at line ",
        "What happened",
        f"{eastern(row['received_at'])}  received",
        "judged",
        "refused to out.maple",
        "Answers",
        ": sent ",
        "--- refused (application/edifact)",
        "--- the message",
        "BGM+",
    ]
    at = 0
    for each in order:
        at = text.index(each, at)
    assert not re.search("lane|lease|uid|intact|None|{}", text), "no words of the tables"


def test_show_of_bytes_that_are_no_longer_what_came_says_so(run: Run, gateway: House) -> None:
    gateway.send("maple", Path(ORIGINAL).read_bytes())
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner")
    assert "NOT INTACT" not in run("show", row["id"]).stdout
    database = sqlite3.connect(settings_in(Path.cwd()).database_url.removeprefix("sqlite:///"))
    with database:
        database.execute("UPDATE inbox SET body = ?", (b"\x1b[31mother",))
    database.close()
    text = run("show", row["id"]).stdout
    assert "NOT INTACT: its bytes are not what was received" in text
    assert "\x1b" not in text, "a terminal does not obey what a sender wrote"


def test_a_replay_is_shown_with_its_message_and_by_its_own_id(run: Run, gateway: House) -> None:
    gateway.send("maple", Path(ORIGINAL).read_bytes())
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner")
    run("replay", "--id", row["id"], "--operator", "Jo")
    (replayed,) = json.loads(run("show", row["id"], "--format", "json").stdout)["executions"]
    for id_ in (row["id"], replayed["id"]):
        assert f"{replayed['id']}, {eastern(datetime.fromisoformat(replayed['at']))}, by Jo" in run("show", id_).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",), ("show", "feedbeef"), ("parked", "list"), ("parked", "show", "feedbeef"), ("destinations",),
        ("parked", "release", "feedbeef"), ("verify-audit",), ("export-audit-head",), ("purge", "--dry-run"),
        ("explain", "feedbeef"), ("diff", "feedbeef", "feed"), ("replay", "--id", "feedbeef"),
        ("replay", "--specs", str(HOME / "eccrd_specs")),
    ],
)  # fmt: skip
def test_where_there_is_no_journal_none_is_made(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert f"there is no journal at sqlite:///{tmp_path}/" in one_line(run(*arguments))
    assert not list(tmp_path.iterdir())


def test_people_read_eastern_time_and_programs_an_offset(run: Run, gateway: House) -> None:
    gateway.send("maple", Path(ORIGINAL).read_bytes())
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner")
    shown = eastern(row["received_at"])
    assert shown[-3:] in ("EST", "EDT")
    assert shown[:16] in run("list").stdout, "to the minute, as its heading says in Eastern Time"
    assert f"received {shown}" in run("show", row["id"]).stdout
    (listed,) = json.loads(run("list", "--format", "json").stdout)
    assert datetime.fromisoformat(listed["received_at"]) == row["received_at"]


def test_show_of_what_is_unknown_is_one_line(run: Run, gateway: House) -> None:
    assert "no message" in one_line(run("show", "feedbeef"))


def test_show_survives_noise(run: Run, gateway: House) -> None:
    gateway.send("maple", bytes(range(256)))
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(channel="partner")
    for form in ("text", "json"):
        assert run("show", row["id"], "--format", form).exit_code == 0
