"""Checklist A to D: each fault of an envelope alone gives one finding, with its 0085 code, and CONTRL at its level."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import pytest

from core.envelope import numbered
from core.findings import Severity
from core.partner import Agreement
from core.register import Facts, Reference, Register
from core.transmission import Outcome, Received, Verdict
from gateway.pipeline import handle
from tests.support.edifact_cases import judge
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES
from tests.unit.test_edifact_contrl import lines

UNB = "UNB+UNOB:3+MAPLEBROKER+CARMGATEWAY+261122:1200+REF1'"
UNB4 = "UNB+UNOB:4+MAPLEBROKER+CARMGATEWAY+20261122:1200+REF1'"
UNG = "UNG+GOVCBR+S+R+261122:1200+G1+UN+D:13A'"
SAMPLE = (SAMPLES / "originals/ab-two-lines.edi").read_text(encoding="ascii").replace("'\n", "'")
ONE = SAMPLE[SAMPLE.index("UNH") : SAMPLE.index("UNZ")]
TWO = ONE.replace("UNH+1+", "UNH+2+").replace("UNT+49+1", "UNT+49+2")
UNZ = "UNZ+1+REF1'"
UNH, REST = ONE[: ONE.index("'") + 1], ONE[ONE.index("'") + 1 :]
WHOLE = f"{UNB}{ONE}{UNZ}"
GROUPED = f"{UNB}{UNG}{ONE}UNE+1+G1'{UNZ}"


class Row(NamedTuple):
    """One row of the checklist: bytes, the finding's 0085 code and place, and the CONTRL's segment (None: none)."""

    name: str
    text: str
    error: str
    at: tuple[str | None, int | None, int | None]  # service segment, element, component
    told: str | None


def unb(old: str, new: str, base: str = WHOLE) -> str:
    """Return an interchange whose UNB is changed."""
    assert old in base
    return base.replace(old, new, 1)


UCI = "UCI+REF1+MAPLEBROKER+CARMGATEWAY+4"
UCF = "UCF+G1+S+R+4"
UCM = "UCM+1+GOVCBR:D:13A:UN:CAD+4"
WHOLE4 = WHOLE.replace(UNB, UNB4)
ROWS = [
    Row("A1 v3 decimal mark of UNA", "UNA:+;? '" + WHOLE, "19", ("UNA", None, None), f"{UCI}+19+UNA"),
    Row("A7 release at the end", WHOLE[:-1] + "?", "13", ("UNZ", None, None), f"{UCI}+13+UNZ"),
    Row("A7 no terminator at the end", WHOLE[:-1], "13", ("UNZ", None, None), f"{UCI}+13+UNZ"),
    Row("A8 character in UNB", unb("CARMGATEWAY", "CARM\xc9", WHOLE), "21", ("UNB", 4, 1), None),
    Row("A8 character in UNZ", unb("UNZ+1+REF1", "UNZ+1+REF\xc9"), "21", ("UNZ", 3, None), f"{UCI}+21+UNZ+3"),
    Row("A8 character in UNT", unb("+1'UNZ", "+\xc9'UNZ"), "21", ("UNT", 3, None), f"{UCM}+21+UNT+3"),
    Row("A9 UNOW in syntax 3", unb("UNOB:3", "UNOW:3"), "2", ("UNB", 2, 1), f"{UCI}+2+UNB+2:1"),
    Row("A9 UNOG in syntax 2", unb("UNOB:3", "UNOG:2"), "2", ("UNB", 2, 1), f"{UCI}+2+UNB+2:1"),
    Row("A13 filler after a terminator", unb("'UNZ", "'&'UNZ"), "33", (None, None, None), f"{UCI}+33"),
    Row("B1 no UNZ", WHOLE[: -len(UNZ)], "13", ("UNZ", None, None), f"{UCI}+13+UNZ"),
    Row("B1 no UNZ after a group", GROUPED[: -len(UNZ)], "13", ("UNZ", None, None), f"{UCI}+13+UNZ"),
    Row("B2 no syntax identifier", unb("UNOB:3", ":3"), "13", ("UNB", 2, 1), f"{UCI}+13+UNB+2:1"),
    Row("B2 no syntax version", unb("UNOB:3", "UNOB"), "13", ("UNB", 2, 2), f"{UCI}+13+UNB+2:2"),
    Row("B2 no syntax at all", unb("UNOB:3", ""), "13", ("UNB", 2, None), f"{UCI}+13+UNB+2"),
    Row("B2 no sender", unb("MAPLEBROKER", ""), "13", ("UNB", 3, None), None),
    Row("B2 no recipient", unb("CARMGATEWAY", ""), "13", ("UNB", 4, None), None),
    Row("B2 no date and time", unb("261122:1200", ""), "13", ("UNB", 5, None), f"{UCI}+13+UNB+5"),
    Row("B2 no date", unb("261122:", ":"), "13", ("UNB", 5, 1), f"{UCI}+13+UNB+5:1"),
    Row("B2 no time", unb("261122:1200", "261122"), "13", ("UNB", 5, 2), f"{UCI}+13+UNB+5:2"),
    Row("B2 no reference", unb("1200+REF1", "1200"), "13", ("UNB", 6, None), None),
    Row("B3 syntax identifier", unb("UNOB:3", "UNOQ:3"), "2", ("UNB", 2, 1), f"{UCI}+2+UNB+2:1"),
    Row("B3 syntax version", unb("UNOB:3", "UNOB:7"), "2", ("UNB", 2, 2), f"{UCI}+2+UNB+2:2"),
    Row("B3 syntax version of part 11", unb("UNOB:3", "UNOB:X"), "2", ("UNB", 2, 2), f"{UCI}+2+UNB+2:2"),
    Row("B4 element in UNB", unb("1200+REF1", "1200+REF1+++++++X"), "16", ("UNB", 13, None), f"{UCI}+16+UNB+13"),
    Row("B4 component in UNB", unb("1200+REF1", "1200:X+REF1"), "16", ("UNB", 5, 3), f"{UCI}+16+UNB+5:3"),
    Row("B4 element in UNZ", unb(UNZ, "UNZ+1+REF1+X'"), "16", ("UNZ", 4, None), f"{UCI}+16+UNZ+4"),
    Row("B5 no such day", unb("261122", "261131"), "12", ("UNB", 5, 1), f"{UCI}+12+UNB+5:1"),
    Row("B5 no such time", unb(":1200", ":2500"), "12", ("UNB", 5, 2), f"{UCI}+12+UNB+5:2"),
    Row("B5 eight digits in syntax 3", unb("261122", "20261122"), "39", ("UNB", 5, 1), f"{UCI}+39+UNB+5:1"),
    Row("B5 six digits in syntax 4", unb("20261122", "261122", WHOLE4), "40", ("UNB", 5, 1), f"{UCI}+40+UNB+5:1"),
    Row("B5 letters", unb("261122", "2611XX"), "37", ("UNB", 5, 1), f"{UCI}+37+UNB+5:1"),
    Row(
        "B6 sender",
        unb("MAPLEBROKER", "ERABLE"),
        "23",
        ("UNB", 3, 1),
        UCI.replace("MAPLEBROKER", "ERABLE") + "+23+UNB+3:1",
    ),
    Row(
        "B6 recipient",
        unb("CARMGATEWAY", "ICS"),
        "7",
        ("UNB", 4, 1),
        UCI.replace("CARMGATEWAY", "ICS") + "+7+UNB+4:1",
    ),
    Row(
        "B7 duplicate",
        unb("+REF1'", "+USED'").replace("1+REF1", "1+USED"),
        "26",
        ("UNB", 6, None),
        UCI.replace("REF1", "USED") + "+26+UNB+6",
    ),
    Row("B8 too old", unb("261122", "261001"), "24", ("UNB", 5, 1), f"{UCI}+24+UNB+5:1"),
    Row("B9 test", unb("REF1'", "REF1++++++1'"), "25", ("UNB", 12, None), f"{UCI}+25+UNB+12"),
    Row("B9 service provider's test", unb("REF1'", "REF1++++++5'"), "25", ("UNB", 12, None), f"{UCI}+25+UNB+12"),
    Row(
        "B9 echo request in syntax 4",
        unb("REF1'", "REF1++++++3'", WHOLE4),
        "25",
        ("UNB", 12, None),
        f"{UCI}+25+UNB+12",
    ),
    Row("B9 no such indicator", unb("REF1'", "REF1++++++3'"), "12", ("UNB", 12, None), f"{UCI}+12+UNB+12"),
    Row("B10 reference of UNZ", unb(UNZ, "UNZ+1+REF9'"), "28", ("UNZ", 3, None), f"{UCI}+28+UNZ+3"),
    Row("B10 no reference in UNZ", unb(UNZ, "UNZ+1'"), "13", ("UNZ", 3, None), f"{UCI}+13+UNZ+3"),
    Row("B11 count of UNZ", unb(UNZ, "UNZ+2+REF1'"), "29", ("UNZ", 2, None), f"{UCI}+29+UNZ+2"),
    Row("B11 groups are counted", unb("UNZ+1", "UNZ+2", GROUPED), "29", ("UNZ", 2, None), f"{UCI}+29+UNZ+2"),
    Row("B11 letters", unb(UNZ, "UNZ+A+REF1'"), "37", ("UNZ", 2, None), f"{UCI}+37+UNZ+2"),
    Row("B11 no count", unb(UNZ, "UNZ++REF1'"), "13", ("UNZ", 2, None), f"{UCI}+13+UNZ+2"),
    Row("B12 nothing inside", f"{UNB}UNZ+0+REF1'", "32", ("UNB", None, None), f"{UCI}+32+UNB"),
    Row("B13 mixed", f"{UNB}{ONE}{UNG}{TWO}UNE+1+G1'{UNZ}", "30", ("UNB", None, None), f"{UCI}+30+UNB"),
    Row("B14 segment before", unb(UNH, f"BGM+1'{UNH}"), "33", (None, None, None), f"{UCI}+33"),
    Row("B14 segments after", unb(UNZ, f"BGM+1'DTM+2'{UNZ}"), "33", (None, None, None), f"{UCI}+33"),
    Row("B14 UNE without UNG", unb(UNZ, f"UNE+1+G1'{UNZ}"), "33", (None, None, None), f"{UCI}+33"),
    Row("B14 empty segment", unb(UNZ, f"'{UNZ}"), "33", (None, None, None), f"{UCI}+33"),
    Row("B14 lower case", unb(UNZ, f"unz+1'{UNZ}"), "33", (None, None, None), f"{UCI}+33"),
    Row("B14 after UNZ", WHOLE + "BGM+1'", "33", (None, None, None), None),
    Row("B15 security in syntax 3", unb(UNH, f"USH+1'{UNH}"), "15", (None, None, None), f"{UCI}+15"),
    Row("B15 security in syntax 4", unb(UNH, f"USH+1'{UNH}", WHOLE4), "47", (None, None, None), f"{UCI}+47"),
    Row("C1 no UNE", unb("UNE+1+G1'", "", GROUPED), "13", ("UNE", None, None), f"{UCF}+13+UNE"),
    Row(
        "C1 no UNE before a group",
        f"{UNB}{UNG}{ONE}{UNG.replace('G1', 'G2')}{TWO}UNE+1+G2'UNZ+2+REF1'",
        "13",
        ("UNE", None, None),
        f"{UCF}+13+UNE",
    ),
    Row("C1 reference of UNE", unb("UNE+1+G1", "UNE+1+G9", GROUPED), "28", ("UNE", 3, None), f"{UCF}+28+UNE+3"),
    Row("C1 no reference in UNE", unb("UNE+1+G1", "UNE+1", GROUPED), "13", ("UNE", 3, None), f"{UCF}+13+UNE+3"),
    Row("C1 no reference in UNG", unb("+G1+UN+", "++UN+", GROUPED), "13", ("UNG", 6, None), None),
    Row("C2 count of UNE", unb("UNE+1", "UNE+4", GROUPED), "29", ("UNE", 2, None), f"{UCF}+29+UNE+2"),
    Row("C3 type of the group", unb("UNG+GOVCBR", "UNG+CUSDEC", GROUPED), "31", ("UNH", 3, 1), f"{UCM}+31+UNH+3:1"),
    Row("C4 version of the group", unb("UN+D:13A'", "UN+D:96B'", GROUPED), "12", ("UNH", 3, 3), f"{UCM}+12+UNH+3:3"),
    Row("C5 empty group", f"{UNB}{UNG}UNE+0+G1'{UNZ}", "32", ("UNG", None, None), f"{UCF}+32+UNG"),
    Row(
        "C6 group twice",
        f"{UNB}{UNG}{ONE}UNE+1+G1'{UNG}{TWO}UNE+1+G1'UNZ+2+REF1'",
        "26",
        ("UNG", 6, None),
        f"{UCF}+26+UNG+6",
    ),
    Row(
        "C  date of the group",
        unb("261122:1200+G1", "261131:1200+G1", GROUPED),
        "12",
        ("UNG", 5, 1),
        f"{UCF}+12+UNG+5:1",
    ),
    Row("C  stray segment in a group", unb("UNE+1", "BGM+1'UNE+1", GROUPED), "33", (None, None, None), f"{UCF}+33"),
    Row("D1 no reference", unb("UNH+1+", "UNH++"), "13", ("UNH", 2, None), None),
    Row("D1 no type", unb("UNH+1+GOVCBR:", "UNH+1+:"), "13", ("UNH", 3, 1), None),
    Row("D1 no release", unb("GOVCBR:D:13A", "GOVCBR:D:"), "13", ("UNH", 3, 3), None),
    Row("D1 no identifier", unb("GOVCBR:D:13A:UN:CAD", ""), "13", ("UNH", 3, None), None),
    Row(
        "D2 type",
        unb("GOVCBR:D:13A", "XYZABC:D:13A"),
        "14",
        ("UNH", 3, 1),
        UCM.replace("GOVCBR", "XYZABC") + "+14+UNH+3:1",
    ),
    Row(
        "D2 type, whatever its segments are",
        f"{UNB}{UNH.replace('GOVCBR', 'XYZABC')}" + "LIN:1:2+1'UNS+Q+Q'" * 700 + f"UNT+1402+1'{UNZ}",
        "14",
        ("UNH", 3, 1),
        UCM.replace("GOVCBR", "XYZABC") + "+14+UNH+3:1",
    ),
    Row("D3 no UNT", unb("'UNT+49+1'", "'"), "13", ("UNT", None, None), f"{UCM}+13+UNT"),
    Row(
        "D3 no UNT before another",
        unb("'UNT+49+1'", f"'{TWO}").replace(UNZ, "UNZ+2+REF1'"),
        "13",
        ("UNT", None, None),
        f"{UCM}+13+UNT",
    ),
    Row("D4 reference of UNT", unb("UNT+49+1", "UNT+49+9"), "28", ("UNT", 3, None), f"{UCM}+28+UNT+3"),
    Row("D5 count of UNT", unb("UNT+49+1", "UNT+48+1"), "29", ("UNT", 2, None), f"{UCM}+29+UNT+2"),
    Row("D5 letters", unb("UNT+49+1", "UNT+XX+1"), "37", ("UNT", 2, None), f"{UCM}+37+UNT+2"),
    Row("D5 no count", unb("UNT+49+1", "UNT++1"), "13", ("UNT", 2, None), f"{UCM}+13+UNT+2"),
    Row("D6 reference twice", unb(UNZ, f"{ONE}UNZ+2+REF1'"), "26", ("UNH", 2, None), f"{UCM}+26+UNH+2"),
    Row("D7 transfer 0", unb("CAD+1.00'", "CAD+1.00+0'"), "12", ("UNH", 5, 1), f"{UCM}+12+UNH+5:1"),
    Row("D7 first and last", unb("CAD+1.00'", "CAD+1.00+1:X'"), "12", ("UNH", 5, 2), f"{UCM}+12+UNH+5:2"),
    Row("D7 first of several", unb("CAD+1.00'", "CAD+1.00+1:C'"), "15", ("UNH", 5, 2), f"{UCM}+15+UNH+5:2"),
    Row("D7 one in the middle", unb("CAD+1.00'", "CAD+1.00+2'"), "15", ("UNH", 5, 1), f"{UCM}+15+UNH+5:1"),
    Row("D7 last of several", unb("CAD+1.00'", "CAD+1.00+3:F'"), "15", ("UNH", 5, 1), f"{UCM}+15+UNH+5:1"),
    Row("D7 a part alone", f"{UNB}{UNH[:-1]}+2:F'CNT+5:2'UNT+3+1'{UNZ}", "15", ("UNH", 5, 1), f"{UCM}+15+UNH+5:1"),
    Row("D7 in syntax 4", unb("CAD+1.00'", "CAD+1.00+1:C'", WHOLE4), "47", ("UNH", 5, 2), f"{UCM}+47+UNH+5:2"),
    Row("D7 a part without reference", unb("UNH+1+GOVCBR:D:13A:UN:CAD+1.00'", "UNH++GOVCBR:D:13A:UN:CAD++2:C'"),
        "13", ("UNH", 2, None), None),
    Row("D  component of UNH", unb("CAD+1.00'", "CAD:X+1.00'"), "16", ("UNH", 3, 6), None),
]  # fmt: skip
OURS = Agreement(ids=("CARMGATEWAY",), days=30)


def taken(*references: str) -> Register:
    """Return the register of references under which other bytes of maple were accepted."""
    spaces = [numbered("edifact", "MAPLEBROKER", "CARMGATEWAY", name) or "" for name in references]
    return Register(references={("maple", each): Reference("f" * 64, "", accepted=True) for each in spaces})


def carried(row: Row) -> Outcome:
    partner = replace(PARTNERS["maple"], agreement=replace(OURS, tests=row.name != "B9 test"))
    facts = Facts(partner, taken("USED"))
    return handle(Received("r", "maple", row.text.encode("latin-1"), NOW), facts, PLANS)


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_each_fault_of_an_envelope_gives_one_finding_and_its_contrl(row: Row) -> None:
    outcome = carried(row)
    told = {f for one in outcome.judged for f in one.findings if f.code.startswith("EDI")}
    found = {(f.code, f.syntax_error, f.service_segment, f.place.element, f.place.component) for f in told}
    assert {each[1:] for each in found} == {(row.error, *row.at)}
    assert len(told) == 1, told
    contrls = [each.body for each in outcome.outgoing if each.kind == "contrl"]
    if row.told is None:
        assert Verdict.REFUSED in {one.verdict for one in outcome.judged}
        assert all(b"+4+" not in body for body in contrls)
        assert "refused" in {each.kind for each in outcome.outgoing}, "told by another answer"
        return
    (body,) = contrls
    accepted = (f"{UCI[:-1]}7", f"{UCF[:-1]}7")
    assert [line for line in lines(body)[1:-1] if line not in accepted] == [row.told]
    assert judge(body) == ({1: ()}, [replace(judge(body)[1][0], faults=())]), "it is valid itself"


def sent(text: str, agreement: Agreement = OURS, references: dict[str, str] | None = None) -> Outcome:
    facts = Facts(replace(PARTNERS["maple"], agreement=agreement), taken(*(references or {})))
    return handle(Received("r", "maple", text.encode("latin-1"), NOW), facts, PLANS)


def codes(outcome: Outcome) -> list[list[str]]:
    return [[finding.code for finding in one.findings] for one in outcome.judged]


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        GROUPED,
        WHOLE4,
        unb("UNT+49", "UNT+00049"),
        unb("UNZ+1", "UNZ+01"),
        unb(UNH, "UNH+1+GOVCBR:D:13A:UN:CAD+1.00+1'"),
        unb(UNH, "UNH+1+GOVCBR:D:13A:UN:CAD+1.00+01:F'"),
        "\ufeff".encode().decode("latin-1") + re.sub(r"(?<!\?)'", "'\r\n", WHOLE),
    ],
    ids=["plain", "group", "syntax 4", "zeros in UNT", "zeros in UNZ", "only transfer", "last of one", "BOM and lines"],
)
def test_what_is_tolerated_has_no_finding(text: str) -> None:
    assert codes(sent(text)) == [[]]


@pytest.mark.parametrize("whole", [WHOLE, WHOLE4, GROUPED], ids=["syntax 3", "syntax 4", "group"])
@pytest.mark.parametrize(
    ("said", "places"),
    [("++++0", [10]), ("++++++0", [12]), ("++++0++0", [10, 12])],
    ids=["0031", "0035", "both"],
)
def test_a_0_for_no_in_unb_is_warned_of_and_means_no(whole: str, said: str, places: list[int]) -> None:
    """60 of 1,277 files from the field have one: each was refused, and one in 0031 taken for asking for a CONTRL."""
    facts = Facts(replace(PARTNERS["maple"], contrl=False))
    body = unb("REF1'", f"REF1{said}'", whole).encode("latin-1")
    outcome = handle(Received("r", "maple", body, NOW), facts, PLANS)
    (one,) = outcome.judged
    assert one.verdict is Verdict.ACCEPTED
    assert [(f.code, f.severity, f.value, f.place.element, f.syntax_error) for f in one.findings] == [
        ("EDI-0117", Severity.WARN, "0", place, None) for place in places
    ]
    assert [each.kind for each in outcome.outgoing] == ["accepted", "request"]
    assert not one.message.envelope.acknowledge
    assert not one.message.envelope.test


@pytest.mark.parametrize("said", ["++++00", "++++++00", "++++9", "++++++9", "++++0++++X"])
def test_what_is_no_plain_0_in_unb_is_refused_as_before(said: str) -> None:
    (found,) = codes(sent(unb("REF1'", f"REF1{said}'")))
    assert [code for code in found if code != "EDI-0117"] in (["EDI-0508"], ["EDI-0504"], ["EDI-0510"], ["EDI-0503"])


def test_one_reference_twice_in_a_transmission_is_a_duplicate() -> None:
    outcome = sent(WHOLE + WHOLE)
    assert codes(outcome) == [[], ["EDI-0119"]]
    second = [each.body for each in outcome.outgoing if each.kind == "contrl"][1]
    assert lines(second)[1:-1] == [f"{UCI}+26+UNB+6"]


def test_a_contrl_may_repeat_a_reference() -> None:
    contrl = "UNH+1+CONTRL:D:3:UN'UCI+OURS+CARMGATEWAY+MAPLEBROKER+7'UNT+3+1'"
    outcome = sent(f"{UNB}{contrl}{UNZ}", references={"REF1": "f" * 64})
    assert codes(outcome) == [[]]
    assert [each.reference for each in outcome.acknowledged] == ["OURS"]
    assert outcome.outgoing == ()


def test_who_asks_for_an_indication_of_receipt_gets_no_more() -> None:
    asked = WHOLE4.replace("REF1'UNH", "REF1++++2'UNH")
    told = {each.kind: each.body for each in sent(asked).outgoing}
    assert lines(told["contrl"])[1:-1] == [f"{UCI[:-1]}8"]
    told = {each.kind: each.body for each in sent(asked.replace("UNT+49", "UNT+48")).outgoing}
    assert lines(told["contrl"])[1:-1] == [f"{UCI[:-1]}7", f"{UCM}+29+UNT+2"]


def test_a_refused_interchange_is_answered_once() -> None:
    assert [each.kind for each in sent(f"{UNB}UNZ+0+REF1'").outgoing] == ["contrl"]
    assert [each.kind for each in sent(unb("MAPLEBROKER", "SOMEBODY")).outgoing] == ["contrl"]


def test_what_a_contrl_would_have_to_repeat_is_answered_otherwise_and_the_others_are_not_touched() -> None:
    other = TWO.replace("12345000000012", "12345000000023")
    text = f"{UNB}{ONE.replace('UNH+1+', 'UNH++').replace('+1.00', '')}{other}UNZ+2+REF1'"
    outcome = sent(text)
    assert [one.verdict for one in outcome.judged] == [Verdict.REFUSED, Verdict.ACCEPTED]
    assert [each.kind for each in outcome.outgoing] == ["refused", "accepted", "request"]


def test_xml_is_held_to_the_same_agreement() -> None:
    body = (SAMPLES / "originals/published-example.xml").read_bytes()
    for agreement, code in ((Agreement(ids=("ICS",)), "GTW-0015"), (Agreement(tests=False), "GTW-0016")):
        partner = replace(PARTNERS["erable"], agreement=agreement)
        test = body.replace(b"<TestIndicator>false", b"<TestIndicator>true")
        outcome = handle(Received("r", "erable", test, NOW), Facts(partner), PLANS)
        assert codes(outcome) == [[code]]
