from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.declaration import Declaration, MessageType
from core.errors import SpecError
from core.fields import REMEDIES
from core.transmission import Syntax
from gateway.cli.main import main
from gateway.plans import Plans, prepare
from gateway.trade.maker import Maker
from gateway.trade.samples import play, write
from tests.support.packs import (
    BOTH,
    DAY,
    PARTNER,
    ROOT,
    Row,
    add_remedy,
    copy,
    edit,
    judged,
    original,
    rewrite,
    sent,
    set_field,
)

OURS = prepare(ROOT)
OTHER_NAMESPACE = "urn:example:declaration:2"


def another_order(root: Path) -> None:
    """The version stands first in the Declaration, the importer before the shipments."""
    path = root / "wco/Declaration.xsd"
    version = '      <xs:element name="VersionID" type="Digits5" minOccurs="0"/>\n'
    importer = '      <xs:element name="Importer" type="Importer" minOccurs="0"/>\n'
    edit(path, version, "")
    edit(path, importer, "")
    edit(path, '      <xs:element name="FunctionCode" ', version + '      <xs:element name="FunctionCode" ')
    edit(path, '      <xs:element name="GoodsShipment" ', importer + '      <xs:element name="GoodsShipment" ')


def another_namespace(root: Path) -> None:
    for file in ("wco/Declaration.xsd", "wco/MetaData.xsd", "chapter24/manifest.toml", "chapter26/manifest.toml"):
        edit(root / file, "urn:wco:datamodel:WCO:Declaration:1", OTHER_NAMESPACE)


def another_place(root: Path) -> None:
    """The carrier moves from a name and address to a reference, the importer's account to another qualifier."""
    set_field(root / "chapter24/elements.csv", "carrier_code", "edifact_place", "0/RFF[2.1=AAM]/2.2")
    edit(root / "chapter24/elements.csv", "7[NAD/2=IM]", "7[NAD/2=DT]")


def another_list(root: Path) -> None:
    def change(_rows: list[Row]) -> list[Row]:
        said = {"valid_from": "", "valid_to": "", "source_en": "a book", "source_fr": "un livre", "confidence": "high"}
        return [{"code": code, "name_en": name, "name_fr": name, **said} for code, name in (("4", "Air"), ("5", "Sea"))]

    rewrite(root / "codes/transport_mode.csv", change)


def another_rule(root: Path) -> None:
    text = "With mode {value} the carrier is needed.,Avec le mode {value} il faut le transporteur.,a book,un livre"
    row = f"CAD-0901,required_when,carrier_code,cad_type = AB and transport_mode = 4,,refuse,{text},high,,,\n"
    path = root / "chapter24/rules.csv"
    path.write_text(path.read_text(encoding="utf-8") + row, encoding="utf-8")
    add_remedy(root, "CAD-0901")


def another_function_code(root: Path) -> None:
    """The function code stands in another element, and says something else."""
    set_field(root / "chapter24/elements.csv", "function_code", "edifact_place", "0/BGM/5")
    edit(root / "chapter24/manifest.toml", '9 = "declaration"', 'AB = "declaration"')
    edit(root / "chapter26/manifest.toml", '4 = "correction"', 'AC = "correction"')
    edit(root / "chapter26/manifest.toml", '1 = "withdraw"', 'AD = "withdraw"')


SWAPS = (another_order, another_namespace, another_place, another_list, another_rule)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy(tmp_path_factory.mktemp("swapped"))
    for swap in SWAPS:
        swap(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(root: Path) -> Plans:
    return prepare(root)


def good(specs: Plans) -> Declaration:
    mode = "4" if specs is not OURS else "2"
    return original(specs, transport_mode=mode, carrier_code="ABCD", importer_bn="123456782RM0001")


# ------------------------------------------------------------------------------------------------ the gateway follows


@pytest.mark.parametrize("syntax", BOTH)
def test_what_the_swapped_pack_says_is_accepted(theirs: Plans, syntax: Syntax) -> None:
    body = sent(good(theirs), theirs, syntax)
    assert judged(body, theirs) == []
    assert body != sent(good(theirs), OURS, syntax)


def test_the_swapped_pack_is_followed_to_the_letter(theirs: Plans) -> None:
    xml, edifact = (sent(good(theirs), theirs, syntax).decode() for syntax in BOTH)
    assert f'<Declaration xmlns="{OTHER_NAMESPACE}">' in xml
    assert xml.index("<VersionID>") < xml.index("<FunctionCode>")
    assert xml.index("<Importer>") < xml.index("<GoodsShipment>")
    assert "RFF+AAM:ABCD'" in edifact
    assert "NAD+DT+123456782RM0001" in edifact


def test_what_the_former_pack_says_is_refused(theirs: Plans) -> None:
    xml, edifact = (sent(good(OURS), OURS, syntax) for syntax in BOTH)
    assert judged(xml, OURS) == judged(edifact, OURS) == []
    assert [code for code, _ in judged(xml, theirs)] == ["GTW-0002"]
    found = judged(edifact, theirs)
    assert ("CAD-0007", "NAD+CA+ABCD") in found
    assert ("CAD-0007", "NAD+IM+123456782RM0001") in found


@pytest.mark.parametrize("syntax", BOTH)
def test_its_list_and_its_rule_are_held(theirs: Plans, syntax: Syntax) -> None:
    old_mode = original(theirs, transport_mode="2", carrier_code="ABCD")
    assert judged(sent(old_mode, theirs, syntax), theirs) == [("CAD-0003", "2")]
    without = original(theirs, transport_mode="4", carrier_code=None)
    assert [code for code, _ in judged(sent(without, theirs, syntax), theirs)] == ["CAD-0901"]
    assert judged(sent(original(theirs, transport_mode="5"), theirs, syntax), theirs) == []


def test_with_the_order_alone_swapped_the_schema_speaks(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    another_order(folder)
    found = judged(sent(good(OURS), OURS, Syntax.XML), prepare(folder))
    assert {code for code, _ in found} == {"XML-0004"}
    assert judged(sent(good(OURS), OURS, Syntax.EDIFACT), prepare(folder)) == []


@pytest.mark.parametrize("syntax", BOTH)
def test_even_the_function_code_may_move(tmp_path: Path, syntax: Syntax) -> None:
    folder = copy(tmp_path)
    if syntax is Syntax.EDIFACT:
        another_function_code(folder)
    else:
        edit(folder / "wco/Declaration.xsd", 'name="FunctionCode"', 'name="StatusCode"')
        set_field(folder / "chapter24/elements.csv", "function_code", "xml_path", "StatusCode")
    specs = prepare(folder)
    assert judged(sent(original(specs), specs, syntax), specs) == []
    assert [code for code, _ in judged(sent(good(OURS), OURS, syntax), specs)] == ["GTW-0002"]


@pytest.mark.parametrize("syntax", BOTH)
def test_changes_and_withdrawals_follow_too(theirs: Plans, syntax: Syntax) -> None:
    seen = set()
    for seed in range(12):
        story = Maker(random.Random(seed), theirs.specs, PARTNER, DAY).story("C")
        seen.add(story.steps[-1].type)
        assert [one.findings for one in play(story, write(story, syntax, DAY, "S"), DAY, theirs)] == [()] * len(
            story.steps
        )
    assert seen == {MessageType.DECLARATION, MessageType.CORRECTION, MessageType.WITHDRAW}


def test_the_command_line_takes_the_folder_from_the_environment(
    root: Path, theirs: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for syntax in BOTH:
        (tmp_path / str(syntax)).write_bytes(sent(good(theirs), theirs, syntax))
    arguments = ["check", "--as", PARTNER.id, str(tmp_path)]
    assert CliRunner().invoke(main, arguments).exit_code == 1
    monkeypatch.setenv("GATEWAY_SPECS", str(root))
    assert CliRunner().invoke(main, arguments).exit_code == 0
    listed = CliRunner().invoke(main, ["rules", "--format", "json"]).stdout
    assert "CAD-0901" in listed


# ------------------------------------------------------------------------------------------------ broken packs

TABLES = ("elements", "rules", "edifact_profile", "usage")
ELEMENTS, RULES, PROFILE, USAGE = (f"chapter24/{name}.csv" for name in TABLES)
LISTS, FINDINGS = "code_lists.csv", "findings/gateway.csv"
ANSWERS, ANSWER_CODES = (f"chapter24/{name}.csv" for name in ("answers", "answer_codes"))
CLASSES, ORDERS = "wco/classes.csv", "trade/surtax_orders.csv"
MANIFEST, MODES, INDICATORS = "chapter24/manifest.toml", "codes/transport_mode.csv", "codes/indicator.csv"


def field(file: str, key: str, column: str, value: str) -> Callable[[Path], None]:
    return lambda root: set_field(root / file, key, column, value)


def text(file: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda root: edit(root / file, old, new)


def again(file: str, key: str) -> Callable[[Path], None]:
    """Give the row a second time."""

    def change(root: Path) -> None:
        rewrite(root / file, lambda rows: [*rows, next(row for row in rows if key in row.values())])

    return change


def gone(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


def ending_early(root: Path) -> None:
    set_field(root / "codes/indicator.csv", "Y", "valid_from", "2026-01-01")
    set_field(root / "codes/indicator.csv", "Y", "valid_to", "2025-01-01")


BROKEN: dict[str, tuple[Callable[[Path], None], str, int | None, str]] = {
    "missing column": (text(ELEMENTS, ",format,", ",formatting,"), ELEMENTS, 1, "the column format is missing"),
    "short row": (text(USAGE, "office,,", "office,"), USAGE, 9, "more or fewer fields"),
    "unknown format": (field(ELEMENTS, "office", "format", "x4"), ELEMENTS, 9, "unknown format 'x4'"),
    "unknown level": (field(ELEMENTS, "office", "level", "line"), ELEMENTS, 9, "unknown level 'line'"),
    "unknown direction": (field(ELEMENTS, "office", "direction", "up"), ELEMENTS, 9, "direction is in or out"),
    "no French name": (field(ELEMENTS, "office", "name_fr", ""), ELEMENTS, 9, "lacks its English or French name"),
    "unknown code list": (field(ELEMENTS, "office", "code_list", "offices"), ELEMENTS, 9, "no code list offices"),
    "empty code list": (
        lambda root: rewrite(root / MODES, lambda rows: []), ELEMENTS, None, "the code list transport_mode is empty",
    ),
    "list day": (field(ELEMENTS, "office", "list_day", "release"), ELEMENTS, 9, "list_day names release"),
    "list day of no date": (field(ELEMENTS, "office", "list_day", "version"), ELEMENTS, 9, "no date element"),
    "unknown class": (field(ELEMENTS, "office", "xml_path", "Bureau/ID"), ELEMENTS, 9, "unknown class Bureau"),
    "dangling XML path": (field(ELEMENTS, "office", "xml_path", "Agent/OfficeID"), ELEMENTS, 9, "no OfficeID there"),
    "dangling attribute": (field(ELEMENTS, "office", "xml_path", "Agent/ID/@unit"), ELEMENTS, 9, "no @unit there"),
    "dangling condition": (
        field(ELEMENTS, "office", "xml_path", "Agent[Rank=1]/ID"), ELEMENTS, 9, "no Rank in Agent",
    ),
    "two in one XML place": (field(ELEMENTS, "office", "xml_path", "VersionID"), ELEMENTS, 9, "in one place"),
    "unreadable EDIFACT place": (
        field(ELEMENTS, "office", "edifact_place", "LOC/2.1"), ELEMENTS, 9, "EDIFACT place 'LOC/2.1' is unreadable",
    ),
    "EDIFACT group outside the profile": (
        field(ELEMENTS, "office", "edifact_place", "99[LOC/2=22]/LOC/3.1"), ELEMENTS, 9, "group 99 is not in",
    ),
    "EDIFACT segment outside the profile": (
        field(ELEMENTS, "office", "edifact_place", "0/MOA/2.2"), ELEMENTS, 9, "MOA in group 0 is not in the profile",
    ),
    "EDIFACT element counted without the tag": (
        field(ELEMENTS, "carrier_code", "edifact_place", "7[NAD/1=CA]/NAD/2.1"), ELEMENTS, 13,
        "'7[NAD/1=CA]/NAD/2.1' is unreadable: the tag is element 1, so data elements begin at 2",
    ),
    "EDIFACT component counted from 0": (
        field(ELEMENTS, "office", "edifact_place", "1[LOC/2=22]/LOC/3.0"), ELEMENTS, 9, "LOC/3.0' is unreadable",
    ),
    "dangling EDIFACT position": (
        field(ELEMENTS, "office", "edifact_place", "1[LOC/2=22]/LOC/3.9"), ELEMENTS, 9, "LOC has no position 3.9",
    ),
    "wrong EDIFACT trigger": (
        field(ELEMENTS, "office", "edifact_place", "1[NAD/2=22]/LOC/3.1"), ELEMENTS, 9, "does not begin with NAD",
    ),
    "two in one EDIFACT place": (
        field(ELEMENTS, "office", "edifact_place", "0/BGM/3.2"), ELEMENTS, 9, "are in one place: 0/BGM/3.2",
    ),
    "element twice": (again(ELEMENTS, "office"), ELEMENTS, None, "the element office is given twice"),
    "no version": (field(ELEMENTS, "version", "element", "edition"), MANIFEST, None, "lacks version"),
    "usage mark": (field(USAGE, "office", "*", "R"), USAGE, 9, "usage is M, O or X, not 'R'"),
    "usage of two marks": (field(USAGE, "office", "*", "MO"), USAGE, 9, "usage is M, O or X, not 'MO'"),
    "usage twice": (again(USAGE, "office"), USAGE, None, "the usage of office is given twice"),
    "usage of nothing": (field(USAGE, "office", "element", "bureau"), USAGE, 9, "unknown element bureau"),
    "usage of an unknown type": (text(USAGE, ",AB,", ",AC,"), USAGE, 1, "the column AC is no CAD type"),
    "rule twice": (again(RULES, "CAD-0101"), RULES, None, "the rule id CAD-0101 is given twice"),
    "rule id taken": (field(RULES, "CAD-0101", "id", "CAD-0001"), RULES, 2, "is a finding code already"),
    "rule id too long": (field(RULES, "CAD-0101", "id", "RULE-00101"), RULES, 2, "8 characters"),
    "unknown check": (field(RULES, "CAD-0101", "check", "digits"), RULES, 2, "unknown check 'digits'"),
    "rule on nothing": (field(RULES, "CAD-0101", "element", "number"), RULES, 2, "unknown element 'number'"),
    "rule on no list": (field(RULES, "CAD-0120", "parameter", "kinds"), RULES, None, "there is no code list kinds"),
    "rule condition": (field(RULES, "CAD-0101", "when", "if AB"), RULES, 2, "cannot read the condition"),
    "rule severity": (field(RULES, "CAD-0101", "severity", "stop"), RULES, 2, "unknown severity 'stop'"),
    "rule in one language": (field(RULES, "CAD-0101", "text_fr", ""), RULES, 2, "lacks its English or French text"),
    "rule against no list": (field(RULES, "CAD-0300", "parameter", "closed"), RULES, None, "no code list closed"),
    "rule against a list that is gone": (
        gone("codes/closed_account.csv"), RULES, None, "rule CAD-0300: there is no code list closed_account",
    ),
    "rule for a code that is not listed": (
        field(RULES, "CAD-0126", "when", "cad_type = K"), RULES, None, "K is no code of cad_type, the list of cad_type",
    ),
    "profile outside the UN message": (text(PROFILE, "0,0,RFF,C,9", "0,0,TOD,C,9"), PROFILE, 5, "TOD is not in group"),
    "profile wider than the UN message": (text(PROFILE, "0,0,BGM,M,1", "0,0,BGM,M,2"), PROFILE, 3, "BGM is wider"),
    "profile in another group": (text(PROFILE, "8,7,CTA", "8,0,CTA"), PROFILE, 8, "stands in group 7"),
    "profile status": (text(PROFILE, "0,0,BGM,M,1", "0,0,BGM,R,1"), PROFILE, 3, "status is M or C, not 'R'"),
    "rule source in one language": (
        field(RULES, "CAD-0101", "source_fr", ""), RULES, 2, "lacks its English or French source",
    ),
    "rule confidence": (field(RULES, "CAD-0101", "confidence", "sure"), RULES, 2, "not 'sure'"),
    "no French source": (field(ELEMENTS, "office", "source_fr", ""), ELEMENTS, 9, "its English or French source"),
    "note in one language": (field(ELEMENTS, "office", "note_en", ""), ELEMENTS, 9, "its English or French note"),
    "rule without a remedy": (
        field(REMEDIES, "CAD-0101", "code", "CAD-0999"), RULES, 2, "CAD-0101 has no remedy: a row of findings/remed",
    ),
    "remedy without a finding": (
        lambda root: add_remedy(root, "CAD-0999"), REMEDIES, None, "there is no finding CAD-0999",
    ),
    "remedy in one language": (
        field(REMEDIES, "CAD-0001", "remedy_fr", ""), REMEDIES, 2, "CAD-0001 lacks its English or French remedy",
    ),
    "remedy twice": (again(REMEDIES, "CAD-0101"), REMEDIES, None, "the remedy of CAD-0101 is given twice"),
    "finding source in one language": (
        field(FINDINGS, "GTW-0001", "source_en", ""), FINDINGS, 2, "its English or French source",
    ),
    "code source in one language": (field(MODES, "2", "source_fr", ""), MODES, 3, "its English or French source"),
    "code in one language": (field(MODES, "2", "name_fr", ""), MODES, 3, "its English or French name"),
    "list in one language": (field(LISTS, "office", "name_fr", ""), LISTS, 11, "its English or French name"),
    "list without a name": (field(LISTS, "office", "list", "offices"), LISTS, None, "the code list office has no name"),
    "list named twice": (again(LISTS, "office"), LISTS, None, "the code list office is given twice"),
    "class twice": (again(CLASSES, "Agent"), CLASSES, None, "the class Agent is given twice"),
    "answer twice": (again(ANSWERS, "accepted"), ANSWERS, None, "the kind accepted is given twice"),
    "answer code twice": (again(ANSWER_CODES, "our_list"), ANSWER_CODES, None, "our_list is given twice"),
    "no number": (field(ORDERS, "SOR/2025-95", "free", "nan"), ORDERS, None, "free: 'nan' is no number"),
    "code twice": (again(MODES, "2"), MODES, None, "the code 2 is given twice for one day"),
    "code date": (
        field(MODES, "2", "valid_to", "2026-13-01"), MODES, 3, "is not a date",
    ),
    "code period": (
        ending_early, INDICATORS, 2, "Y ends before it begins",
    ),
    "code confidence": (field(INDICATORS, "Y", "confidence", "sure"), INDICATORS, 2, "not 'sure'"),
    "no manifest key": (text(MANIFEST, "statement =", "said ="), MANIFEST, None, "said"),
    "no TOML": (text(MANIFEST, "[types]", "[types"), MANIFEST, None, "cannot be read"),
    "no message type": (
        text(MANIFEST, '"declaration"', '"order"'), MANIFEST, None, "order",
    ),
    "no schema": (gone("wco/MetaData.xsd"), MANIFEST, None, "there is no schema MetaData.xsd"),
    "no usable schema": (text("wco/MetaData.xsd", "<xs:sequence>", "<xs:list>"), "MetaData.xsd", None, "not a usable"),
    "no table": (gone(RULES), RULES, None, "cannot be read"),
    "unknown part of an envelope": (
        text(MANIFEST, "sender = ", "from = "), MANIFEST, None, "from is no part of an envelope; these are reference,",
    ),
    "no level": (
        text(MANIFEST, "commodity = 101", "line = 101"), MANIFEST, None, "levels are",
    ),
    "no UN message": (text(MANIFEST, '"13A"', '"99Z"'), "chapter24", None, "GOVCBR:D:99Z"),
    "two of one version": (
        text("chapter26/manifest.toml", 'id = "chapter26"', 'id = "chapter24"'), "", None, "two packs chapter24",
    ),
}  # fmt: skip


def test_where_nobody_is_forbidden_the_list_is_empty(tmp_path: Path) -> None:
    root = copy(tmp_path)
    rewrite(root / "codes/closed_account.csv", lambda rows: [])
    body = sent(original(OURS, importer_bn="999999923RM0001"), OURS, Syntax.XML)
    assert "CAD-0300" in [code for code, _ in judged(body, OURS)]
    assert "CAD-0300" not in [code for code, _ in judged(body, prepare(root))]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_pack_is_refused_at_start_with_file_row_and_reason(name: str, tmp_path: Path) -> None:
    spoil, file, row, reason = BROKEN[name]
    root = copy(tmp_path)
    spoil(root)
    with pytest.raises(SpecError) as caught:
        prepare(root)
    assert reason in caught.value.reason
    assert caught.value.file.endswith(file)
    assert row is None or caught.value.row == row


def test_the_command_line_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy(tmp_path)
    set_field(root / ELEMENTS, "office", "xml_path", "Agent/OfficeID")
    monkeypatch.setenv("GATEWAY_SPECS", str(root))
    result = CliRunner().invoke(main, ["rules"])
    assert result.exit_code == 2
    assert result.stderr == (
        "gateway: chapter24/elements.csv, row 9: the XML path Agent/OfficeID leads nowhere: no OfficeID there\n"
    )
