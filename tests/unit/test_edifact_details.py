"""Details of ISO 9735 that the field writes in more ways than one: trailing separators, groups, places, time zones."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from edifact.pictures import pattern_of
from edifact.segment import is_date
from edifact.syntax import RELEASED
from tests.support.edifact_cases import judge
from tests.unit.test_edifact_envelopes import GROUPED, ONE, UNB, UNB4, UNG, UNZ, WHOLE


def told(text: str) -> list[tuple[str, str | None, int | None, int | None, int | None]]:
    """Return the code, 0085 code, segment, element and component of each finding in the messages."""
    faults, _ = judge(text.encode("latin-1"))
    return [
        (fault.code, fault.syntax_error, place.segment, place.element, place.component)
        for found in faults.values()
        for fault in found
        if (place := fault.place)
    ]


@pytest.mark.parametrize(
    ("old", "new", "element"),
    [
        ("CTA+DI'", "CTA+DI+'", 3),
        ("CTA+DI'", "CTA+DI+:'", 3),
        ("CTA+DI'", "CTA+DI+::'", 3),
        ("CTA+DI'", "CTA+DI++:'", 4),
        ("RFF+XC:ABCD1234567890'", "RFF+XC:ABCD1234567890:'", 2),
        ("NAD+CA+ABCD'", "NAD+CA+ABCD:'", 3),
        ("NAD+CA+ABCD'", "NAD+CA+ABCD+:+'", 5),
        ("LOC+22+0009'", "LOC+22+0009+:'", 4),
    ],
)
@pytest.mark.parametrize(("header", "code", "error"), [(UNB, "EDI-0505", None), (UNB4, "EDI-0506", "45")])
def test_separators_that_end_a_segment_or_composite_are_told(
    header: str, code: str, error: str | None, old: str, new: str, element: int
) -> None:
    assert old in ONE
    (found,) = told(f"{header}{ONE.replace(old, new)}{UNZ}")
    assert found[:2] == (code, error)


def test_no_separator_too_many_is_seen_where_none_is() -> None:
    assert told(f"{UNB4}{ONE}{UNZ}") == []


# ------------------------------------------------------------------------------------------------ S008 of UNG


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("D:13A", []),
        ("D:13A:CAD", []),
        ("D:13A:IID", [("EDI-0311", "12", 1, 3, 5)]),
        ("D:96B:CAD", [("EDI-0311", "12", 1, 3, 3)]),
    ],
)
def test_the_association_code_of_a_group_is_that_of_its_messages(
    said: str, expected: list[tuple[str, str, int, int, int]]
) -> None:
    assert told(GROUPED.replace(UNG, UNG.replace("D:13A", said))) == expected


# ------------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize("end", ["", "\r\n", "\n", "\r\n\t "])
def test_a_segment_that_is_too_long_is_told_where_it_begins(end: str) -> None:
    long = "FTX+AAA+++" + "x" * limits.SEGMENT_BYTES + "'"
    text = WHOLE.replace("LOC+22", long + "LOC+22").replace("'", "'" + end)
    faults, _ = judge(text.encode("latin-1"))
    (fault,) = (fault for found in faults.values() for fault in found if fault.code == "EDI-0308")
    place = fault.place
    assert place
    assert place.line
    assert place.column
    assert text.split("\n")[place.line - 1][place.column - 1 :].startswith("FTX+AAA+++x")
    assert (fault.value or "").startswith("FTX")


# ------------------------------------------------------------------------------------------------ dates


def decided(text: str, picture: str) -> bool:
    """Tell whether the pattern of a picture takes a date, in which a plus and a colon must be released."""
    written = text.translate({ord(sign): RELEASED + ord(sign) for sign in "+:"})
    return re.fullmatch(pattern_of(picture) or "(?!)", written) is not None


@pytest.mark.parametrize("zone", ["EST", "EDT", "Z", "UTC", "-05", "+00", "+05", "-0500", "+0530", "-05:00"])
@pytest.mark.parametrize(
    ("picture", "moment"), [("CCYYMMDDhhmmssZZZ", "20260115103000"), ("CCYYMMDDhhmmZZZ", "202601151030")]
)
def test_time_zones_are_taken_as_the_field_writes_them(picture: str, moment: str, zone: str) -> None:
    assert is_date(moment + zone, picture)
    assert decided(moment + zone, picture)


@pytest.mark.parametrize("zone", ["", "5", "-5", "05", "-15", "-0560", "E1T", "-05:", "LOCALTIME", " Z", "-\u0660"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    assert not is_date("20260115103000" + zone, "CCYYMMDDhhmmssZZZ")
    assert not decided("20260115103000" + zone, "CCYYMMDDhhmmssZZZ")


@pytest.mark.parametrize(
    "picture", ["CCYYMMDD", "YYMMDD", "CCYYMM", "CCYYWW", "CCYY", "YYMM", "hhmm", "hhmmss", "YYMMDDhhmm"]
)
@given(st.data())
def test_a_pattern_knows_the_dates_of_its_picture(picture: str, data: st.DataObject) -> None:
    size = len(picture)
    good = st.from_regex(pattern_of(picture) or "", fullmatch=True)
    text = data.draw(st.text("0123456789", min_size=size, max_size=size) | good)
    assert decided(text, picture) is is_date(text, picture)


def test_a_time_zone_that_is_released_is_read() -> None:
    text = WHOLE.replace("DTM+137:20260115:102", "DTM+137:20260115103000?+05:304")
    assert told(text) == []
    assert [each[0] for each in told(text.replace("?+05", "?+5"))] == ["EDI-0511"]
