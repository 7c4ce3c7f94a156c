"""What a character set cannot read, and control characters, leave the gateway by one escaping, in every field."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from core.register import Facts
from core.transmission import Received
from gateway import pipeline
from gateway.journal.codec import encode_envelope
from tests.support.desk import Run, runner
from tests.support.house import house
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

AB = (SAMPLES / "originals/ab-two-lines.edi").read_bytes().replace(b"'\n", b"'")
GROUPED = AB.replace(b"UNH+1", b"UNG+GOVCBR+S+R+260115:1030+G1+UN+D:13A'UNH+1").replace(b"UNZ+1", b"UNE+1+G1'UNZ+1")
AB4 = GROUPED.replace(b"UNA:+.? '", b"").replace(b"+260115:", b"+20260115:")
STRAY = b"\xc3("

FIELDS = {
    "sender": (b"MAPLEBROKER", b"MAPLE" + STRAY),
    "recipient": (b"CARMGATEWAY", b"CARM" + STRAY),
    "0020": (b"+MB000001'UNG", b"+MB" + STRAY + b"'UNG"),
    "0062": (b"UNH+1+", b"UNH+1" + STRAY + b"+"),
    "S009": (b"GOVCBR:D", b"GOV" + STRAY + b":D"),
    "group": (b"+G1+UN", b"+G" + STRAY + b"+UN"),
    "UNT": (b"UNT+49+1", b"UNT+49+1" + STRAY),
    "UNZ": (b"UNZ+1+MB000001", b"UNZ+1+M" + STRAY),
    "number": (b"12345000000012", b"1234500000001" + STRAY),
    "version": (b":00001+9", b":0000" + STRAY + b"+9"),
    "text": (b"Steel structures", b"Steel" + STRAY),
    "tag": (b"BGM+", b"B" + STRAY + b"M+"),
    "released tag": (b"BGM+", b"B?GM+"),
    "segment between": (b"UNE+1", STRAY + b"+1'UNE+1"),
    "behind": (b"UNZ+1+MB000001'", b"UNZ+1+MB000001'" + STRAY),
}


def spoilt(field: str, charset: bytes) -> bytes:
    old, new = FIELDS[field]
    body = AB4.replace(b"UNOC:3", charset + b":4")
    assert old in body
    return body.replace(old, new, 1)


def texts(value: Any) -> list[str]:
    """Return every text in a value, whatever it is made of."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    return [text for each in value for text in texts(each)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize("charset", [b"UNOW", b"UNOI", b"UNOC"])
@pytest.mark.parametrize("field", FIELDS)
def test_no_lone_surrogate_leaves_the_reader(field: str, charset: bytes) -> None:
    received = Received("r", "maple", spoilt(field, charset), NOW)
    parsed = pipeline.parse(received, PLANS)
    outcome = pipeline.judge(parsed, Facts(PARTNERS["maple"]), PLANS)
    found = [text for one in outcome.judged for finding in one.findings for text in texts(asdict(finding))]
    for one in outcome.judged:
        found += [encode_envelope(one.message.envelope), one.message.envelope.sender or ""]
        for _, _, level in one.message.declaration.levels() if one.message.declaration else ():
            found += [str(value) for name in level.values for value in level.all(name)]
    for each in parsed.interchanges:
        found += [*each.sender, *each.recipient, each.reference or ""]
        found += [part for group in each.groups for part in (*group.sender, *group.recipient, group.reference or "")]
        found += [part for header in each.headers for part in (header.reference or "", *header.identifier)]
    for text in found:
        text.encode()
        assert "\\ud" not in text, "nor the escape of one"


def test_a_released_letter_is_told_as_the_letter() -> None:
    received = Received("r", "maple", spoilt("released tag", b"UNOC"), NOW)
    outcome = pipeline.handle(received, Facts(PARTNERS["maple"]), PLANS)
    assert "BGM" in [finding.value for one in outcome.judged for finding in one.findings]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return runner(tmp_path, monkeypatch)


@pytest.mark.parametrize("field", FIELDS)
def test_check_prints_json_and_text_of_it(run: Run, tmp_path: Path, field: str) -> None:
    path = tmp_path / "stray.edi"
    path.write_bytes(spoilt(field, b"UNOW"))
    shown = run("check", "--format", "json", str(path))
    assert shown.exit_code == 1, shown.output
    for text in texts(json.loads(shown.stdout)):
        text.encode()
    assert run("check", str(path)).exit_code == 1


def test_a_control_character_in_a_sender_does_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "forged.edi"
    path.write_bytes(AB.replace(b"MAPLEBROKER", b"\x1b[2JMAPLE\r\n"))
    shown = run("check", str(path))
    assert "\x1b" not in shown.stdout
    assert "\\x1b[2JMAPLE\\r\\n" in shown.stdout


def test_list_and_show_escape_it_too(run: Run, tmp_path: Path) -> None:
    with house(tmp_path) as gateway:
        gateway.send("maple", AB.replace(b"MAPLEBROKER", b"\x1b[2JMAPLE"), spoilt("0062", b"UNOW"))
        gateway.settle_down()
        ids = [row["id"] for row in gateway.journal.list_messages(channel="partner")]
    listed = run("list")
    assert (listed.exit_code, "\x1b" in listed.stdout) == (0, False)
    for id_ in ids:
        told = run("show", id_)
        assert (told.exit_code, "\x1b" in told.stdout) == (0, False)
        assert json.loads(run("show", id_, "--format", "json").stdout)
