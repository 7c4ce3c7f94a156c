"""The command line: what each command prints, and its exit codes; whatever goes wrong is one line on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.calendar import eastern_day
from gateway.settings import Settings
from tests.support.cli import CHANGE, COMMANDS, FAULTY, ORIGINAL, XML, kind_of, one_line, renamed_samples
from tests.support.desk import Run
from tests.support.packs import copy, rewrite
from tests.support.way import HOME, SAMPLES

# ------------------------------------------------------------------------------------------------ help


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_its_help_and_tells_its_exit_codes(run: Run, command: str) -> None:
    shown = run(command, "--help")
    assert shown.exit_code == 0
    if not hasattr(COMMANDS[command], "commands"):
        assert "Exit code" in shown.stdout
    assert command in run("--help").stdout


@pytest.mark.parametrize("group", [[], ["parked"], ["samples"], ["specs"]])
def test_what_a_command_does_fits_its_line(run: Run, group: list[str]) -> None:
    listed = run(*group, "--help").stdout.partition("--help")[2]
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
    "identified": {"bool"},
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
    "remedy": {"dict"},
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
    assert "--health-port is a port, host:port or [address]:port, not 'x'" in one_line(
        run("serve", "--health-port", "x")
    )


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
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, command: list[str]
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(renamed_samples(tmp_path)))
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


@pytest.mark.parametrize(("years", "state"), [(2, "well"), (0, "soon"), (-1, "soon")])
def test_doctor_says_a_year_ahead_that_the_calendar_ends(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: int, state: str
) -> None:
    root = copy(tmp_path / "packs")
    last = eastern_day(datetime.now(UTC)).year + years
    rewrite(root / "calendar/holidays.csv", lambda rows: [row for row in rows if row["date"] <= f"{last}-12-31"])
    run("doctor", "--declare")
    monkeypatch.setenv("GATEWAY_SPECS", str(root))
    shown = run("doctor")
    said = " ".join(shown.stdout.split())
    assert shown.exit_code == 0
    assert f"calendar {state} holidays are known through {last}-12-31" in said
    assert ("holidays.csv" in said) is (state == "soon")
