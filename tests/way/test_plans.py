"""What is compiled has one owner, and the pure way is pure: same arguments, same outcome, whatever came before."""

from __future__ import annotations

import hashlib
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from core.register import Facts, Reference, Register
from core.transmission import Received, Verdict
from gateway import pipeline
from gateway.plans import Plans, prepare
from parsers import xml, xml_schema
from routing.routes import ROUTES
from tests.support.packs import copy, rewrite
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES


def verdicts(body: bytes, plans: Plans) -> list[tuple[Verdict, tuple[str, ...]]]:
    outcome = pipeline.handle(Received("r", "maple", body, NOW), Facts(PARTNERS["maple"]), plans)
    return [(one.verdict, tuple(finding.code for finding in one.findings)) for one in outcome.judged]


def test_two_specifications_live_side_by_side_in_one_process(tmp_path: Path) -> None:
    """What one compiles, learns or remembers of a message, the other does not see."""
    folder = copy(tmp_path)
    rewrite(folder / "codes/currency.csv", lambda rows: [row for row in rows if row["code"] != "EUR"])
    other = prepare(folder)
    assert other.digest != PLANS.digest
    for name in ("originals/v-voluntary.edi", "changes/v-correction.edi"):
        body = (SAMPLES / name).read_bytes()
        alone, differently = verdicts(body, PLANS), verdicts(body, prepare(folder))
        assert alone != differently
        for _ in range(3):
            assert verdicts(body, PLANS) == alone
            assert verdicts(body, other) == differently


def test_the_digest_covers_the_route_table(tmp_path: Path) -> None:
    """It was read inside judging, and stood in no digest: a verdict's destination could change without a trace."""
    routes = tmp_path / "routes.csv"
    shutil.copyfile(ROUTES, routes)
    same = prepare(PLANS.specs.root, routes)
    assert same.digest == PLANS.digest
    rewrite(routes, lambda rows: [row | {"destination": "assessment.elsewhere"} for row in rows])
    moved = prepare(PLANS.specs.root, routes)
    assert moved.digest != PLANS.digest
    body = (SAMPLES / "originals/v-voluntary.edi").read_bytes()
    facts = Facts(PARTNERS["maple"])
    sent = pipeline.handle(Received("r", "maple", body, NOW), facts, moved).outgoing
    assert "assessment.elsewhere" in {item.destination for item in sent}
    assert "assessment.elsewhere" not in {
        item.destination for item in pipeline.handle(Received("r", "maple", body, NOW), facts, PLANS).outgoing
    }


def test_a_route_table_that_lacks_a_route_is_told_when_the_plans_are_made(tmp_path: Path) -> None:
    routes = tmp_path / "routes.csv"
    routes.write_text("message_type,nature,test,destination\ndeclaration,original,perhaps,somewhere\n")
    with pytest.raises(Exception, match=r"row 2"):
        prepare(PLANS.specs.root, routes)


def test_a_transmission_is_hashed_once_however_many_messages_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 messages in 9.9 MB, padded with line ends, were hashed whole once a message: it killed every worker."""
    head, _, rest = (SAMPLES / "originals/v-voluntary.edi").read_text("latin-1").partition("UNH")
    message = f"UNH{rest[: rest.index('UNZ')]}"
    padding = "\n" * (9_900_000 // 1_000 - len(message) - 10)
    many = "".join(f"{message.replace('UNH+1', f'UNH+{n}')}{padding}" for n in range(1, 1_001))
    body = f"{head}{many}UNZ+1000+1'".encode("latin-1")
    assert 9_000_000 < len(body) < 10_000_000
    hashed, sha256 = [], hashlib.sha256

    def counting(data: bytes = b"") -> object:
        hashed.append(len(data))
        return sha256(data)

    monkeypatch.setattr(hashlib, "sha256", counting)
    received = Received("r", "maple", body, NOW)
    parsed = pipeline.parse(received, PLANS)
    assert len(parsed.messages) == 1_000
    reference = "maple", parsed.messages[0].number or ""
    others = Register(references={reference: Reference("of other bytes", "before", False)})
    assert others.repeated("maple", parsed) is None
    outcome = pipeline.judge(parsed, Facts(PARTNERS["maple"], others), PLANS)
    assert others.after(outcome).repeated("maple", parsed) == "r"
    assert [size for size in hashed if size > 100_000] == [len(body)]
    assert Received("r", "maple", body, NOW, digest="known").digest == "known", "the journal has it already"


def test_the_day_of_receipt_is_a_fact_of_the_transmission() -> None:
    late = NOW.replace(hour=4, minute=59)  # 23:59 the day before, in Eastern Time
    assert Received("r", None, b"", late).day == late.date() - timedelta(days=1)
    assert Received("r", None, b"", late + timedelta(minutes=1)).day == late.date()


def test_what_misfits_is_asked_of_the_document_itself_not_of_the_last_one_seen() -> None:
    (plan,) = (each for key, each in PLANS.reading.xml.items() if key.startswith("chapter24"))
    good = xml.parse((SAMPLES / "originals/published-example.xml").read_bytes())
    bad = xml.parse((SAMPLES / "refused/unknown-element.xml").read_bytes())
    assert not xml_schema.fits(bad, plan.schema)
    assert xml_schema.misfits(good, plan.schema, 50) == []
    assert xml_schema.fits(good, plan.schema)
    assert xml_schema.misfits(bad, plan.schema, 50)


def test_judging_leaves_what_it_was_given_as_it_was() -> None:
    """Parsed once, judged three times: the same verdicts, findings and answers each time."""
    for path in sorted((SAMPLES / "refused").iterdir()):
        parsed = pipeline.parse(Received("r", "maple", path.read_bytes(), NOW), PLANS)
        first, second, third = (pipeline.judge(parsed, Facts(PARTNERS["maple"]), PLANS) for _ in range(3))
        told = [[(one.verdict, one.findings) for one in each.judged] for each in (first, second, third)]
        assert told[0] == told[1] == told[2], path.name
        assert first.outgoing == second.outgoing == third.outgoing, path.name
