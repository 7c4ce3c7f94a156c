"""Nothing that a sender wrote acts on a terminal, a page or a file: every command, every text of a message hostile."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import printable
from gateway.cli.terminal import Console, in_json
from gateway.journal import Arrival
from gateway.queues import Letter
from gateway.service import now
from tests.support.cli import FAULTY, ORIGINAL, XML
from tests.support.desk import Run
from tests.support.house import House
from tests.support.sending import edifact, number
from tests.support.way import HOME, PARTNERS, Way

# An escape sequence by C1, a turn of direction, a line separator, markup of our own library, and an emoji's name.
ACTS = "\x9b31m\u202e\u2028\u200f\u00ad[red]:smile:[/none]"


SERVICE = (b"UNB", b"UNH", b"UNT", b"UNZ")


def hostile_xml() -> bytes:
    """Return a good message in which every text of an element and an attribute goes on with what acts."""
    text = Path(XML).read_text("utf-8")
    return re.sub(r">([^<>\s][^<>]*)<", lambda found: f">{found[1]}{ACTS}<", text).encode()


def hostile_edifact() -> bytes:
    """Return a good message in which every data element but those of the service segments goes on with what acts."""
    segments = Path(ORIGINAL).read_bytes().split(b"'")
    return b"'".join(
        each
        if each.strip()[:3] in (b"UNB", b"UNH", b"UNT", b"UNZ")
        else re.sub(rb"(\w)(?=\+|$)", b"\\1\x1b]0;x\x07\x9b", each)
        for each in segments
    )


def acting(text: str) -> set[str]:
    """Return what acts in a text, but for the ends of its lines."""
    return {c for c in text if c not in "\n\t" and not c.isprintable() and unicodedata.category(c) != "Zs"}


@pytest.fixture
def hostile(tmp_path: Path) -> list[str]:
    bodies = {
        "x.xml": hostile_xml(),
        "e.edi": hostile_edifact(),
        "odd.bin": ACTS.encode() * 3,
        "esc.edi": b"UNB+\x1b[2J'",
    }
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
    return list(bodies)


def test_no_command_lets_through_what_a_sender_wrote_to_act(
    run: Run, gateway: House, hostile: list[str], tmp_path: Path
) -> None:
    """ESC, C1, marks of direction and the library's own markup reached the terminal."""
    for name in hostile:
        for partner in ("erable", "maple"):
            letter = Letter(
                f"{partner}{name}", f"in.{partner}", "", (tmp_path / name).read_bytes(), {"file-name": "\x9b"}
            )
            assert gateway.broker.publish([letter]).confirmed
    gateway.settle_down()
    row = Arrival("odd", "partner", ACTS, hostile_xml(), {"file-name": ACTS}, now(), ACTS)
    gateway.journal.receive([row])
    gateway.settle_down()
    gateway.journal.receive([Arrival("parked", "partner", "maple", hostile_xml(), {}, now(), "p")])
    gateway.journal.park([(gateway.journal.claim("w", 1, 60, now()).work[0], ACTS, ())], now=now())
    ids = [each["id"] for each in gateway.journal.list_messages(limit=100)]
    commands = [
        *(["check", name, "--format", form] for name in hostile for form in ("text", "json")),
        *(["check", name, "--lang", "fr"] for name in hostile),
        *(["explain", name, "--lang", lang] for name in hostile for lang in ("en", "fr")),
        *(["explain", name, "--html", f"{name}.html"] for name in hostile),
        *(["show", id_, "--format", form] for id_ in ids for form in ("text", "json")),
        *(["explain", id_] for id_ in ids),
        *(["replay", *ids, "--format", form] for form in ("text", "json")),
        *([*command, "--format", form] for command in (["list"], ["parked", "list"]) for form in ("text", "json")),
        *(["parked", "show", id_] for id_ in ids),
        ["diff", XML, "x.xml"], ["diff", "e.edi", ORIGINAL], ["diff", "x.xml", "x.xml", "--format", "json"],
        ["show", ACTS], ["explain", ACTS], ["check", ACTS], ["list", "--partner", ACTS], ["destinations"], ["doctor"],
        ["parked", "refuse", ids[0], "--reason", ACTS], ["list", "--limit", ACTS], [ACTS], ["verify-audit"],
    ]  # fmt: skip
    spoke = 0
    for command in commands:
        result = run(*command)
        assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), (
            command,
            result,
        )
        assert acting(result.stdout + result.stderr) == set(), command
        spoke += bool(result.stdout)
        if "json" in command and result.stdout:
            json.loads(result.stdout)
    assert spoke > len(commands) * 0.7
    pages = list(tmp_path.glob("*.html"))
    assert pages
    for page in pages:
        assert acting(page.read_text("utf-8")) == set()
    for partner in ("erable", "maple"):
        for answer in gateway.answers(partner):
            assert acting(answer.body.decode("latin-1" if b"UNOC" in answer.body else "utf-8")) == set(), answer.body


def test_only_one_file_writes_to_the_terminal() -> None:
    """One boundary: a command that printed by itself would let through whatever it is given."""
    bad = []
    for path in (HOME / "gateway").rglob("*.py"):
        if path.name in ("terminal.py", "__main__.py", "logs.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"):
                bad.append(f"{path.name}: {name}")
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console":
                bad.append(f"{path.name}: its own console")
    assert bad == []


def test_an_excerpt_is_of_the_line_that_the_place_names(run: Run, tmp_path: Path) -> None:
    """U+0085 and U+2028 were taken for ends of lines, so the excerpt was of another one."""
    text = Path(FAULTY["xml"]).read_text("utf-8").replace("?>", "?>\n<!-- \x85 \u2028 -->", 1)
    (tmp_path / "m.xml").write_text(text, "utf-8")
    shown = run("check", "m.xml", "--format", "json")
    places = [f["place"]["line"] for one in json.loads(shown.stdout) for f in one["findings"] if f["place"]["line"]]
    lines = (tmp_path / "m.xml").read_text("utf-8").split("\n")
    told = run("check", "m.xml").stdout
    assert places
    for line in places:
        assert lines[line - 1].strip()[:30] in told


@pytest.mark.parametrize("bad", [b"\xc2\x85", b"\xc2\x9b2J"])
@pytest.mark.parametrize("where", [b"MAPLEBROKER", b"CARMGATEWAY", b"REF1"])
@pytest.mark.parametrize("charset", [b"UNOC", b"UNOW"])
def test_no_answer_repeats_a_control(bad: bytes, where: bytes, charset: bytes) -> None:
    """What the character set has was repeated in CONTRL and GOVCBR."""
    body = edifact("REF1", number(1)).replace(where, where + bad, 1).replace(b"UNOC", charset, 1)
    _, answers, _ = Way().send(PARTNERS["maple"], body)
    assert answers
    for answer in answers:
        assert acting(answer.body.decode("latin-1" if charset == b"UNOC" else "utf-8", "replace")) == set()


@given(st.text())
def test_json_keeps_its_values(text: str) -> None:
    written = in_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(written) == {"a": text}
    assert acting(written) == set()


@given(st.text())
def test_what_is_printable_stays_and_what_acts_is_seen(text: str) -> None:
    shown = printable(text)
    assert acting(shown) == set()
    assert "\n" not in shown
    if not acting(text) and not re.search(r"[\n\t]", text):
        assert shown == text
    assert len(printable(text, "?")) == len(text)


def test_a_console_prints_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=100).print("[red]a :smile: [/none] \x1b]8;;http://x\x1b\\")
    assert (
        capsys.readouterr().out
        == "[red]a :smile: [/none] \N{REPLACEMENT CHARACTER}]8;;http://x\N{REPLACEMENT CHARACTER}\\\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--limit", "9" * 40], ["replay", "--since", "9999-12-31"], ["replay", "--until", "9999-12-31"],
        ["replay", "--since", "0001-01-01"], ["replay", "--until", "0001-01-01T00:00+14:00"],
        ["list", "--transaction", "\0"], ["show", "\udcff"],
        ["samples", "make", "--out", "x", "--count", "9" * 40], ["samples", "make", "--out", "x", "--on", "9999-12-31"],
        ["samples", "make", "--out", "y", "--on", "0001-01-01"], ["serve", "--health-port", "99999"],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.usefixtures("gateway")
def test_absurd_arguments_are_one_line(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert len(result.stderr.splitlines()) <= 1


@pytest.mark.parametrize("arguments", [["smoke", "--wait"], ["send", ORIGINAL, "--as", "maple", "--seconds"]], ids=str)
@pytest.mark.parametrize("seconds", ["nan", "-nan", "inf", "-1"])
def test_a_wait_without_end_is_no_wait(run: Run, arguments: list[str], seconds: str) -> None:
    assert run(*arguments, seconds).exit_code == 2
