"""Whoever asks for French gets French: answers, pages and every command that has a language."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from click.testing import CliRunner
from lxml import html

from core.register import Facts
from core.transmission import Judged, Outcome, Received
from gateway import pipeline
from gateway.cli.main import main
from tests.cli.test_replay_parked import park
from tests.support.cli import COMMANDS
from tests.support.desk import Run, recorded, runner
from tests.support.house import house
from tests.support.traffic import without
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES, rows

# Words that no French text has, and no name in the samples that are shown.
ENGLISH = re.compile(
    r"\b(the|of|and|or|is|are|was|not|no|from|for|with|by|at|to|this|after|before|than|other|only|now|further|given|"
    r"accepted|refused|repeated|recorded|replayed|received|expected|came|judged|answers|findings?|elements?|message"
    r" type|sender|file|code lists?|warns?|refuses?|field|confidence|high|low|wrote|pass|fail|different|if)\b",
    re.IGNORECASE,
)
REFUSED = sorted({(row["partner"], row["file"]) for row in rows() if row["findings"]})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


def judged(partner: str, file: str) -> Outcome:
    """Judge a sample as a partner's who asks for French."""
    one = replace(PARTNERS[partner], language="fr")
    return pipeline.handle(Received("1", one.id, (SAMPLES / file).read_bytes(), NOW), Facts(one), PLANS)


def named_in_french(text: str, one: Judged) -> None:
    """Hold a text to naming the sources of a message's findings in French only."""
    for finding in one.findings:
        assert f"source : {finding.source.fr}" in text
        assert finding.source.en == finding.source.fr or f"source : {finding.source.en}" not in text


@pytest.mark.parametrize(("partner", "file"), REFUSED)
def test_a_refusal_names_its_sources_in_french(partner: str, file: str) -> None:
    outcome = judged(partner, file)
    answers = [each for each in outcome.outgoing if each.kind == "refused" and b"CONTRL" not in each.body]
    for answer in answers:
        (one,) = (each for each in outcome.judged if each.message.ordinal == (answer.ordinal or 1))
        body = answer.body.decode("latin-1" if answer.content_type == "application/edifact" else "utf-8")
        text = html.fromstring(answer.body).text_content() if "<" in body else re.sub(r"\?(.)", r"\1", body)
        named_in_french(text, one)


@pytest.mark.parametrize(("partner", "file"), REFUSED)
def test_a_page_of_a_refusal_names_its_sources_in_french(partner: str, file: str, run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    told = run("explain", SAMPLES / file, "--as", partner, "--lang", "fr", "--html", page).stdout
    assert told == f"écrit : {page}\n"
    text = html.fromstring(page.read_text("utf-8")).text_content()
    printed = run("explain", SAMPLES / file, "--as", partner, "--lang", "fr").stdout
    for one in judged(partner, file).judged:
        named_in_french(text, one)
        named_in_french(" ".join(printed.split()), one)


def french(result_of: str) -> None:
    """Hold what was printed to having no English word; what stands in a file's name or in the sender's text may."""
    for line in result_of.splitlines():
        own = re.sub(r"\S*/\S*|\w+\.csv|`[^`]*`|«[^»]*»", "", line)
        assert line.lstrip().startswith("|") or not ENGLISH.search(own), line


REFUSALS = [
    SAMPLES / "refused" / name for name in ("many-faults.edi", "missing-elements.xml", "noise.bin", "syntax.edi")
]
CORRECTED = [SAMPLES / "originals/v-voluntary.edi", SAMPLES / "changes/v-correction.edi"]


@pytest.mark.parametrize(
    "command",
    [
        ("check", *REFUSALS, *CORRECTED),
        ("explain", *REFUSALS),
        ("diff", *CORRECTED),
        ("rules",),
        ("list",),
        ("replay", "--since", "2020-01-01"),
        ("replay", "--partner", "maple", "--send"),
        ("replay", *REFUSALS),
    ],
    ids=lambda command: " ".join(str(each) for each in command[:2] if "/" not in str(each)),
)
def test_a_command_speaks_french_throughout(command: tuple[object, ...], run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    told = run(*command, "--lang", "fr")
    assert told.exit_code in (0, 1), told.output
    assert told.stdout
    french(told.stdout)


def test_what_if_speaks_french_throughout(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    specs, page = without(tmp_path / "specs", "currency", "EUR"), tmp_path / "page.html"
    for what in ((), (SAMPLES / "originals",), ("--verdict", "accepted", "--partner", "maple")):
        told = run("replay", "--specs", specs, *what, "--lang", "fr", "--html", page)
        assert (
            "accepté -> refusé : Devise de la facture : le code « EUR » ne figure pas dans la liste « Devises »."
            in told.stdout
        )
        french(told.stdout)
        french("\n".join(html.fromstring(page.read_text("utf-8")).xpath("//body//text()")))
    assert "expéditeur maple, verdict accepté" in page.read_text("utf-8")


def test_samples_that_fail_are_told_in_french(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "run.csv"
    sample = SAMPLES / "originals/v-voluntary.edi"
    file.write_text(
        f"file,partner,verdict,findings,answers,total\n{sample},maple,refused,CAD-0101,refused,1\n", "utf-8"
    )
    told = run("replay", "--samples", file, "--lang", "fr").stdout
    french(told)
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert {"attendu venu", "verdict refusé accepté", "constats CAD-0101 aucun", "0 sur 1 comme attendu"} <= set(lines)


def test_a_parked_message_is_shown_in_french(run: Run, tmp_path: Path) -> None:
    with house(tmp_path) as gateway:
        id_ = park(gateway, "maple", (SAMPLES / "originals/v-voluntary.edi").read_bytes())
        told = run("parked", "show", id_, "--lang", "fr").stdout
    french(told)
    assert f"{id_} (expéditeur : maple)" in told
    assert "garé parce que : trop d'essais" in told
    assert "le traitement d'aujourd'hui dirait : accepté" in told


def test_the_life_of_a_message_is_shown_in_french(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    rows = json.loads(run("list", "--format", "json").stdout)
    assert {row["verdict"] for row in rows} == {"accepted", "refused", None}
    for row in rows:
        told = run("show", row["id"], "--lang", "fr").stdout
        french(told.replace("receipt (", "").replace("refused (", "").replace("accepted (", ""))


def test_rules_as_json_and_markdown_name_their_source_in_the_language(run: Run) -> None:
    english, shown = (json.loads(run("rules", "--format", "json", "--lang", lang).stdout) for lang in ("en", "fr"))
    assert [each | {"source": ""} for each in english] == [each | {"source": ""} for each in shown]
    sources = {each["id"]: (one["source"], each["source"]) for one, each in zip(english, shown, strict=True)}
    assert sources["CAD-0135"] == ("Customs Notice 24-29", "Avis de douanes 24-29")
    (row,) = (line for line in run("rules", "--format", "md", "--lang", "fr").stdout.splitlines() if "CAD-0135" in line)
    assert row.endswith("| Avis de douanes 24-29 | élevée |")


def test_a_date_is_pictured_in_french_wherever_a_french_text_does(run: Run, tmp_path: Path) -> None:
    """The guide said SSAAMMJJ and a finding CCYYMMDD; JSON keeps one notation for programs."""
    sample, page = SAMPLES / "refused/syntax.edi", tmp_path / "page.html"
    run("explain", sample, "--lang", "fr", "--html", page)
    for told in (
        run("check", sample, "--lang", "fr").stdout,
        run("explain", sample, "--lang", "fr").stdout,
        page.read_text("utf-8"),
    ):
        assert "SSAAMMJJ" in told
        assert "CCYYMMDD" not in told
    assert "CCYYMMDD" in run("check", sample).stdout
    (found,) = json.loads(run("check", sample, "--lang", "fr", "--format", "json").stdout)
    assert "CCYYMMDD" in {each["expected"] for each in found["findings"]}


def test_a_verdict_agrees_with_what_it_is_about(run: Run) -> None:
    declaration, noise = SAMPLES / "refused/no-authority.xml", SAMPLES / "refused/noise.bin"
    told = run("check", declaration, noise, "--lang", "fr").stdout
    assert "expéditeur ERABLECOURTIER : refusée" in told, "and no `de` before a vowel"
    assert "message inconnu, expéditeur inconnu : refusé\n" in told
    shown = run("explain", declaration, noise, "--lang", "fr").stdout
    assert re.search(r"^DDC \d+, version 00001 : refusée$", shown, re.MULTILINE)
    assert "Message : refusé\n" in shown


def test_the_audit_chain_is_verified_in_french(run: Run, tmp_path: Path) -> None:
    heads = tmp_path / "heads.jsonl"
    recorded(tmp_path).close()
    heads.write_text(run("export-audit-head").stdout, "utf-8")
    for more in ((), ("--heads", heads)):
        told = run("verify-audit", *more, "--lang", "fr")
        assert told.exit_code == 0, told.output
        assert "lignes tiennent" in told.stdout
        french(told.stdout)
    engine = sqlalchemy.create_engine(os.environ["GATEWAY_DATABASE_URL"])
    gone = ("DROP TRIGGER audit_no_delete", "DELETE FROM audit WHERE n = 3")
    for statements in (("UPDATE outbox SET body = X'00' WHERE kind = 'accepted'",), gone):
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        told = run("verify-audit", "--lang", "fr")
        assert told.exit_code == 1, told.output
        french(told.stdout.replace("(accepted)", ""))
    assert "ligne 3 : la ligne 3 manque" in told.stdout
    engine.dispose()


def test_what_is_not_intact_of_a_message_is_told_in_french(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    (id_, *_) = [each["id"] for each in json.loads(run("list", "--format", "json").stdout) if each["verdict"]]
    engine = sqlalchemy.create_engine(os.environ["GATEWAY_DATABASE_URL"])
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE inbox SET body = X'00'")
    engine.dispose()
    assert "ALTÉRÉ : ses octets ne sont pas ceux qui ont été reçus" in run("show", id_, "--lang", "fr").stdout
    assert json.loads(run("show", id_, "--format", "json").stdout)["altered"] == "its bytes are not what was received"


def test_journals_are_kept_in_french(run: Run, tmp_path: Path) -> None:
    recorded(tmp_path).close()
    for command in (("backup", tmp_path / "copy"), ("restore", tmp_path / "copy"), ("migrate",)):
        told = run(*command, "--lang", "fr")
        assert told.exit_code == 0, told.output
        assert re.search("sauvegarde|schéma", told.stdout)
        french(told.stdout.replace("dans la file", ""))


def test_what_is_set_up_is_told_in_french(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("init", tmp_path / "own", "--lang", "fr")
    assert told.stdout.startswith(f"Écrit dans {tmp_path / 'own'} :")
    french(told.stdout.replace("--with-", ""))
    monkeypatch.setenv("GATEWAY_PARTNERS", str(tmp_path / "own/partners.toml"))
    added = run("partner", "add", "nord", "--name", "Nord", "--envelope", "NORD", "--lang", "fr")
    assert "nord écrit dans" in added.stdout
    french(added.stdout)
    token = run("partner", "token", "nord", "--lang", "fr")
    assert "Jeton de nord" in token.stdout
    french(re.sub(r"(?<= : )\S+$", "", token.stdout, count=1, flags=re.MULTILINE))
    asked = CliRunner().invoke(main, ["web-user", "Marie", "--lang", "fr"], input="un mot de passe\nun mot de passe\n")
    assert asked.exit_code == 0, asked.output
    assert "Mot de passe" in asked.output
    assert "Répétez pour confirmer" in asked.output


def test_samples_and_guide_say_in_french_what_they_wrote(run: Run, tmp_path: Path) -> None:
    made = run("samples", "make", "--fault", "GTW-0006", "--out", tmp_path / "made", "--lang", "fr")
    assert "obtient GTW-0006 si : l'expéditeur doit être inscrit comme inactif" in made.stdout
    assert f"pages dans {tmp_path / 'site'}; ouvrez" in run("guide", "--out", tmp_path / "site", "--lang", "fr").stdout


def test_every_command_that_says_something_speaks_both_languages() -> None:
    """The others print what has no language: commands for a shell, JSON, the log, a page that is in English."""
    every = {
        " ".join((name, *([] if command is group else [each]))): command
        for name, group in COMMANDS.items()
        for each, command in (getattr(group, "commands", None) or {name: group}).items()
    }
    found = {name for name, command in every.items() if any(option.name == "lang" for option in command.params)}
    assert set(every) - found == {"broker-users", "export-audit-head", "serve", "specs reference"}


def test_every_command_with_a_language_is_among_those_held_to_it() -> None:
    """Smoke has its own tests, tables have theirs (test_desk_tables); a further command belongs here."""
    found = {
        " ".join((name, *([] if command is group else [each])))
        for name, group in COMMANDS.items()
        for each, command in (getattr(group, "commands", None) or {name: group}).items()
        if any(option.name == "lang" for option in command.params)
    }
    tables = {
        "answers list",
        "dead list",
        "destinations",
        "doctor",
        "partner list",
        "parked list",
        "purge",
        "requests list",
    }
    deeds = {
        "answers close", "answers resend", "dead requeue", "dead show", "parked refuse", "parked release",
        "partner check", "requests resend", "unpark",
        "backup", "guide", "init", "migrate", "partner add", "partner token", "restore", "samples make", "verify-audit",
        "web", "web-user",
    }  # fmt: skip
    assert found - tables - deeds == {
        "check", "diff", "explain", "list", "parked show", "replay", "rules", "send", "show", "smoke", "specs check",
    }  # fmt: skip
    assert tables | deeds <= found
