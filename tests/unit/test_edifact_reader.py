"""The EDIFACT reader: service characters, character sets, envelopes, places; and it agrees with an independent one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydifact.parser import Parser

from core.errors import Malformed
from edifact import reader as edifact
from tests.support.edifact_cases import DIRECTORIES, GOVCBR, UNB, interchange, judge, message


def read(body: bytes) -> tuple[list[edifact.MessageText], list[edifact.InterchangeText]]:
    found = list(edifact.read(body, DIRECTORIES))
    return (
        [each for each in found if isinstance(each, edifact.MessageText)],
        [each for each in found if isinstance(each, edifact.InterchangeText)],
    )


def test_segments_are_elements_of_components_with_releases_resolved() -> None:
    (one,), (envelope,) = read(interchange("UNH+1+GOVCBR:D:13A:UN'FTX+AAA+++A?+B?:C?'D??:E'UNT+3+1'"))
    assert one.tags == ["UNH", "FTX", "UNT"]
    assert one.segments[1] == [["FTX"], ["AAA"], [""], [""], ["A+B:C'D?", "E"]]
    assert one.value(1, 4, 2) == "E"
    assert one.value(1, 9) == ""
    assert (one.reference, one.identifier[:2]) == ("1", ("GOVCBR", "D"))
    assert (envelope.sender, envelope.recipient, envelope.reference) == (("SENDER", "14"), ("CBSA", "14"), "REF1")


def test_una_names_the_service_characters() -> None:
    body = "UNA|~,! ;UNB~UNOC|3~S~R~240301|1200~REF1;UNH~1~GOVCBR|D|13A|UN;FTX~A!~B+:?'!!!;|C;UNT~3~1;UNZ~1~REF1;"
    (one,), _ = read(body.encode())
    assert one.segments[1] == [["FTX"], ["A~B+:?'!;", "C"]]


def test_level_b_separators_need_no_una() -> None:
    body = interchange(message("GOVCBR", GOVCBR, "1")).translate(bytes.maketrans(b":+'", b"\x1f\x1d\x1c"))
    faults, (envelope,) = judge(body)
    assert faults == {1: ()}
    assert envelope.faults == ()


def test_syntax_4_repeats_and_a_star_is_data_in_syntax_3() -> None:
    segments = "COM+1:TE*2:FX'"
    three = f"{UNB}'UNH+1+GOVCBR:D:13A:UN'{segments}UNT+3+1'UNZ+1+REF1'"
    four = three.replace("UNOB:3", "UNOC:4").replace("+240301:", "+20240301:")
    assert read(three.encode())[0][0].segments[1] == [["COM"], ["1", "TE*2", "FX"]]
    assert read(four.encode())[0][0].segments[1] == [["COM"], ["1", "TE"], ["2", "FX"]]


@pytest.mark.parametrize("gap", ["", "\r\n", "\n", " \n "])
def test_line_ends_between_segments_are_ignored(gap: str) -> None:
    body = interchange(message("GOVCBR", GOVCBR, "1")).replace(b"'", b"'" + gap.encode())
    faults, (envelope,) = judge(body)
    assert (faults, envelope.faults) == ({1: ()}, ())


def test_a_byte_order_mark_and_leading_lines_are_skipped() -> None:
    body = b"\xef\xbb\xbf\r\n" + interchange(message("GOVCBR", GOVCBR, "1"))
    (one,), _ = read(body)
    assert (one.place(1).line, one.place(1).column) == (2, len(UNB) + 2)


@pytest.mark.parametrize(
    ("charset", "codec", "letter"),
    [
        ("UNOC", "latin-1", "é"),
        ("UNOD", "iso8859-2", "ł"),
        ("UNOE", "iso8859-5", "Ж"),
        ("UNOF", "iso8859-7", "λ"),
        ("UNOG", "iso8859-3", "ħ"),
        ("UNOH", "iso8859-4", "ģ"),
        ("UNOI", "iso8859-6", "ش"),
        ("UNOJ", "iso8859-8", "ש"),
        ("UNOK", "iso8859-9", "ğ"),
        ("UNOL", "iso8859-15", "€"),
        ("UNOW", "utf-8", "€漢🙂"),
    ],
)
def test_every_character_set_is_read_as_declared(charset: str, codec: str, letter: str) -> None:
    segments = ["FTX+AAA+++" + letter if segment.startswith("FTX+AAA") else segment for segment in GOVCBR]
    text = interchange(message("GOVCBR", segments, "1")).decode("latin-1") if codec == "latin-1" else None
    text = text or f"{UNB}'{message('GOVCBR', segments, '1')}UNZ+1+REF1'"
    body = text.replace("UNOB:3", f"{charset}:4").replace("+240301:", "+20240301:").encode(codec)
    faults, (envelope,) = judge(body)
    assert (faults, envelope.faults) == ({1: ()}, ())
    (one,), _ = read(body)
    assert one.value(one.tags.index("FTX") + 12, 4) == letter


def test_bytes_that_are_not_utf_8_are_a_fault_where_they_stand_and_nothing_is_replaced() -> None:
    text = (
        interchange(message("GOVCBR", GOVCBR, "1"))
        .replace(b"UNOB:3", b"UNOW:4")
        .replace(b"+240301:", b"+20240301:")
        .replace(b"STEEL", b"ST\xff\xc3L")
    )
    faults, _ = judge(text)
    assert [(fault.code, fault.syntax_error) for fault in faults[1]] == [("EDI-0514", "21")]
    (one,), _ = read(text)
    assert one.text.encode("utf-8", "surrogateescape") in text


def test_groups_and_several_interchanges_in_one_transmission() -> None:
    grouped = (
        f"{UNB}'UNG+GOVCBR+S+R+240301:1200+G1+UN+D:13A'{message('GOVCBR', GOVCBR, '1')}UNE+1+G1'UNZ+1+REF1'"
        f"UNA:+.? '{UNB}'{message('GOVCBR', GOVCBR, '1')}UNZ+1+REF1'"
    )
    messages, envelopes = read(grouped.encode())
    assert [each.ordinal for each in messages] == [1, 2]
    assert [each.envelope.group for each in messages] == ["G1", None]
    faults, judged = judge(grouped.encode())
    assert faults == {1: (), 2: ()}
    assert [(each.faults, each.groups[0].reference, each.groups[0].faults) for each in judged] == [
        ((), "G1", ()),
        ((), None, ()),
    ]
    assert len(envelopes) == 2


@pytest.mark.parametrize("tag", ["UNA1234", "UNB1234", "UNH+1+"])
def test_references_and_data_that_look_like_tags_are_data(tag: str) -> None:
    text = tag.replace("+", "?+")
    segments = [f"FTX+AAA+++{text}" if segment.startswith("FTX+AAA") else segment for segment in GOVCBR]
    faults, (envelope,) = judge(interchange(message("GOVCBR", segments, "UNA1234")))
    assert (faults, envelope.faults) == ({1: ()}, ())


def test_a_smuggled_interchange_in_released_text_stays_text() -> None:
    evil = "X?'UNA?:?+.?? ?'UNB?+UNOC?:3?+EVIL?+X?'"
    segments = [f"FTX+AAA+++{evil}" if segment.startswith("FTX+AAA") else segment for segment in GOVCBR]
    (one,), (envelope,) = read(interchange(message("GOVCBR", segments, "1")))
    assert envelope.sender == ("SENDER", "14")
    assert one.value(one.tags.index("FTX") + 12, 4) == "X'UNA:+.? 'UNB+UNOC:3+EVIL+X'"


def test_a_message_without_unt_leaves_the_next_one_alone() -> None:
    headless = message("GOVCBR", GOVCBR, "1").rpartition("UNT")[0]
    faults, (envelope,) = judge(interchange(headless, message("GOVCBR", GOVCBR, "2")))
    assert [fault.code for fault in faults[1]] == ["EDI-0301"]
    assert (faults[2], envelope.faults) == ((), ())


def test_places_count_lines_and_columns_of_the_decoded_text() -> None:
    body = interchange(message("GOVCBR", ["FTX+AAA+++ÉÉ:X", "BGM+1"], "1")).decode("latin-1").replace("'", "'\r\n")
    (one,), _ = read(body.replace("UNOB:3", "UNOW:4").encode())
    place = one.place(2, 5, 2)
    assert (place.line, place.column) == (3, len("FTX+AAA+++ÉÉ:") + 1)
    place = one.place(3, 2)
    assert (place.line, place.column, place.message, place.interchange) == (4, 5, "1", "REF1")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "EDI-0001"),
        (b" \r\n", "EDI-0001"),
        (b"HELLO", "EDI-0002"),
        (b"UNH+1+GOVCBR:D:13A:UN'", "EDI-0002"),
        (b"UNA::::::UNB:", "EDI-0003"),
        (b"UNAabcdefUNBb", "EDI-0003"),
        (b"UNA:+.", "EDI-0002"),
        (b"UNA:+.? 'UNB;UNOC:3;S;R'", "EDI-0004"),
        (b"UNB+UNOC:3+S+R", "EDI-0005"),
        (b"UNB+UNOC:3+" + b"A" * 5_000_000, "EDI-0005"),
        (b"UNB+UNOC:3+S+R+240301:1200+1\r\nUNH+1+GOVCBR:D:13A:UN\r\nFTX+AAA+++D'OR\r\n", "EDI-0005"),
        (b"UNB+UNOC:3+S+R+240301:1200+1~UNH+1+GOVCBR:D:13A:UN~FTX+AAA+++D'OR~", "EDI-0005"),
        (b"UNB+UNOC:3+S+R+240301:1200+1'" + b"UNH+1'UNT+2+1'" * 100_000, "EDI-0006"),
    ],
)
def test_what_cannot_be_read_is_malformed(body: bytes, code: str) -> None:
    with pytest.raises(Malformed) as raised:
        read(body)
    assert raised.value.code == code


def test_a_name_that_is_a_tag_ends_no_header() -> None:
    (envelope,) = read(b"UNA|~.? 'UNB~UNOC|3~UNH~UNG|UNH~240301|1200~1'UNZ~0~1'")[1]
    assert (envelope.sender, envelope.recipient) == (("UNH",), ("UNG", "UNH"))


def test_a_later_interchange_that_cannot_be_read_does_not_harm_the_first() -> None:
    faults, envelopes = judge(interchange(message("GOVCBR", GOVCBR, "1")) + b"UNA::::::UNB:")
    assert faults == {1: ()}
    assert [[fault.code for fault in each.faults] for each in envelopes] == [[], ["EDI-0115"]]


# ------------------------------------------------------------------------------------------------ properties

SERVICE = "UNA:+.?*'"
ANYTHING = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x2FFF, exclude_categories=["Cs", "Cc"]), max_size=12
)
COMPONENTS = st.lists(ANYTHING, min_size=1, max_size=4)
SEGMENTS = st.lists(st.lists(COMPONENTS, min_size=1, max_size=5), min_size=1, max_size=6)
CHARSETS = st.sampled_from(
    [*((charset, version) for charset in ("UNOC", "UNOD", "UNOE", "UNOF") for version in "34")]
    + [(charset, "4") for charset in ("UNOK", "UNOL", "UNOW")]
)


def released(text: str, signs: str) -> str:
    return "".join("?" + c if c in signs else c for c in text)


def write(segments: list[list[list[str]]], version: str) -> str:
    """Write segments by the book; their tags are XXX."""
    signs = "?:+'" + ("*" if version == "4" else "")
    return "".join(
        "XXX+" + "+".join(":".join(released(c, signs) for c in element) for element in segment) + "'"
        for segment in segments
    )


@given(SEGMENTS, CHARSETS, st.booleans())
def test_writing_and_reading_is_the_identity(
    segments: list[list[list[str]]], written: tuple[str, str], with_una: bool
) -> None:
    charset, version = written
    codec = {"UNOC": "latin-1", "UNOD": "iso8859-2", "UNOE": "iso8859-5", "UNOF": "iso8859-7"}.get(charset) or {
        "UNOK": "iso8859-9",
        "UNOL": "iso8859-15",
        "UNOW": "utf-8",
    }[charset]
    segments = [
        [[c.encode(codec, "ignore").decode(codec) for c in element] for element in segment] for segment in segments
    ]
    una = (SERVICE if version == "4" else SERVICE.replace("*", " ")) if with_una else ""
    inner = write(segments, version)
    text = f"{una}UNB+{charset}:{version}+S+R+240301:1200+R1'UNH+1+X:D:1:UN'{inner}UNT+1+1'UNZ+1+R1'"
    (one,), (envelope,) = read(text.encode(codec))
    assert one.segments[1:-1] == [[["XXX"], *segment] for segment in segments]
    assert envelope.trailer is not None
    for number, segment in enumerate(segments, 2):
        for element, components in enumerate(segment, 2):
            for component, value in enumerate(components, 1):
                place = one.place(number, element, component)
                signs = "?:+'" + ("*" if version == "4" else "")
                assert place.line == 1
                assert text[(place.column or 0) - 1 :].startswith(released(value, signs))


PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12)


@given(st.lists(st.lists(st.lists(PLAIN, min_size=2, max_size=4), min_size=1, max_size=5), min_size=1, max_size=6))
def test_pydifact_reads_the_same(segments: list[list[list[str]]]) -> None:
    text = f"UNH+1+X:D:1:UN'{write(segments, '3')}UNT+1+1'"
    (one,), _ = read(f"UNB+UNOC:3+S+R+240301:1200+R1'{text}UNZ+1+R1'".encode())
    theirs = [[[segment.tag], *segment.elements] for segment in Parser().parse(f"UNA:+.? '{text}")]
    assert one.segments[1:-1] == [segment for segment in theirs if segment[0] == ["XXX"]]


# ------------------------------------------------------------------------------------------------ needless releases


def warned(una: str, text: str, syntax: str = "UNOC:3") -> list[str]:
    """Return the codes on a description that is written as given, under a UNA that may name other signs."""
    plus, colon, end = (una[4], una[3], una[8]) if una else ("+", ":", "'")
    body = interchange(message("GOVCBR", GOVCBR, "1")).decode().replace("UNOB:3", syntax)
    body = body.replace("240301:1200", "20240301:1200") if syntax.endswith("4") else body
    body = body.replace("STEEL WIDGETS", "\1").translate(str.maketrans({"+": plus, ":": colon, "'": end}))
    faults, _ = judge((una + body.replace("\1", text)).encode("latin-1"))
    return [fault.code for fault in faults[1]]


@pytest.mark.parametrize(
    ("una", "text", "syntax", "codes"),
    [
        ("", "A?+B?:C??D?'E", "UNOC:3", []),
        ("", "A?BC", "UNOC:3", ["EDI-0519"]),
        ("", "A?*C", "UNOC:3", ["EDI-0519"]),  # it separates nothing before syntax 4
        ("", "A*C", "UNOC:3", []),
        ("", "A?*C", "UNOC:4", []),
        ("UNA;~.! ^", "A!;B!~C!!D!^E", "UNOC:3", []),  # these four were taken for needless
        ("UNA;~.! ^", "A:B+C'D?E*F", "UNOC:3", []),
        ("UNA;~.! ^", "A!:B", "UNOC:3", ["EDI-0519"]),  # and these for separators
        ("UNA;~.! ^", "A!+B", "UNOC:3", ["EDI-0519"]),
        ("UNA;~.! ^", "A!'B", "UNOC:3", ["EDI-0519"]),
        ("UNA;~.! ^", "A!?B", "UNOC:3", ["EDI-0519"]),
        ("UNA:+.?^'", "A?*C?^B", "UNOC:4", ["EDI-0519"]),
        ("UNA:+.?^'", "A?^B", "UNOC:4", []),
    ],
)
def test_a_release_is_needless_by_the_separators_in_force(una: str, text: str, syntax: str, codes: list[str]) -> None:
    assert warned(una, text, syntax) == codes
