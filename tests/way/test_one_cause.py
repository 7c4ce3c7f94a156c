"""One cause, one finding: a segment lost, doubled or moved, a transmission cut off; everywhere in every sample."""

from __future__ import annotations

import gc
import re
import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from itertools import pairwise

import pytest
from lxml import etree

from core.findings import Finding
from core.partner import Partner
from core.register import Facts, Register
from core.transmission import Received
from edifact.directory import Structure
from edifact.message import explain
from edifact.reader import MessageText, read
from gateway import pipeline
from tests.support.edifact_cases import DIRECTORIES, GOVCBR, interchange, message
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES, Way, rows

UNA = b"UNA:+.? '\n"
# A second place is wrong as well: without its reason neither of two changes has one.
TWO_CHANGES = ("CAD-0214", "CAD-0214")
ACCEPTED = [row["file"] for row in rows() if row["verdict"] == "accepted"]
NAMES = [name for name in ACCEPTED if name.endswith(".edi")]
DOCUMENTS = [name for name in ACCEPTED if name.endswith(".xml")]
# Of all documents among the samples: what is done to an element, how many findings that gives, how many elements. What
# is lost without a finding is optional.
MEASURED = {("without", 0): 148, ("without", 1): 243, ("without", 3): 1, ("without", 4): 1, ("twice", 1): 393}


@cache
def before() -> dict[str, tuple[Partner, Register]]:
    """Return for each sample who sends it, and what is on file then."""
    way, found = Way(), dict[str, tuple[Partner, Register]]()
    for row in rows():
        partner = PARTNERS[row["partner"]]
        found.setdefault(row["file"], (partner, way.trial.register))
        way.send(partner, (SAMPLES / row["file"]).read_bytes())
    return found


def findings(name: str, body: bytes) -> list[Finding]:
    partner, register = before()[name]
    outcome = pipeline.handle(Received("0" * 32, partner.id, body, NOW), Facts(partner, register), PLANS)
    return [finding for judged in outcome.judged for finding in judged.findings]


def segments(name: str) -> list[str]:
    text = (SAMPLES / name).read_text(encoding="latin-1").removeprefix("UNA:+.? '")
    return [each.strip() for each in re.findall(r"(?:[^?']|\?.)*'\s*", text, re.DOTALL)]


def joined(parts: list[str], counted: bool = False) -> bytes:
    """Return an interchange of segments; `counted` says that UNT's count is made right."""
    ends = [parts.index(each) for each in parts if each.startswith(("UNH", "UNT"))]
    if counted and len(ends) > 1:
        _, *rest = parts[ends[-1]].split("+")[1:]
        parts = [*parts[: ends[-1]], "+".join(("UNT", str(ends[-1] - ends[0] + 1), *rest)), *parts[ends[-1] + 1 :]]
    return UNA + "\n".join((*parts, "")).encode("latin-1")


def lost_and_doubled(name: str) -> Iterator[tuple[str, bytes]]:
    parts = segments(name)
    for at, each in enumerate(parts):
        for counted in (False, True):
            yield f"without {at} {each}", joined(parts[:at] + parts[at + 1 :], counted)
            yield f"twice {at} {each}", joined(parts[: at + 1] + parts[at:], counted)


# Warnings about what a lost reason leaves behind: its group without a value, what goes beside it, its trade program
# code without it.
LEFT_ALONE = {"CAD-0008", "CAD-0228", "CAD-0297"}


def moved(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the sample with each segment inside the message at each other place."""
    parts = segments(name)
    for at in range(2, len(parts) - 2):
        rest = parts[:at] + parts[at + 1 :]
        for to in range(2, len(rest) - 1):
            if to != at:
                yield f"{at} {parts[at]} to {to}", joined([*rest[:to], parts[at], *rest[to:]])


def check_moved(name: str, every: int) -> None:
    for number, (what, body) in enumerate(moved(name)):
        if number % every == 0:
            assert len(found := findings(name, body)) <= 2, (what, found)


def check_lost_and_doubled(name: str, every: int) -> None:
    for number, (what, body) in enumerate(lost_and_doubled(name)):
        if number % every == 0 and len(found := findings(name, body)) > 1:
            codes = tuple(finding.code for finding in found if finding.code not in LEFT_ALONE)
            assert codes in (TWO_CHANGES, TWO_CHANGES[:1]), (what, found)


def elements_lost_and_doubled(name: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield the document without each of its elements, and with each twice."""
    body = (SAMPLES / name).read_bytes()
    for at in range(1, sum(1 for _ in etree.fromstring(body).iter())):
        for how in ("without", "twice"):
            root = etree.fromstring(body)
            node = list(root.iter())[at]
            above = node.getparent()
            assert above is not None
            if how == "without":
                above.remove(node)
            else:
                node.addnext(deepcopy(node))
            yield how, str(node.tag), etree.tostring(root)


def check_elements_lost_and_doubled(name: str, every: int) -> Counter[tuple[str, int]]:
    table: Counter[tuple[str, int]] = Counter()
    for number, (how, what, body) in enumerate(elements_lost_and_doubled(name)):
        if number % every == 0:
            found = findings(name, body)
            table[how, len(found)] += 1
            codes = tuple(finding.code for finding in found if finding.code not in LEFT_ALONE)
            assert len(found) <= 1 or codes in (TWO_CHANGES, TWO_CHANGES[:1]), (name, how, what, found)
    return table


def check_cut_off(name: str, every: int) -> None:
    body = (SAMPLES / name).read_bytes()
    for size in range(0, len(body.rstrip()), every):
        assert len(found := findings(name, body[:size])) == 1, (body[:size][-40:], found)


@pytest.mark.parametrize("name", NAMES)
def test_a_segment_lost_or_doubled_is_at_most_one_finding(name: str) -> None:
    check_lost_and_doubled(name, 7)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_element_lost_or_doubled_is_at_most_one_finding(name: str) -> None:
    assert check_elements_lost_and_doubled(name, 9)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_element_of_every_document_lost_or_doubled() -> None:
    table = sum((check_elements_lost_and_doubled(name, 1) for name in DOCUMENTS), Counter[tuple[str, int]]())
    print(dict(table))
    assert table == MEASURED


@pytest.mark.parametrize("name", NAMES)
def test_a_segment_moved_anywhere_is_at_most_two_findings(name: str) -> None:
    check_moved(name, 41)


@pytest.mark.parametrize("name", NAMES)
def test_a_transmission_cut_off_anywhere_is_one_finding(name: str) -> None:
    check_cut_off(name, 17)


def check_terminators(name: str, every: int) -> None:
    """Of each segment between UNH and UNT the terminator is lost, or another service character stands in its place."""
    parts = segments(name)
    for at in range(1, len(parts) - 2, every):
        for sign in ("", "+", ":", "?"):
            found = findings(name, joined([*parts[:at], parts[at][:-1] + sign, *parts[at + 1 :]]))
            assert found[0].code == "EDI-0412", (parts[at], sign, found)
            assert len(found) == 1 or parts[at].endswith("??'"), (parts[at], sign, found)


def separators(name: str) -> Iterator[tuple[str, str, bytes]]:
    """Yield the sample with each of its separators lost, twice, and as the other one: how, the segment, the body."""
    parts = segments(name)
    for at, each in enumerate(parts):
        for place in [place for place, sign in enumerate(each) if sign in "+:" and each[place - 1] != "?"]:
            left, sign, right = each[:place], each[place], each[place + 1 :]
            for how, put in (("lost", ""), ("twice", sign * 2), ("other", "+:".replace(sign, ""))):
                segment = left + put + right
                yield how, segment, joined([*parts[:at], segment, *parts[at + 1 :]])


# One behind the syntax version, or behind the tag, takes away what the segment is.
UNTOLD = re.compile(r"UNB.UNO.:3[A-Z]|UN[HTZ]\d")


def check_separators(name: str, every: int) -> None:
    for number, (how, segment, body) in enumerate(separators(name)):
        if number % every == 0:
            found = findings(name, body)
            assert len(found) <= (2 if segment[:2] != "UN" or UNTOLD.match(segment) else 1), (how, segment, found)


@pytest.mark.parametrize("name", NAMES)
def test_a_separator_lost_doubled_or_mistaken_is_at_most_two_findings_and_one_in_the_envelope(name: str) -> None:
    check_separators(name, 41)


ENDS = ("UNH", "UNT", "UNZ", "UNG", "UNE", "UNB")


@pytest.mark.parametrize("sign", ["", "+", ":", "?", " "])
@pytest.mark.parametrize("number", range(10))
def test_a_service_segment_that_ends_with_its_line_is_one_finding(number: int, sign: str) -> None:
    first, *inner, last = segments(AB)
    second = [
        each.replace("UNH+1+", "UNH+2+").replace("+49+1'", "+49+2'").replace("0000012", "0000013") for each in inner
    ]
    group = "UNG+GOVCBR+MAPLEBROKER+CARMGATEWAY+260115:1030+G1+UN+D:13A'"
    parts = [first, group, *inner, *second, "UNE+2+G1'", last, first.replace("001'", "002'"), *inner]
    parts += [last.replace("001'", "002'")]
    at = [at for at, each in enumerate(parts[:-1]) if each.startswith(ENDS)][number]
    sound = findings(AB, joined(parts))
    found = findings(AB, joined([*parts[:at], parts[at][:-1] + sign, *parts[at + 1 :]]))
    # what is wrong in an envelope is told to each message inside
    told = {finding.code for finding in found} - {finding.code for finding in sound}
    if parts[at].startswith("UNB"):  # nothing behind it can be read
        assert len(told) == 1, (sign, found)
    else:
        assert told == {"EDI-0412"}, (parts[at], sign, found)


@pytest.mark.parametrize("name", NAMES)
def test_a_segment_that_ends_with_its_line_is_one_finding(name: str) -> None:
    check_terminators(name, 11)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_every_place_of_every_sample(name: str) -> None:
    check_lost_and_doubled(name, 1)
    check_moved(name, 1)
    check_cut_off(name, 1)
    check_terminators(name, 1)
    check_separators(name, 1)


AB = "originals/ab-two-lines.edi"


def without(tag: str, number: int = 0) -> bytes:
    parts = segments(AB)
    del parts[[at for at, each in enumerate(parts) if each.startswith(tag)][number]]
    return joined(parts)


def put(new: str, ahead_of: str, number: int = 0) -> bytes:
    parts = segments(AB)
    parts.insert([at for at, each in enumerate(parts) if each.startswith(ahead_of)][number], new)
    return joined(parts)


def twice(tag: str) -> list[str]:
    parts = segments(AB)
    at = next(at for at, each in enumerate(parts) if each.startswith(tag))
    return parts[: at + 1] + parts[at:]


def shifted(tag: str, ahead_of: str) -> bytes:
    parts = segments(AB)
    each = parts.pop(next(at for at, each in enumerate(parts) if each.startswith(tag)))
    parts.insert(next(at for at, other in enumerate(parts) if other.startswith(ahead_of)), each)
    return joined(parts)


def changed(old: str, new: str) -> bytes:
    return joined([each.replace(old, new) for each in segments(AB)])


def no_amount() -> list[str]:
    return [each for each in segments(AB) if "+77:1200" not in each]


def small_letters() -> bytes:
    first, *rest = segments(AB)
    return joined([first, *(each.lower() for each in rest)])


# What is done to the sample; the finding, its segment, and what its English text says.
CASES: dict[str, tuple[bytes, str, int | None, str]] = {
    "UNS+S behind BGM": (put("UNS+S'", "DTM"), "EDI-0402", 3, "UNS may not stand here"),
    "UNS+D moved to the front": (shifted("UNS+D", "DTM"), "EDI-0409", 3, "belongs behind segment 15, TDT"),
    "HYN moved up": (shifted("HYN", "NAD+SE"), "EDI-0409", 18, "belongs behind segment 45, TAX"),
    "LIN moved up": (shifted("LIN+1", "RFF+ON"), "EDI-0409", 17, "belongs behind segment 23, MOA"),
    "TAX moved up": (shifted("TAX", "DTM+11"), "EDI-0409", 30, "belongs behind segment 33, TCC"),
    "a header's date among the invoices": (shifted("DTM+58", "DOC"), "EDI-0409", 19, "belongs behind segment 3, DTM"),
    "UNS lost": (without("UNS+D"), "EDI-0403", 14, "UNS (group 0) is missing"),
    "GID lost": (without("GID", 1), "EDI-0403", 38, "GID (group 117) is missing"),
    "DOC lost": (without("DOC"), "EDI-0403", 19, "DOC (group 51) is missing"),
    "LIN lost": (without("LIN", 1), "EDI-0403", 33, "LIN (group 101) is missing"),
    "UNH lost": (without("UNH"), "EDI-0108", None, "BGM may not stand between messages"),
    "UNT lost": (without("UNT"), "EDI-0301", 48, "expected next: UNT"),
    "UNH twice": (put("UNH+1+GOVCBR:D:13A:UN:CAD+1.00'", "BGM"), "EDI-0404", 2, "UNH is repeated"),
    "another tag": (changed("GID+1", "GIX+1"), "EDI-0401", 28, "GIX is not known"),
    "small tags": (changed("DTM+", "dtm+"), "EDI-0411", 3, "DTM, not dtm"),
    "NAD twice": (joined(twice("NAD+IM"), counted=True), "CAD-0006", 10, "is given 2 times"),
    "MOA lost": (joined(no_amount(), counted=True), "CAD-0001", 23, "is missing"),
    "small tags behind UNB": (small_letters(), "EDI-0411", None, "UNH, not unh"),
    "a Cyrillic letter behind UNB": (changed("UNH", "UN\u00d0\u009d"), "EDI-0411", None, "letters A to Z: UNH"),
    "a small UNZ": (changed("UNZ", "unz"), "EDI-0411", None, "UNZ, not unz"),
    "a terminator lost": (changed("LIN+1'", "LIN+1"), "EDI-0412", 23, "LIN ends with its line"),
    "a separator twice": (changed("MEA+AAR++KGM:10'", "MEA++AAR++KGM:10'"), "EDI-0522", 31, "once too often"),
    "a separator twice behind BGM": (changed("BGM+", "BGM++"), "EDI-0522", 2, "BGM stands there once too often"),
    "empty segments": (changed("DTM", "'DTM"), "EDI-0407", 3, "nothing between two segment terminators"),
    "cut off": (joined(segments(AB)[:30]), "EDI-0301", 29, "expected next: HYN"),
    "cut off in a segment": (joined(segments(AB)[:30])[:-9], "EDI-0301", 29, "expected next: HYN"),
    "nothing between UNH and UNT": (
        joined([*segments(AB)[:2], "UNT+2+1'", "UNZ+1+MB000001'"]), "EDI-0410", 1, "BGM, UNS, HYN, UNS",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_what_is_told(kind: str) -> None:
    body, code, segment, words = CASES[kind]
    found = findings(AB, body)
    told = [(each.code, each.place.segment) for each in found]
    assert told[0] == (code, segment)
    assert words in found[0].text.en
    assert len(told) == (2 if kind in ("another tag", "a Cyrillic letter behind UNB") else 1)  # UTF-8 under UNOC, too


@pytest.mark.parametrize("sign", ["", "+", ":", "?"])
def test_a_trailer_among_the_segments_that_ends_with_its_line_is_told(sign: str) -> None:
    found = findings(AB, put(f"UNT+2+1{sign}", "HYN"))
    assert [each.code for each in found] == ["EDI-0403", "EDI-0412", "EDI-0409", "EDI-0108"]


def test_two_wrong_values_of_a_segment_are_not_taken_for_a_separator_too_many() -> None:
    found = findings(AB, changed("++Hamburg+++DE'", f"++Hamburg++{'1' * 18}+DEUT'"))
    assert [(each.code, each.place.element) for each in found] == [("EDI-0508", 9), ("EDI-0508", 10)]


def test_of_an_interchange_cut_off_no_message_is_accepted() -> None:
    parts = segments(AB)
    second = [each.replace("UNH+1+", "UNH+2+").replace("+49+1'", "+49+2'") for each in parts[1:-1]]
    outcome = pipeline.handle(
        Received("0" * 32, "maple", joined([*parts[:-1], *second[:9]]), NOW), Facts(PARTNERS["maple"]), PLANS
    )
    codes = [[finding.code for finding in judged.findings] for judged in outcome.judged]
    assert codes == [["EDI-0103"], ["EDI-0301"]]


def _seconds(body: bytes, table: Structure) -> float:
    text = next(each for each in read(body, DIRECTORIES) if isinstance(each, MessageText))
    gc.disable()  # its full passes come at steps of their own
    try:
        begin = time.process_time()
        assert explain(text, table)
        return time.process_time() - begin
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["UNS+S", "LIN+9", "XXX+1"])
@pytest.mark.parametrize("profile", [True, False], ids=["profile", "UN table"])
def test_the_time_to_explain_grows_with_the_message(fault: str, profile: bool) -> None:
    plan = next(iter(PLANS.reading.edifact.values()))
    table = plan.profiles["3"] if profile else plan.tables["3"]
    spent = []
    for lines in (200, 400, 800):
        inner = [each for _ in range(lines) for each in (*GOVCBR[16:19], fault, *GOVCBR[19:24])]
        body = interchange(message("GOVCBR", [*GOVCBR[:16], *inner, *GOVCBR[-3:]], "1"))
        spent.append(min(_seconds(body, table) for _ in range(3)))  # others share the machine
    assert all(after < 2.3 * ahead + 0.1 for ahead, after in pairwise(spent)), spent
