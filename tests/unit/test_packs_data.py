"""The packs as they lie in the folder: whole, at one with UN tables and schemas, honest about their sources."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import xmlschema
from lxml import etree

from core.declaration import Unreadable
from core.fields import REMEDIES
from core.loading import load
from core.specs import Element, Pack, Specs
from parsers.places import Position, edifact_place, xml_path

ROOT = Path(__file__).parents[2] / "eccrd_specs"
UN = ROOT / "edifact/d13a"
DEC = "{urn:wco:datamodel:WCO:Declaration:1}"
RSP = "{urn:wco:datamodel:WCO:Response:1}"
CONFIDENCES = {"high", "medium", "low"}

GOOD = """<?xml version="1.0" encoding="UTF-8"?>
<MetaData xmlns="urn:wco:datamodel:WCO:MetaData:1">
  <WCOTypeName>DEC</WCOTypeName>
  <ResponsibleCountryCode>CA</ResponsibleCountryCode>
  <AgencyAssignedCustomizationVersionCode>1.00</AgencyAssignedCustomizationVersionCode>
  <CommunicationMetaData><ID>REF1</ID><Sender><ID>BROKER1</ID></Sender></CommunicationMetaData>
  <Declaration xmlns="urn:wco:datamodel:WCO:Declaration:1">
    <FunctionCode>9</FunctionCode>
    <ID>12345000000012</ID>
    <ReleaseDateTime><DateTimeString formatCode="102">20250506</DateTimeString></ReleaseDateTime>
    <TypeCode>AB</TypeCode>
    <VersionID>00001</VersionID>
    <DeclarationOfficeID>0497</DeclarationOfficeID>
    <TotalGrossMassMeasure unitCode="KGM">12.5</TotalGrossMassMeasure>
    <BorderTransportMeans><ModeCode>2</ModeCode></BorderTransportMeans>
    <GoodsShipment>
      <GovernmentAgencyGoodsItem>
        <SequenceNumeric>1</SequenceNumeric>
        <Commodity>
          <Classification><ID>8471300000</ID><IdentificationTypeCode>HS</IdentificationTypeCode></Classification>
          <DutyTaxFee><DutyRegimeCode>10</DutyRegimeCode><TypeCode>CUD</TypeCode></DutyTaxFee>
          <GoodsMeasure><TariffQuantity unitCode="NMB">3</TariffQuantity></GoodsMeasure>
          <InvoiceLine><ItemChargeAmount currencyID="USD">1500.00</ItemChargeAmount></InvoiceLine>
        </Commodity>
        <CustomsValuation><MethodCode>13</MethodCode></CustomsValuation>
        <Origin><CountryCode>UNY</CountryCode></Origin>
      </GovernmentAgencyGoodsItem>
      <Seller><Name>Vendor</Name></Seller>
    </GoodsShipment>
    <Importer><ID>123456782RM0001</ID></Importer>
  </Declaration>
</MetaData>"""


@pytest.fixture(scope="module")
def loaded() -> Specs:
    return load(ROOT)


def packs(loaded: Specs) -> dict[str, Pack]:
    return {pack.id: pack for pack in loaded.packs if pack.id in ("chapter24", "chapter26")}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def files(pattern: str) -> list[Path]:
    return sorted(ROOT.glob(pattern))


def names(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


# ------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("path", files("**/*.csv"), ids=names(files("**/*.csv")))
def test_every_table_is_a_clean_csv(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "\r" not in text
    assert text.endswith("\n")
    lengths = {len(row) for row in csv.reader(text.splitlines(), strict=True)}
    assert len(lengths) == 1


def test_each_element_is_named_in_both_languages_with_source_and_confidence(loaded: Specs) -> None:
    for pack in packs(loaded).values():
        for element in pack.elements.values():
            assert element.title.en, element.name
            assert element.title.fr, element.name
            assert element.title.en != element.title.fr or element.title.en in {"Version", "Notes"}
            assert all(element.source), element.name
            assert element.confidence in CONFIDENCES, element.name


def test_each_element_can_be_pointed_at(loaded: Specs) -> None:
    """A pointer's tag (WCO 381, an..4) takes the element's WCO id, not its name."""
    for pack in packs(loaded).values():
        for element in pack.elements.values():
            assert re.fullmatch(r"[A-Z]?[0-9]{3}", element.wco_id or ""), element.name


def test_an_element_without_a_place_says_why(loaded: Specs) -> None:
    for pack in packs(loaded).values():
        for element in pack.elements.values():
            assert (element.xml_path and element.edifact_place) or element.note, element.name


def test_each_element_a_sender_may_give_has_its_usage(loaded: Specs) -> None:
    for pack in packs(loaded).values():
        given = {name for name, element in pack.elements.items() if element.direction == "in"}
        assert set(pack.usage) == given
        assert all("*" in row for row in pack.usage.values())


def test_usage_has_a_column_for_every_cad_type(loaded: Specs) -> None:
    types = set(loaded.code_lists["cad_type"].codes)
    for folder, others in (("chapter24", {"element", "*"}), ("chapter26", {"element", "*", "withdraw"})):
        assert set(rows(ROOT / folder / "usage.csv")[0]) == types | others


def test_every_field_of_the_form_has_an_element_or_a_reason(loaded: Specs) -> None:
    held = {element.form_field for element in packs(loaded)["chapter26"].elements.values() if element.form_field}
    reasons = {row["form_field"]: row["reason"] for row in rows(ROOT / "chapter24/form_gaps.csv")}
    fields = {str(number) for number in range(1, 133)} | {"Z1"}
    assert fields == held | set(reasons)
    assert not held & set(reasons)
    assert all(reasons.values())


def test_the_adjustment_forms_own_fields_are_closed_to_an_original(loaded: Specs) -> None:
    original = packs(loaded)["chapter24"]
    for row in rows(ROOT / "chapter26/elements.csv"):
        assert original.usage[row["element"]] == {"*": "X"}


@pytest.mark.parametrize("path", files("codes/*.csv"), ids=names(files("codes/*.csv")))
def test_each_code_is_bilingual_with_source_confidence_and_a_sane_period(path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    for row in rows(path):
        assert row["code"] == row["code"].strip() != ""
        assert row["name_en"]
        assert row["name_fr"]
        assert row["source_en"]
        assert row["source_fr"]
        assert row["confidence"] in CONFIDENCES
        start = date.fromisoformat(row["valid_from"] or "0001-01-01")
        end = date.fromisoformat(row["valid_to"] or "9999-12-31")
        assert start <= end
        assert (row["code"], row["valid_from"]) not in seen
        seen.add((row["code"], row["valid_from"]))


def test_the_origins_of_a_tariff_treatment_are_countries(loaded: Specs) -> None:
    countries = set(loaded.code_lists["country"].codes) | {"*"}
    treatments = loaded.code_lists["tariff_treatment"].codes
    table = rows(ROOT / "trade/treatment_origins.csv")
    assert {row["treatment"] for row in table} == set(treatments)
    for row in table:
        assert {row["country"], *row["exported_from"].split()} <= countries
        assert row["source_en"]
        assert row["confidence"] in CONFIDENCES
    keys = [(row["treatment"], row["country"], row["given"], row["valid_from"]) for row in table]
    assert len(set(keys)) == len(keys)
    for code in treatments:  # what is said of every other country is said once
        assert sum(row["treatment"] == code and row["country"] == "*" for row in table) == 1


def test_each_code_fits_the_format_of_its_element(loaded: Specs) -> None:
    for pack in packs(loaded).values():
        for element in pack.elements.values():
            if element.code_list and element.code_list != "country":
                codes = loaded.code_lists[element.code_list].codes
                assert not any(isinstance(element.format.read(code), Unreadable) for code in codes), element.name


@pytest.mark.parametrize("path", files("**/*.csv"), ids=names(files("**/*.csv")))
def test_no_source_or_note_is_english_in_french(path: Path) -> None:
    """What reads the same in both languages is a number, or a name that has no other."""
    english = re.compile(r"\b(the|of|and|not|is|are|form|fields?|as|from|Customs|Notice|appendix)\b")
    for row in rows(path):
        for column in ("source", "note"):
            en, fr = row.get(f"{column}_en", ""), row.get(f"{column}_fr", "")
            assert bool(en) == bool(fr)
            assert not english.search(fr), fr
            assert en != fr or re.fullmatch(r"(bulletin )?[A-Z0-9., -]*|ghy\.com", en), en
        assert "source" not in row


def test_each_code_list_has_a_name_and_each_name_its_list(loaded: Specs) -> None:
    assert [row["list"] for row in rows(ROOT / "code_lists.csv")] == sorted(loaded.code_lists)
    assert len({codes.name.fr for codes in loaded.code_lists.values()}) == len(loaded.code_lists)


@pytest.mark.parametrize("path", [each for each in files("findings/*.csv") if each != ROOT / REMEDIES], ids=str)
def test_each_finding_says_the_same_in_both_languages(path: Path) -> None:
    for row in rows(path):
        placeholders = [set(re.findall(r"\{(\w+)\}", row[column])) for column in ("text_en", "text_fr")]
        en, fr = ({re.sub("_(en|fr)$", "", name) for name in found} for found in placeholders)
        assert en == fr, row["code"]


def test_holidays_are_working_days_of_the_years_covered(loaded: Specs) -> None:
    years = {day.year for day in loaded.calendar.holidays}
    assert years == set(range(2024, loaded.calendar.known_to.year + 1))
    assert loaded.calendar.known_to >= date(2035, 12, 31)
    for day in ("2024-12-25", "2025-04-18", "2025-09-30", "2026-07-01", "2027-12-27", "2028-07-03"):
        assert date.fromisoformat(day) in loaded.calendar.holidays
    for year in years:
        assert 12 <= len([day for day in loaded.calendar.holidays if day.year == year and day.weekday() < 5]) <= 13


def test_manifests_say_that_they_are_reconstructed() -> None:
    for path in files("chapter2?/manifest.toml"):
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
        assert "reconstructed from public sources" in manifest["statement"]
        assert "reconstituée à partir de sources publiques" in manifest["statement_fr"]
        assert set(manifest["confidence"]) == set(manifest["confidence_fr"])
        assert all(re.match("(high|medium|low): .", said) for said in manifest["confidence"].values())


# ------------------------------------------------------------------------------------------------ EDIFACT places


@pytest.fixture(scope="module")
def un() -> dict[str, list[dict[str, str]]]:
    if not (UN / "messages/GOVCBR.csv").exists():
        pytest.skip("the UN tables are not in the folder")
    return {
        "message": rows(UN / "messages/GOVCBR.csv"),
        "segments": rows(UN / "segments.csv"),
        "composites": rows(UN / "composites.csv"),
        "elements": rows(UN / "elements.csv"),
    }


def un_element(un: dict[str, list[dict[str, str]]], tag: str, position: Position) -> tuple[dict[str, str], bool]:
    """Return the UN data element at a position, and whether its composite has room for a code list's name (1131)."""
    slots = [slot for slot in un["segments"] if slot["tag"] == tag]
    assert len(slots) >= position.element, f"{tag} has no element {position.element}"
    slot = slots[position.element - 1]["element"]
    parts = [part["element"] for part in un["composites"] if part["composite"] == slot] or [slot]
    assert len(parts) >= position.component, f"{tag}/{position.element} has no component {position.component}"
    found = next(row for row in un["elements"] if row["element"] == parts[position.component - 1])
    return found, "1131" in parts


def placed(loaded: Specs) -> Iterator[Element]:
    yield from (element for element in packs(loaded)["chapter26"].elements.values() if element.edifact_place)


def test_every_edifact_place_is_in_the_un_structure(loaded: Specs, un: dict[str, list[dict[str, str]]]) -> None:
    triggers: dict[str, str] = {}
    for row in un["message"]:
        triggers.setdefault(row["group"], row["tag"])
    held = {(row["group"], row["tag"]) for row in un["message"]}
    for element in placed(loaded):
        place = edifact_place(element)
        assert (str(place.groups[-1].number), place.tag) in held, element.name
        un_element(un, place.tag, place.position)
        for group in place.groups:
            assert group.trigger in (None, triggers[str(group.number)]), element.name


def test_every_qualifier_is_a_un_code_or_says_whose_it_is(loaded: Specs, un: dict[str, list[dict[str, str]]]) -> None:
    for element in placed(loaded):
        place = edifact_place(element)
        steps = [(group.trigger or "", group.conditions) for group in place.groups] + [(place.tag, place.conditions)]
        for tag, conditions in steps:
            given = {condition.position: condition.value for condition in conditions}
            for position, value in given.items():
                found, own_list = un_element(un, tag, position)
                if found["codes"] and value not in found["codes"].split():
                    assert own_list, (element.name, value)
                    assert given.get(Position(position.element, 2)), (element.name, value)


def test_every_element_fits_the_un_data_element(loaded: Specs, un: dict[str, list[dict[str, str]]]) -> None:
    for element in placed(loaded):
        found, _ = un_element(un, edifact_place(element).tag, edifact_place(element).position)
        longest = 8 if element.format.kind == "date" else element.format.max + bool(element.format.decimals)
        assert longest <= int(re.sub(r"\D", "", found["format"])), element.name


def test_coded_elements_hold_against_the_un_lists(loaded: Specs, un: dict[str, list[dict[str, str]]]) -> None:
    for element in placed(loaded):
        place = edifact_place(element)
        found, own_list = un_element(un, place.tag, place.position)
        if element.direction != "in" or not element.code_list or not found["codes"]:
            continue
        conditions = place.conditions or place.groups[-1].conditions
        named = any(c.position == Position(place.position.element, 2) for c in conditions)
        codes = set(loaded.code_lists[element.code_list].codes)
        assert (own_list and named) or codes <= set(found["codes"].split()), element.name


def test_the_profile_is_a_subset_of_the_un_message(loaded: Specs, un: dict[str, list[dict[str, str]]]) -> None:
    whole = iter(enumerate(un["message"]))
    mandatory = {at for at, row in enumerate(un["message"]) if row["group"] == "0" and row["status"] == "M"}
    for row in packs(loaded)["chapter24"].profile:
        found = next((each for each in whole if (int(each[1]["group"]), each[1]["tag"]) == (row.group, row.tag)), None)
        assert found, f"{row.tag} of group {row.group} is not there, or out of order"
        at, match = found
        mandatory.discard(at)
        assert int(match["parent"] or 0) == row.parent
        assert row.max <= int(match["max"])
        assert row.status == "M" or match["status"] == "C"
    assert not mandatory


def test_the_profile_holds_every_place_and_nothing_unused(loaded: Specs) -> None:
    pack = packs(loaded)["chapter26"]
    places = [edifact_place(element) for element in placed(loaded) if element.direction == "in"]
    used = {(place.groups[-1].number, place.tag) for place in places}
    used |= {(group.number, group.trigger) for place in places for group in place.groups if group.trigger}
    held = {(row.group, row.tag) for row in pack.profile}
    assert used <= held
    assert {(row.group, row.tag) for row in pack.profile if not row.constant} - used <= {(0, "UNH"), (0, "UNT")}


# ------------------------------------------------------------------------------------------------ XML


def engines(name: str) -> tuple[etree.XMLSchema, xmlschema.XMLSchema10]:
    path = ROOT / "wco" / name
    return etree.XMLSchema(etree.parse(path)), xmlschema.XMLSchema10(str(path), allow="local", defuse="always")


@pytest.mark.parametrize("name", ["Declaration.xsd", "MetaData.xsd", "Response.xsd"])
def test_both_engines_compile_the_schema(name: str) -> None:
    engines(name)


def test_both_engines_accept_a_good_document_and_refuse_the_same_faults() -> None:
    fast, slow = engines("MetaData.xsd")
    assert fast.validate(etree.fromstring(GOOD.encode())), fast.error_log
    assert slow.is_valid(GOOD)
    faults = {
        "<ID>12345000000012</ID>": "",
        "<FunctionCode>9</FunctionCode>": "<FunctionCode/>",
        "123456782RM0001": "12345",
        "20250506": "2025-05-06",
        'formatCode="102"': 'formatCode="203"',
        'unitCode="KGM"': 'unitCode="LBS"',
        "12.5<": "1,5<",
        "1500.00": "-1500.00",
        "1500.0": "1e3",
        "<TypeCode>CUD</TypeCode>": "",
        "<Seller>": "<Vendor/><Seller>",
        "<VersionID>00001</VersionID>": "<VersionID>1</VersionID>",
        ">CA<": ">US<",
    }
    for good, bad in faults.items():
        assert good in GOOD
        document = GOOD.replace(good, bad)
        assert not fast.validate(etree.fromstring(document.encode())), good
        assert not slow.is_valid(document), good


def test_every_xml_path_is_in_the_schema(loaded: Specs) -> None:
    declared = engines("Declaration.xsd")[1].elements["Declaration"]
    answered = engines("Response.xsd")[1].elements["Response"]
    for element in packs(loaded)["chapter26"].elements.values():
        if not element.xml_path:
            continue
        steps = xml_path(element)
        out = steps[0].name == "Response"
        node, namespace = (answered, RSP) if out else (declared, DEC)
        for step in steps[1:] if out else steps:
            if step.name.startswith("@"):
                assert step.name[1:] in node.attributes, element.name
                continue
            children = {child.name: child for child in node.type.content.iter_elements()}
            assert namespace + step.name in children, (element.name, step.name)
            node = children[namespace + step.name]
            for name, _ in step.conditions:
                if name.startswith("@"):
                    assert name[1:] in node.attributes, element.name
                else:
                    assert namespace + name in {c.name for c in node.type.content.iter_elements()}, element.name
        assert node.type.is_simple() or node.type.has_simple_content(), element.name


def test_patterns_of_the_schemas_are_linear() -> None:
    """A repeated group that itself repeats something would let a hostile value take exponential time."""
    for path in files("wco/*.xsd"):
        for pattern in re.findall(r'<xs:pattern value="([^"]*)"', path.read_text(encoding="utf-8")):
            assert not re.search(r"\)[*+{]", pattern), pattern
