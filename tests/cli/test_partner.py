"""`gateway partner`, the page of its file, and what is refused on the sample partners."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from gateway import supervisor
from routing.partner_file import schema
from routing.partners import load_partners
from tests.support.cli import one_line, renamed_samples
from tests.support.desk import Run
from tests.support.house import House, settings_in
from tests.support.partners_page import PAGE, SCHEMA, page, schema_text
from tests.support.way import HOME, SAMPLES

OWN = """\
# Ours; do not sort.
[[partner]]
id = "oak"   # since 2025
name = "Oak"
envelopes = ["OAK"]
answer_queue = "out.oak"
account_security = ["11111"]
"""
ADD = ("partner", "add", "birch", "--name", 'Birch "B" Ltée', "--envelope", "BIRCH", "--envelope", "BIRCH2")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ours.toml"
    path.write_text(OWN, "utf-8")
    path.chmod(0o640)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(path))
    return path


def test_page_and_schema_are_what_the_file_is_read_with() -> None:
    assert PAGE.read_text("utf-8") == page()
    assert SCHEMA.read_text("utf-8") == schema_text()


@pytest.mark.parametrize("name", ["samples/partners.toml", "gateway/templates/partners.toml"])
def test_the_schema_takes_the_shipped_files(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    raw = json.loads(json.dumps(tomllib.loads((HOME / name).read_text("utf-8")), default=str))
    jsonschema.validate(raw, schema())


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    good = tomllib.loads(OWN)
    for key, value in (("id", "Oak"), ("language", "de"), ("envelopes", []), ("answer_queue", "in.a")):
        bad = {"partner": [{**good["partner"][0], key: value}]}
        assert not jsonschema.Draft202012Validator(schema()).is_valid(bad)


def test_the_commands_of_the_page_run(run: Run, file: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```\n(.*?)^```", page(), re.M | re.S)
    (tmp_path / "new.toml").write_text(OWN, "utf-8")
    for line in block.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "gateway"
        assert run(*arguments).exit_code == 0
    assert set(load_partners(file)) == {"oak", "birch"}


def test_add_appends_and_leaves_the_rest_as_it_is(run: Run, file: Path) -> None:
    result = run(*ADD, "--importer", "123456782RM0001", "--from", "2025-01-01", "--language", "fr", "--contrl")
    assert result.exit_code == 0
    assert file.read_text("utf-8").startswith(OWN)
    assert file.stat().st_mode & 0o777 == 0o640
    birch = load_partners(file)["birch"]
    assert (birch.name, birch.envelopes) == ('Birch "B" Ltée', ("BIRCH", "BIRCH2"))
    assert (birch.language, birch.contrl, birch.user, birch.answer_queue) == ("fr", True, "birch", "out.birch")
    assert list(birch.authorities) == ["123456782RM0001"]
    assert [each.name for each in file.parent.glob(".ours*")] == []


def test_add_keeps_the_ends_of_lines_and_follows_a_link(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(OWN.rstrip().replace("\n", "\r\n").encode())
    link = file.with_name("link.toml")
    link.symlink_to(file)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(link))
    assert run(*ADD).exit_code == 0
    assert link.is_symlink()
    assert set(load_partners(file)) == {"oak", "birch"}
    assert file.read_bytes().count(b"\n") == file.read_bytes().count(b"\r\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--envelope", "OAK"), "envelopes: 'OAK' is used twice"),
        (("--importer", "123456789RM0001"), "is not an importer's BN15"),
        (("--account-security", "11111"), "is of partner oak and of partner birch"),
        (("--account-security", "123"), "must be 5 digits in quotes, not '123'"),
        (("--answer-queue", "out.oak"), "'out.oak' is used twice"),
        (("--user", "assessment"), "the gateway's own or the engine's"),
        (("--user", "a b"), "birch: user: must be"),
        (("--name", "\x1b[2J"), "birch: name: must be"),
        (("--name", ""), "an argument is empty"),
    ],
)
def test_add_writes_nothing_that_could_not_be_loaded(
    run: Run, file: Path, arguments: tuple[str, ...], reason: str
) -> None:
    result = run(*ADD, *arguments)
    assert reason in one_line(result)
    assert file.read_text("utf-8") == OWN
    assert [each.name for each in file.parent.glob(".ours*")] == []


def test_add_refuses_our_own_files_and_who_is_second(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / ".ours.toml.new").touch()
    assert "somebody is writing" in one_line(run(*ADD))
    assert (file.parent / ".ours.toml.new").exists()
    monkeypatch.setenv("GATEWAY_PARTNERS", str(file.parent / "none.toml"))
    assert "cannot be written: No such file" in one_line(run(*ADD))
    monkeypatch.delenv("GATEWAY_PARTNERS")
    assert "is the program's own" in one_line(run(*ADD))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "Oak"', "name = 3", "partner oak: name: must be text of 1 to 70 characters"),
        ('name = "Oak"', 'nmae = "Oak"', "partner oak: there is no key 'nmae', name may be meant; allowed: id, name, "),
        ('name = "Oak"\n', "", "partner oak: name is missing: text of 1 to 70 characters"),
        ('name = "Oak"', 'name = "Oak"\nlanguage = "de"', "partner oak: language: must be en or fr, not 'de'"),
        ('["11111"]', '["11111", 5]', "partner oak: account_security 2: must be 5 digits in quotes, not 5"),
        ('"oak" ', '"o\\nk" ', "partner Oak: id: must be 1 to 32 of a-z, 0-9 and -"),
        ("# Ours", "[gateway]\nmax_age_days = -1\n#", "gateway: max_age_days: must be a whole number from 0 to 36500"),
        ("[[partner]]", "[partner]", "partner: must be a list of tables, not a table"),
        (OWN, "", "partner is missing: a list of tables"),
        (OWN, "x = " + "[" * 100_000, ""),
    ],
)
def test_check_names_the_file_the_key_and_what_is_allowed(
    run: Run, file: Path, old: str, new: str, reason: str
) -> None:
    file.write_text(OWN.replace(old, new, 1), "utf-8")
    line = one_line(run("partner", "check", file))
    assert f"{file}: {reason}" in line


def test_list_has_every_partner_and_who_is_made_up_is_said(run: Run, file: Path) -> None:
    (oak,) = json.loads(run("partner", "list", "--format", "json").stdout)
    assert (oak["id"], oak["state"], oak["importers"], oak["contrl"]) == ("oak", "active", 0, False)
    assert "oak" in run("partner", "list").stdout
    assert "made up" not in run("partner", "check").stdout
    told = run("partner", "check", SAMPLES / "partners.toml").stdout
    assert "2 in " in told
    assert "made up, for trying out only: maple, erable" in told


SERVERS = [
    {"GATEWAY_BROKER_URL": "amqps://gateway:secret@127.0.0.1:1//"},
    {"GATEWAY_DATABASE_URL": "postgresql://gateway:secret@127.0.0.1:1/gateway"},
]


@pytest.mark.parametrize("servers", SERVERS)
@pytest.mark.parametrize("partners", ["samples/partners.toml", "gateway/templates/partners.toml"])
def test_a_real_deployment_never_starts_on_partners_that_everybody_knows(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: dict[str, str], partners: str
) -> None:
    monkeypatch.setattr("gateway.supervisor.plans.prepare", lambda _: None)
    monkeypatch.setattr("gateway.supervisor._serve", lambda *_: pytest.fail("started"))
    for name, value in servers.items():
        monkeypatch.setenv(name, value)
    copy = tmp_path / "copy.toml"
    copy.write_text("# ours\n" + (HOME / partners).read_text("utf-8"), "utf-8")
    monkeypatch.setenv("GATEWAY_PARTNERS", str(copy))
    line = one_line(run("serve"))
    assert "has the sample partners" in line
    assert "GATEWAY_PARTNERS" in line
    assert "secret" not in line
    told = run("doctor")
    assert "has the sample partners" in " ".join(told.stdout.split())


@pytest.mark.parametrize("servers", SERVERS)
def test_it_starts_on_its_own_partners_and_a_trial_on_the_samples(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: dict[str, str]
) -> None:
    served: list[object] = []
    monkeypatch.setattr("gateway.supervisor.plans.prepare", lambda _: None)
    monkeypatch.setattr("gateway.supervisor._serve", lambda *given: served.append(given))
    assert run("serve").exit_code == 0
    for name, value in servers.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_PARTNERS", str(renamed_samples(tmp_path)))
    assert run("serve").exit_code == 0
    assert len(served) == 2


def test_doctor_says_which_partners_it_serves(run: Run, file: Path) -> None:
    assert f"1 in {file}: oak" in run("doctor").stdout


def events(folder: Path) -> list[tuple[str, dict[str, object]]]:
    with closing(sqlite3.connect(folder / "gateway.sqlite3")) as opened:
        return [(event, json.loads(detail)) for event, detail in opened.execute("SELECT event, detail FROM audit")]


def test_partners_that_are_read_again_stand_in_the_audit(gateway: House, tmp_path: Path, file: Path) -> None:
    crew = supervisor._Crew(settings_in(tmp_path, partners=file), [], None)  # type: ignore[arg-type]
    crew.reload()
    (found,) = [detail for event, detail in events(tmp_path) if event == "partners read again"]
    assert found == {"partners": ["oak"], "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    file.write_text("partner = 3", "utf-8")
    crew.reload()
    assert len([event for event, _ in events(tmp_path) if event == "partners read again"]) == 1
    assert gateway.journal.verify().bad is None
