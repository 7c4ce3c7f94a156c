"""The command line: what each command prints, and its exit codes; whatever goes wrong is one line on stderr."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from core.calendar import eastern
from core.errors import GatewayError
from gateway.cli import demo
from gateway.cli.main import main
from gateway.journal import Journal
from gateway.settings import Settings
from tests.support.house import House, as_user, house, settings_in
from tests.support.way import HOME, SAMPLES

Run = Callable[..., Result]
ORIGINAL = str(SAMPLES / "originals/v-voluntary.edi")
CHANGE = str(SAMPLES / "changes/v-correction.edi")
XML = str(SAMPLES / "originals/published-example.xml")
FAULTY = {syntax: str(SAMPLES / f"refused/many-faults.{syntax}") for syntax in ("edi", "xml")}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of a gateway whose files lie in the test's folder."""
    monkeypatch.chdir(tmp_path)
    settings = settings_in(tmp_path)
    monkeypatch.setenv("GATEWAY_BROKER_URL", settings.broker_url)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", settings.database_url)
    for name in ("GATEWAY_PARTNERS", "GATEWAY_SPECS", "GATEWAY_LOG"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def one_line(result: Result) -> str:
    """Check that a command failed with one line on stderr, and return it."""
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("gateway: ")
    return line


def kind_of(value: Any) -> str:
    return type(value).__name__


# ------------------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_its_help_and_tells_its_exit_codes(run: Run, command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    if not hasattr(main.commands[command], "commands"):
        assert "Exit code" in shown.stdout
    assert command in run("--help").stdout


@pytest.mark.parametrize("group", [[], ["parked"], ["samples"]])
def test_what_a_command_does_fits_its_line(run: Run, group: list[str]) -> None:
    listed = run(*group, "--help").stdout.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["check"], ["check", "--lang", "de", ORIGINAL], ["send", ORIGINAL]]
)
def test_bad_usage_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_the_version_is_told(run: Run) -> None:
    assert run("--version").exit_code == 0


# ------------------------------------------------------------------------------------------------ check


def test_check_says_0_when_all_is_accepted_and_1_when_something_is_refused(run: Run) -> None:
    assert run("check", ORIGINAL, CHANGE, XML).exit_code == 0
    assert run("check", ORIGINAL, FAULTY["edi"]).exit_code == 1
    assert run("check", CHANGE).exit_code == 1, "a change whose original is not among the files"


MESSAGE = {
    "file": {"str"},
    "syntax": {"str"},
    "type": {"str"},
    "sender": {"str", "NoneType"},
    "reference": {"str", "NoneType"},
    "transaction_number": {"str", "NoneType"},
    "version": {"str", "NoneType"},
    "verdict": {"str"},
    "findings": {"list"},
}
FINDING = {
    "code": {"str"},
    "severity": {"str"},
    "text": {"dict"},
    "place": {"dict"},
    "value": {"str", "NoneType"},
    "expected": {"str", "NoneType"},
    "source": {"str"},
}
PLACE = {
    "interchange": {"str", "NoneType"},
    "message": {"str", "NoneType"},
    **{name: {"int", "NoneType"} for name in ("segment", "element", "component", "line", "column")},
    "xpath": {"str", "NoneType"},
    "pointer": {"str", "NoneType"},
}


def test_check_as_json_has_exactly_the_keys_that_are_promised(run: Run) -> None:
    result = run("check", SAMPLES / "originals", SAMPLES / "changes", SAMPLES / "refused", "--format", "json")
    messages = json.loads(result.stdout)
    assert len(messages) > 20
    for message in messages:
        assert list(message) == list(MESSAGE)
        assert all(kind_of(value) in MESSAGE[key] for key, value in message.items())
        assert message["syntax"] in ("edifact", "xml", "unknown")
        assert message["type"] in ("declaration", "correction", "withdraw", "unknown")
        assert message["verdict"] in ("accepted", "refused")
        for finding in message["findings"]:
            assert list(finding) == list(FINDING)
            assert all(kind_of(value) in FINDING[key] for key, value in finding.items())
            assert finding["severity"] in ("refuse", "warn")
            assert list(finding["text"]) == ["en", "fr"]
            assert all(finding["text"].values())
            assert list(finding["place"]) == list(PLACE)
            assert all(kind_of(value) in PLACE[key] for key, value in finding["place"].items())


def test_check_as_json_tells_every_fault_with_its_place(run: Run) -> None:
    for syntax, codes in (
        ("edi", ["CAD-0101", "CAD-0111", "CAD-0150", "CAD-0003", "CAD-0180"]),
        ("xml", ["CAD-0101", "CAD-0150", "CAD-0180", "CAD-0003", "CAD-0111"]),
    ):
        (message,) = json.loads(run("check", FAULTY[syntax], "--format", "json").stdout)
        assert [finding["code"] for finding in message["findings"]] == codes
        lines = Path(FAULTY[syntax]).read_text("utf-8" if syntax == "xml" else "latin-1").splitlines()
        for finding in message["findings"]:
            place = finding["place"]
            if finding["value"]:
                line = lines[place["line"] - 1]
                # In XML the place of an attribute is that of its element.
                assert line[place["column"] - 1 :].startswith(finding["value"]) or f'="{finding["value"]}"' in line
            assert (place["xpath"] is None) is (syntax == "edi")


@pytest.mark.parametrize("syntax", ["edi", "xml"])
def test_check_shows_the_offending_line_with_a_caret_under_the_place(run: Run, syntax: str) -> None:
    shown = run("check", FAULTY[syntax]).stdout.splitlines()
    carets = [n for n, line in enumerate(shown) if line.strip() in ("| ^", "^") or line.rstrip().endswith("^")]
    assert len(carets) == 5
    (message,) = json.loads(run("check", FAULTY[syntax], "--format", "json").stdout)
    for n, finding in zip(carets, message["findings"], strict=True):
        if finding["value"]:
            line = shown[n - 1]
            assert line[shown[n].index("^") :].startswith(finding["value"]) or f'="{finding["value"]}"' in line


def test_check_speaks_french(run: Run) -> None:
    (message,) = json.loads(run("check", FAULTY["edi"], "--format", "json").stdout)
    english, french = (run("check", FAULTY["edi"], "--lang", lang).stdout for lang in ("en", "fr"))
    for finding in message["findings"]:
        assert finding["text"]["en"] in english
        assert finding["text"]["fr"] in french
        assert finding["text"]["fr"] not in english


@pytest.mark.parametrize(
    ("lang", "heading"),
    [
        ("en", "unknown message from an unknown sender: refused"),
        ("fr", "message inconnu, expéditeur inconnu : refusé"),
    ],
)
def test_check_says_once_that_it_knows_nothing_of_a_message(run: Run, lang: str, heading: str) -> None:
    assert heading in run("check", str(SAMPLES / "refused/noise.bin"), "--lang", lang).stdout


def test_check_writes_the_answers(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "some/answers"
    run("check", ORIGINAL, XML, FAULTY["xml"], "--answers", folder)
    names = sorted(path.name for path in folder.iterdir())
    assert "v-voluntary.edi.1.accepted.edi" in names
    assert "published-example.xml.1.accepted.xml" in names
    assert "many-faults.xml.1.refused.xml" in names
    assert all(path.stat().st_size for path in folder.iterdir())


def test_check_as_a_partner_holds_the_message_to_it(run: Run) -> None:
    (message,) = json.loads(run("check", ORIGINAL, "--as", "erable", "--format", "json").stdout)
    assert "EDI-0109" in [finding["code"] for finding in message["findings"]]
    assert "maple" in one_line(run("check", ORIGINAL, "--as", "nobody"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "GTW-0008"),
        (b"\0\1\2\3\xff\xfe" * 50, "GTW-0001"),
        (b"   \r\n", "GTW-0001"),
        (b"<", "XML-0001"),
        (b"<a/>", "GTW-0002"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "XML-0005"),
        ("<?xml version='1.0'?><a>é</a>".encode("latin-1"), "XML-0001"),
        (b"<!DOCTYPE a><a/>", "XML-0002"),
        (b"UNA", None),
        (b"UNB+UNOC:3+A", None),
        (Path(ORIGINAL).read_bytes()[:300], None),
        (Path(ORIGINAL).read_bytes().replace(b"GOVCBR", b"QQQQQQ"), None),
        (Path(ORIGINAL).read_bytes().replace(b"UNOC", b"UNOZ"), None),
        (Path(XML).read_bytes()[:900], "XML-0001"),
        (Path(XML).read_bytes().replace(b"MetaData", b"MetaDada"), "GTW-0002"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_bad_input_is_a_proper_refusal(run: Run, tmp_path: Path, body: bytes, code: str | None, form: str) -> None:
    (tmp_path / "message").write_bytes(body)
    result = run("check", tmp_path / "message", "--format", form)
    assert (result.exit_code, result.stderr) == (1, "")
    if form == "json":
        codes = [finding["code"] for message in json.loads(result.stdout) for finding in message["findings"]]
        assert codes
        assert code is None or code in codes
    else:
        assert "refused" in result.stdout


def test_a_file_that_cannot_be_read_is_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", tmp_path / "nowhere").exit_code == 2
    (tmp_path / "secret").write_bytes(b"")

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    monkeypatch.setattr("gateway.cli.check.prepare", lambda _: None)
    monkeypatch.setattr("gateway.cli.shared.load_partners", lambda _: {})
    assert "Permission denied" in one_line(run("check", tmp_path / "secret"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_SPECS", "/nowhere/at/all"),
        ("GATEWAY_PARTNERS", "/nowhere/at/all"),
        ("GATEWAY_LOG", "loud"),
    ],
)
def test_settings_that_cannot_be_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert value in one_line(run("check", ORIGINAL))


# ------------------------------------------------------------------------------------------------ unreachable


NOBODY = "127.0.0.1:1"


def test_the_health_port_is_a_value_and_leaves_the_environment_as_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Settings] = []
    monkeypatch.setattr("gateway.supervisor.serve", lambda settings, *_: served.append(settings))
    monkeypatch.setenv("GATEWAY_HEALTH", "1")
    before = dict(os.environ)
    assert run("serve", "--health-port", "127.0.0.1:9100").exit_code == 0
    assert run("serve").exit_code == 0
    assert [settings.health for settings in served] == ["127.0.0.1:9100", "1"]
    assert dict(os.environ) == before
    assert "--health-port is a port or host:port, not 'x'" in one_line(run("serve", "--health-port", "x"))


@pytest.mark.parametrize("url", [f"amqp://user:secret@{NOBODY}//", "nonsense://", "sqlite:////dev/null/queue.db"])
@pytest.mark.parametrize("command", [["send", ORIGINAL, "--as", "maple"], ["serve"]])
def test_a_broker_out_of_reach_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, command: list[str]
) -> None:
    monkeypatch.setenv("GATEWAY_BROKER_URL", url)
    result = run(*command)
    assert result.exit_code == 2
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr
    assert [line for line in result.stderr.splitlines() if line.startswith("gateway: ")]


@pytest.mark.parametrize(
    "url", [f"postgresql://user:secret@{NOBODY}/gateway", "mysql://here/x", "sqlite:////dev/null/journal.db"]
)
@pytest.mark.parametrize("command", [["list"], ["show", "abc"], ["serve"]])
def test_a_database_out_of_reach_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, command: list[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    assert "secret" not in one_line(run(*command))


def test_no_traceback_reaches_the_terminal(tmp_path: Path) -> None:
    environment = {**os.environ, "GATEWAY_BROKER_URL": f"amqp://user:secret@{NOBODY}//"}
    command = [sys.executable, "-m", "gateway", "send", ORIGINAL, "--as", "maple"]
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m gateway check {FAULTY['edi']} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=HOME, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1


# ------------------------------------------------------------------------------------------------ doctor


def test_doctor_tells_what_is_missing_and_makes_it(run: Run, tmp_path: Path) -> None:
    ill = run("doctor")
    assert not list(tmp_path.iterdir()), "looking makes nothing"
    assert ill.exit_code == 1
    assert "gateway doctor --declare" in " ".join(ill.stdout.split())
    assert ill.stdout.count("ILL") == 2, "queues and journal"
    made = run("doctor", "--declare")
    assert (made.exit_code, made.stdout.count("ILL")) == (0, 0)
    assert "reconstructed from public sources" in " ".join(made.stdout.split())
    assert run("doctor").exit_code == 0


def test_doctor_names_what_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SPECS", "/nowhere/at/all")
    monkeypatch.setenv("GATEWAY_PARTNERS", "/nowhere/at/all")
    shown = run("doctor")
    assert shown.exit_code == 1
    assert "/nowhere/at/all" in shown.stdout


# ------------------------------------------------------------------------------------------------ list, show


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
    assert said == "gateway: wco/classes.csv: cannot be read: No such file or directory"


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
    assert "another digest" not in run("show", row["id"]).stdout
    database = sqlite3.connect(settings_in(Path.cwd()).database_url.removeprefix("sqlite:///"))
    with database:
        database.execute("UPDATE inbox SET body = ?", (b"\x1b[31mother",))
    database.close()
    text = run("show", row["id"]).stdout
    assert "NOT what was received" in text
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
    assert shown in run("list").stdout
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


# ------------------------------------------------------------------------------------------------ files and outputs


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", ""],
        ["explain", ORIGINAL, ""],
        ["check", ""],
        ["diff", ORIGINAL, ""],
        ["show", ""],
        ["replay", "--id", ""],
        ["replay", "--id="],
        ["parked", "show", ""],
    ],
    ids=" ".join,
)
def test_an_empty_argument_is_one_line(run: Run, gateway: House, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "here.edi").write_bytes(Path(ORIGINAL).read_bytes())
    gateway.send("maple", b"noise")
    gateway.settle_down()
    assert "an argument is empty" in one_line(run(*arguments))


@pytest.mark.parametrize("command", ["check", "explain"])
def test_what_is_hidden_in_a_folder_is_not_judged(run: Run, tmp_path: Path, command: str) -> None:
    folder = tmp_path / ".kept" / "messages"
    (folder / ".git").mkdir(parents=True)
    for name in (".noise", ".git/noise"):
        (folder / name).write_bytes(b"noise")
    assert "there is no message" in one_line(run(command, folder))
    (folder / "good.edi").write_bytes(Path(ORIGINAL).read_bytes())
    assert run(command, folder).exit_code == 0
    assert run(command, folder / ".noise").exit_code == 1  # named, it is meant


@pytest.mark.parametrize(("arguments", "out"), [
    ("list", ">&-"), ("explain CAD-0101", ">&-"), ("--help", ">&-"), ("explain CAD-0101", ">/dev/full"),
    ("--help", ">/dev/full"), ("list", ">/dev/full"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_one_line(gateway: House, tmp_path: Path, arguments: str, out: str) -> None:
    environment = {**os.environ, "GATEWAY_DATABASE_URL": settings_in(tmp_path).database_url}
    command = ["sh", "-c", f'"$0" -m gateway {arguments} {out}', sys.executable]
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("gateway: standard output cannot be written: ")


def test_a_run_whose_folder_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GatewayError, match=r"run/demo cannot be made anew: .*"):
        demo.main()


@pytest.mark.parametrize("command", [["list"], ["show", "abc"], ["replay", "--id", "abc"]], ids=" ".join)
def test_a_journal_that_sqlite_cannot_write_beside_is_told_with_its_folder(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    with house(tmp_path):
        pass
    (tmp_path / "gateway.sqlite3-wal").mkdir()  # as a folder that cannot be written, for whoever may write everywhere
    assert f"its folder {tmp_path}" in one_line(run(*command))


def test_doctor_calls_no_queue_well_that_cannot_be_written(
    run: Run, gateway: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("doctor").exit_code == 0
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    ill = run("doctor")
    assert ill.exit_code == 1
    assert f"{tmp_path} cannot be written" in " ".join(ill.stdout.split())


# ------------------------------------------------------------------------------------------------ send, serve


def test_send_needs_a_partner_and_a_queue(run: Run) -> None:
    assert "maple" in one_line(run("send", ORIGINAL, "--as", "nobody"))
    assert "doctor --declare" in one_line(run("send", ORIGINAL, "--as", "maple"))


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "amqp://127.0.0.1:1/;amqp://maple@127.0.0.1:1/"])
def test_who_is_logged_in_as_another_sends_nothing(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    told = r"gateway: you are logged in as guest.*; maple's messages must come from the user maple: see docs"
    monkeypatch.setenv("GATEWAY_BROKER_URL", url)
    assert re.match(told, one_line(run("send", ORIGINAL, "--as", "maple")))
    assert re.match(told, one_line(run("smoke", "--broker", url, "--as", "maple")))


def test_send_without_waiting_only_sends(run: Run, gateway: House) -> None:
    assert run("send", ORIGINAL, "--as", "maple").exit_code == 0
    gateway.settle_down()
    assert len(gateway.answers("maple")) == 4


@contextmanager
def working(gateway: House) -> Iterator[None]:
    """Let the gateway work meanwhile."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            gateway.settle_down()
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("file", "partner", "code", "last"),
    [
        (ORIGINAL, "maple", 0, "assessed"),
        (XML, "erable", 0, "assessed"),
        (FAULTY["xml"], "erable", 1, "refused"),
        (str(SAMPLES / "refused/syntax.edi"), "maple", 1, "contrl"),
    ],
)
def test_send_and_wait_prints_the_answers(
    run: Run, gateway: House, file: str, partner: str, code: int, last: str
) -> None:
    with working(gateway):
        result = run("send", file, "--as", partner, "--wait", "--seconds", "20")
    assert result.exit_code == code, result.output
    kinds = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("--- ")]
    assert kinds[0] == "receipt"
    assert kinds[-1] == last


def test_send_and_wait_knows_the_refusal_of_an_unproven_sender_as_its_own(run: Run, gateway: House) -> None:
    as_user(gateway, "erable")
    with working(gateway):
        result = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "20")
    assert result.exit_code == 1
    assert "GTW-0013" in result.stdout
    assert "another message" not in result.stdout


def test_send_and_wait_names_the_message_as_show_knows_it(run: Run, gateway: House) -> None:
    with working(gateway):
        sent = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "20")
    (command,) = [line.partition(": gateway ")[2] for line in sent.stdout.splitlines() if ": gateway show" in line]
    assert "12345000000023" in run(*command.split()).stdout


def test_send_and_wait_for_nobody_ends(run: Run, gateway: House) -> None:
    result = run("send", ORIGINAL, "--as", "maple", "--wait", "--seconds", "0.2")
    assert result.exit_code == 1
    assert "no final answer" in result.stderr
    assert "no receipt: does a gateway run" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    settings = settings_in(tmp_path)
    environment = {
        **os.environ,
        "GATEWAY_BROKER_URL": settings.broker_url,
        "GATEWAY_DATABASE_URL": settings.database_url,
        "GATEWAY_LOG": "json",
    }
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "gateway", "serve"]
        process = subprocess.Popen(command, cwd=HOME, env=environment, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while b'"serving"' not in (tmp_path / "log").read_bytes() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
        assert process.wait(60) == 0
    finally:
        process.kill()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[0]["loop"] == "receive work-1 work-2 dispatch"
    assert (lines[0]["database"], lines[0]["broker"]) == (settings.database_url, settings.broker_url)
    events = [line["event"] for line in lines]
    assert events[0] == "serving"
    assert events[-1] == "stopped"
    Journal.open(settings.database_url).check()
