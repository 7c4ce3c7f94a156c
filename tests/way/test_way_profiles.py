"""What a partner's agreement allows of EDIFACT envelopes: groups, the association code, the forms of dates."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import GatewayError
from core.partner import EnvelopeProfile, Partner
from core.register import Facts
from core.transmission import Judged, Received, Verdict
from gateway import pipeline
from routing.agreements import load_profiles
from routing.partners import load_partners
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

PLAIN = (SAMPLES / "originals/v-voluntary.edi").read_text("latin-1")
PROFILES = load_profiles()


def by(profile: EnvelopeProfile) -> Partner:
    maple = PARTNERS["maple"]
    return replace(maple, agreement=replace(maple.agreement, profile=profile))


UN, CBSA, GROUPED = (by(PROFILES[name]) for name in ("un", "cbsa", "cbsa-grouped"))
NO_GROUPS = by(EnvelopeProfile("theirs", groups="refused"))


def grouped(text: str, day: str = "20261120", time: str = "0930") -> str:
    """Put the messages of an interchange into a functional group."""
    text = re.sub(r"(UNB[^']*')", rf"\1\nUNG+GOVCBR+MAPLE+CBSA+{day}:{time}+G1+UN+D:13A'", text, count=1)
    return text.replace("UNZ+1", "UNE+1+G1'\nUNZ+1")


def bare(text: str) -> str:
    """Take the association code out of UNH."""
    return text.replace("GOVCBR:D:13A:UN:CAD+", "GOVCBR:D:13A:UN+")


def dated(text: str, day: str) -> str:
    """Give the interchange another day of preparation."""
    return text.replace("+260115:1030+", f"+{day}:1030+")


def judged(text: str, partner: Partner) -> Judged:
    received = Received("1", partner.id, text.encode("latin-1"), NOW)
    (one,) = pipeline.handle(received, Facts(partner), PLANS).judged
    return one


CASES = [
    ("as ever", PLAIN, UN, []),
    ("as ever, CBSA's", PLAIN, CBSA, []),
    ("a group", grouped(PLAIN, "261120"), UN, []),
    ("the real header", bare(grouped(PLAIN)), CBSA, []),
    ("the real header, nothing agreed", bare(grouped(PLAIN)), UN, ["EDI-0508", "GTW-0002"]),
    ("eight digits in a group", grouped(PLAIN), UN, ["EDI-0508"]),
    ("six digits in a group, CBSA's", grouped(PLAIN, "261120"), CBSA, []),
    ("eight digits that are no day", grouped(PLAIN, "20261199"), CBSA, ["EDI-0508"]),
    ("seven digits", grouped(PLAIN, "2026112"), CBSA, ["EDI-0508"]),
    ("a day and no time", grouped(PLAIN, time="9999"), CBSA, ["EDI-0511"]),
    ("eight digits in UNB", dated(PLAIN, "20260115"), UN, ["EDI-0508"]),
    ("eight digits in UNB, CBSA's", dated(PLAIN, "20260115"), CBSA, []),
    ("no association", bare(PLAIN), UN, ["GTW-0002"]),
    ("no association, CBSA's", bare(PLAIN), CBSA, []),
    ("another association", PLAIN.replace("UN:CAD+", "UN:XYZ+"), CBSA, ["GTW-0002"]),
    ("no association, but 0110", PLAIN.replace("UN:CAD+1.00", "UN:+1.00"), CBSA, []),
    ("a group demanded", PLAIN, GROUPED, ["EDI-0122"]),
    ("a group demanded and there", bare(grouped(PLAIN)), GROUPED, []),
    ("a group refused", grouped(PLAIN, "261120"), NO_GROUPS, ["EDI-0123"]),
]


@pytest.mark.parametrize(("text", "partner", "findings"), [each[1:] for each in CASES], ids=[each[0] for each in CASES])
def test_an_envelope_is_held_to_what_is_agreed(text: str, partner: Partner, findings: list[str]) -> None:
    one = judged(text, partner)
    assert [finding.code for finding in one.findings if finding.code != "EDI-0505"] == findings
    assert one.verdict is (Verdict.REFUSED if findings else Verdict.ACCEPTED)


def test_what_is_not_agreed_is_answered_by_contrl() -> None:
    for text, partner in ((bare(PLAIN), UN), (PLAIN, GROUPED), (grouped(PLAIN, "261120"), NO_GROUPS)):
        received = Received("1", partner.id, text.encode("latin-1"), NOW)
        (answer,) = pipeline.handle(received, Facts(partner), PLANS).outgoing
        assert answer.kind == "contrl"


def test_a_profile_is_agreed_in_the_partners_file(tmp_path: Path) -> None:
    text = (SAMPLES / "partners.toml").read_text("utf-8")
    path = tmp_path / "partners.toml"
    path.write_text(text.replace('id = "maple"', 'id = "maple"\nprofile = "cbsa"', 1), "utf-8")
    partners = load_partners(path)
    assert partners["maple"].agreement.profile == PROFILES["cbsa"]
    assert partners["erable"].agreement.profile == EnvelopeProfile()
    own = '[[profile]]\nname = "theirs"\ngroups = "refused"\n'
    path.write_text(own + text.replace('id = "maple"', 'id = "maple"\nprofile = "theirs"', 1), "utf-8")
    assert load_partners(path)["maple"].agreement.profile == EnvelopeProfile("theirs", groups="refused")


def test_a_profile_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    text = (SAMPLES / "partners.toml").read_text("utf-8")
    path = tmp_path / "partners.toml"
    path.write_text(text.replace('id = "maple"', 'id = "maple"\nprofile = "cba"', 1), "utf-8")
    with pytest.raises(GatewayError, match="partner maple: profile: 'cba' is none of un, cbsa, cbsa-grouped"):
        load_partners(path)


def test_the_profiles_shipped_name_their_source() -> None:
    assert PROFILES["un"] == EnvelopeProfile()
    assert not PROFILES["cbsa"].association
