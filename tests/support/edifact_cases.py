"""EDIFACT messages for the tests: a GOVCBR and a CUSDEC without fault, and the 18 faults of the peers' comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.envelope import Interchange
from core.findings import Fault
from edifact import message as messages
from edifact import reader as edifact
from edifact.directory import Directories, Structure
from edifact.envelope import check_interchange
from edifact.loading import load
from edifact.match import Matchers
from edifact.reader import MessageText

SPECS = Path(__file__).resolve().parents[2] / "eccrd_specs" / "edifact"
DIRECTORIES: Directories = load(SPECS)
MATCHERS = Matchers()

UNB = "UNB+UNOB:3+SENDER:14+CBSA:14+240301:1200+REF1"
GOVCBR = (
    "BGM+AB:CAD+12345678901234:00001+9",
    "DTM+137:20240301:102",
    "RFF+ABO:ORDER-7",
    "LOC+22+0009",
    "NAD+IM+123456789RM0001++WIDGETS LTD+1 MAIN ST+OTTAWA+ON+K1A0B1+CA",
    "CTA+DI",
    "COM+6135550100:TE",
    "RCS+11+10",
    "FTX+ACD++10:ACD",
    "UNS+D",
    "SEQ++1",
    "RFF+ON:PO-1",
    "NAD+SE+++VENDOR INC",
    "DOC+380+INV-1",
    "SEQ++1",
    "MOA+39:1200.50:CAD",
    "LIN+1",
    "MOA+77:1000:CAD",
    "LOC+27+US",
    "GID+1",
    "FTX+AAA+++STEEL WIDGETS",
    "MEA+AAR++NMB:12",
    "TCC+++8471300000:HS",
    "TAX+7+CUD",
    "LIN+2",
    "MOA+77:200.5:CAD",
    "LOC+27+MX",
    "GID+1",
    "FTX+AAA+++BRASS WIDGETS",
    "MEA+AAR++KGM:3.5",
    "TCC+++7326900000:HS",
    "TAX+7+GST",
    "HYN+3",
    "UNS+S",
    "CNT+5:2",
)
CUSDEC = (
    "BGM+929+LRN0001::00001+9",
    "CST++A:117:ZZZ",
    "LOC+14+LOCGO::ZZZ",
    "LOC+35+AU::5",
    "DTM+132:20240220:102",
    "GIS+N:127:ZZZ",
    "MEA+AAE+AAD+KGM:10.00",
    "RFF+AAS:083-00000000",
    "DTM+137:20240210:102",
    "TDT+20++4",
    "NAD+CB+40229586E::ZZZ",
    "MOA+39:1500",
    "UNS+D",
    "CST+1+84713000:122",
    "FTX+AAA+++STEEL WIDGETS",
    "LOC+27+US",
    "MEA+AAE+AAB+KGM:10",
    "MOA+123:1000",
    "TAX+1+CUD",
    "MOA+161:50",
    "CST+2+73269000:122",
    "FTX+AAA+++BRASS WIDGETS",
    "LOC+27+MX",
    "MOA+123:500",
    "UNS+S",
    "CNT+5:2",
)
IDENTIFIERS = {"GOVCBR": "GOVCBR:D:13A:UN:CAD1.0", "CUSDEC": "CUSDEC:D:96B:UN:ZZZ01"}
SEGMENTS = {"GOVCBR": GOVCBR, "CUSDEC": CUSDEC}


def message(kind: str, segments: tuple[str, ...] | list[str], reference: str, unt: str | None = None) -> str:
    """Return a message, with a correct UNT unless another is given."""
    inner = "".join(f"{segment}'" for segment in segments)
    return f"UNH+{reference}+{IDENTIFIERS[kind]}'{inner}{unt or f'UNT+{len(segments) + 2}+{reference}'}'"


def interchange(*messages: str, unz: str | None = None, unb: str = UNB) -> bytes:
    """Return an interchange of messages, with a correct UNZ unless another is given."""
    return f"{unb}'{''.join(messages)}{unz or f'UNZ+{len(messages)}+REF1'}'".encode("latin-1")


Report = tuple[dict[int, tuple[Fault, ...]], list[Interchange]]


def explain(message: MessageText, structure: Structure | None, told: int = 0) -> Sequence[Fault]:
    """Return what is wrong with a message without patterns of whole UN messages, which take a second to compile.

    tests/unit/test_edifact_fast.py shows that `edifact.message.check` says the same.
    """
    return messages.explain(message, structure, told=told)


def check(message: MessageText, structure: Structure | None, told: int = 0) -> Sequence[Fault]:
    """Return what is wrong with a message as the gateway finds it."""
    return messages.check(message, structure, MATCHERS, told=told)


def judge(body: bytes, checked: Callable[[MessageText, Structure | None, int], Sequence[Fault]] = explain) -> Report:
    """Return the faults of each message by ordinal, and the interchanges."""
    faults: dict[int, tuple[Fault, ...]] = {}
    interchanges = []
    told = 0
    for found in edifact.read(body, DIRECTORIES):
        if isinstance(found, edifact.MessageText):
            structure = DIRECTORIES.structure(found.identifier, found.interchange.syntax_version)
            faults[found.ordinal] = tuple(checked(found, structure, told))
            told += messages.counted(faults[found.ordinal])
        else:
            interchanges.append(check_interchange(found, MATCHERS))
    return faults, interchanges


def brief(fault: Fault) -> tuple[object, ...]:
    """Return what an expectation names: 0085 code, service segment, segment, element, component."""
    place = fault.place
    assert place is not None
    return (fault.syntax_error, fault.service_segment, place.segment, place.element, place.component)


# ------------------------------------------------------------------------------------------------ the 18 faults

Change = Callable[[list[str]], None]


@dataclass(frozen=True)
class Case:
    """One seeded fault: how it is made, and the one finding that it must give.

    `change` works on the segments of one message. `at` is the segment that must be named, by how it begins after the
    change (`~`: the one before it); `error` 0085, `element` and `component` as CONTRL counts them, `service` the
    service segment. The trailers are written wrong by `unt` and `unz`; `reference` is the message's.
    """

    name: str
    error: str
    at: str
    element: int | None = None
    component: int | None = None
    service: str | None = None
    change: Change = lambda segments: None
    unt: str | None = None
    unz: str | None = None
    reference: str = "2"


def index(segments: list[str], start: str) -> int:
    """Return the index of the first segment that begins so."""
    return next(i for i, segment in enumerate(segments) if segment.startswith(start))


def replaced(start: str, old: str, new: str) -> Change:
    """Return a change of one segment's text."""

    def change(segments: list[str]) -> None:
        i = index(segments, start)
        assert old in segments[i]
        segments[i] = segments[i].replace(old, new, 1)

    return change


def inserted(before: str, *texts: str) -> Change:
    """Return a change that puts segments before another."""

    def change(segments: list[str]) -> None:
        i = index(segments, before)
        segments[i:i] = texts

    return change


def deleted(start: str) -> Change:
    """Return a change that leaves a segment out."""

    def change(segments: list[str]) -> None:
        del segments[index(segments, start)]

    return change


def moved(start: str, before: str) -> Change:
    """Return a change that moves a segment before another."""

    def change(segments: list[str]) -> None:
        segment = segments.pop(index(segments, start))
        segments.insert(index(segments, before), segment)

    return change


ENVELOPE = (
    Case("wrong UNT count", "29", "UNT", 2, service="UNT", unt="UNT+99+2"),
    Case("wrong UNT reference", "28", "UNT", 3, service="UNT", unt="UNT+{count}+9"),
    Case("duplicate message reference", "26", "UNH", 2, service="UNH", reference="1"),
    Case("wrong UNZ count", "29", "UNZ", 2, service="UNZ", unz="UNZ+4+REF1"),
    Case("wrong UNZ reference", "28", "UNZ", 3, service="UNZ", unz="UNZ+3+REF9"),
)
CASES: dict[str, tuple[Case, ...]] = {
    "GOVCBR": (
        Case("unknown segment", "15", "XYZ", change=inserted("LOC+22", "XYZ+1")),
        Case("missing mandatory component", "13", "MOA+:", 2, 1, change=replaced("MOA+77:1000", "77", "")),
        Case("element too long", "39", "BGM", 4, change=replaced("BGM", "01+9", "01+9999")),
        Case("letters in a number", "37", "MOA+39", 2, 2, change=replaced("MOA+39", "1200", "12OO")),
        Case("too many components", "16", "RFF+ABO", 2, 6, change=replaced("RFF+ABO", "-7", "-7::::X")),
        Case("too many elements", "16", "RFF+ON", 3, change=replaced("RFF+ON", "PO-1", "PO-1+X")),
        Case("missing mandatory segment", "13", "~UNS+S", change=deleted("HYN")),
        Case("segment out of order", "15", "FTX+ACD", change=moved("FTX+ACD", "SEQ")),
        Case("too many repeats", "35", "CUX+2:USD", change=inserted("LOC+22", *["CUX+2:CAD"] * 9, "CUX+2:USD")),
        Case("code not in list", "12", "TAX+77", 2, change=replaced("TAX+7+CUD", "7", "77")),
        Case("impossible calendar date", "12", "DTM", 2, 2, change=replaced("DTM", "20240301", "20230229")),
        Case("control total that disagrees", "29", "CNT", 2, 2, change=replaced("CNT", "5:2", "5:7")),
        Case("character outside the repertoire", "21", "FTX+AAA", 5, 1, change=replaced("FTX+AAA", "STEEL", "ST\xc9L")),
        *ENVELOPE,
    ),
    "CUSDEC": (
        Case("unknown segment", "15", "XYZ", change=inserted("LOC+14", "XYZ+1")),
        Case("missing mandatory component", "13", "MOA+:", 2, 1, change=replaced("MOA+123:1000", "123", "")),
        Case("element too long", "39", "BGM", 4, change=replaced("BGM", "01+9", "01+9999")),
        Case("letters in a number", "37", "MOA+39", 2, 2, change=replaced("MOA+39", "1500", "15OO")),
        Case("too many components", "16", "RFF+AAS", 2, 5, change=replaced("RFF+AAS", "-0", "-0:::X")),
        Case("too many elements", "16", "MOA+161", 3, change=replaced("MOA+161", "50", "50+X")),
        Case("missing mandatory segment", "13", "~CNT", change=deleted("UNS+S")),
        Case("segment out of order", "15", "FTX+AAA+++ST", change=moved("LOC+27+US", "FTX+AAA+++ST")),
        Case("too many repeats", "35", "MEA+WT", change=inserted("RFF", *["MEA+AAE"] * 4, "MEA+WT")),
        Case("code not in list", "12", "DTM+137", 2, 3, change=replaced("DTM+137", "102", "999")),
        Case("impossible calendar date", "12", "DTM+132", 2, 2, change=replaced("DTM+132", "20240220", "20240230")),
        Case("control total that disagrees", "29", "CNT", 2, 2, change=replaced("CNT", "5:2", "5:7")),
        Case(
            "character outside the repertoire",
            "21",
            "FTX+AAA+++B",
            5,
            1,
            change=replaced("FTX+AAA+++B", "BRASS", "BR\xc4SS"),
        ),
        *ENVELOPE,
    ),
}


def seeded(kind: str, cases: tuple[Case, ...]) -> tuple[bytes, set[tuple[object, ...]]]:
    """Return an interchange of three messages with faults in the second, and the findings that it must give."""
    segments = list(SEGMENTS[kind])
    for case in cases:
        case.change(segments)
    reference = next((case.reference for case in cases if case.reference != "2"), "2")
    names = {case.name for case in cases}
    count = "99" if "wrong UNT count" in names else str(len(segments) + 2)
    unt = f"UNT+{count}+{'9' if 'wrong UNT reference' in names else reference}"
    unz = f"UNZ+{'4' if 'wrong UNZ count' in names else '3'}+{'REF9' if 'wrong UNZ reference' in names else 'REF1'}"
    good = SEGMENTS[kind]
    body = interchange(
        message(kind, good, "1"), message(kind, segments, reference, unt), message(kind, good, "3"), unz=unz
    )
    written = [f"UNH+{reference}", *segments, unt]
    expected = set()
    for case in cases:
        if case.service == "UNZ":
            expected.add((case.error, "UNZ", None, case.element, case.component))
            continue
        start = case.at.removeprefix("~")
        number = index(written, start) + 1 - (start != case.at)
        expected.add((case.error, case.service, number, case.element, case.component))
    return body, expected
