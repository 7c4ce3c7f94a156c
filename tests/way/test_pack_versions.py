from __future__ import annotations

import shutil
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from core.calendar import EASTERN, Period
from core.envelope import Envelope
from core.partner import Partner
from core.register import Facts
from core.transmission import Judged, Received, Syntax
from gateway.pipeline import handle
from gateway.plans import Plans, prepare
from gateway.trade.writer import write_edifact, write_xml
from tests.support.packs import BOTH, PARTNER, copy, drop_rule, edit, original, set_field

AUTUMN, SPRING, SUMMER = date(2026, 11, 23), date(2027, 2, 15), date(2027, 6, 15)
EVER = Partner(PARTNER.id, PARTNER.name, PARTNER.envelopes, "out", authorities={"123456782RM0001": (Period(),)})


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """Version 1.00 until the end of March 2027, version 2.00 from January: another schema, another usage."""
    root = copy(tmp_path_factory.mktemp("versions"))
    shutil.copytree(root / "chapter24", root / "chapter24-2")
    shutil.copytree(root / "wco", root / "wco-2")
    edit(root / "chapter24/manifest.toml", "valid_from = 2024-10-21", "valid_from = 2024-10-21\nvalid_to = 2027-03-31")
    new = root / "chapter24-2/manifest.toml"
    edit(new, "valid_from = 2024-10-21", "valid_from = 2027-01-01")
    edit(new, 'version = "1.00"', 'version = "2.00"')
    edit(new, '"../wco/', '"../wco-2/')
    for file in (new, root / "wco-2/Declaration.xsd", root / "wco-2/MetaData.xsd"):
        edit(file, "urn:wco:datamodel:WCO:Declaration:1", "urn:wco:datamodel:WCO:Declaration:2")
    set_field(root / "chapter24-2/usage.csv", "purchase_order", "*", "M")
    return prepare(root)


def say(
    specs: Plans, version: str, syntax: Syntax, day: date, *, hour: int = 12, declared: str | None = None
) -> Judged:
    """Return the verdict on what a version's pack writes, declaring it or (`declared`) another."""
    pack = next(pack for pack in specs.specs.packs if pack.id == "chapter24" and pack.version == version)
    declaration = original(specs, day, importer_bn="123456782RM0001", purchase_order="PO 7")
    envelope = Envelope(sender=PARTNER.envelopes[0], recipient="CADGATEWAY", reference="R1", message="1")
    now = datetime.combine(day, datetime.min.time(), EASTERN).replace(hour=hour)
    if syntax is Syntax.XML:
        body = write_xml(declaration, pack, envelope)
        tag = b"AgencyAssignedCustomizationVersionCode>"
        old, new = tag + version.encode() + b"</" + tag, tag + (declared or version).encode() + b"</" + tag
        body = body.replace(old, new) if declared != "" else body.replace(b"<" + old, b"")
    else:
        body = write_edifact([declaration], pack, envelope, prepared=now)
        old, new = f":CAD+{version}'".encode(), f":CAD+{declared or version}'".encode()
        body = body.replace(old, new) if declared != "" else body.replace(old, b":CAD'")
    (one,) = handle(Received("1", PARTNER.id, body, now), Facts(EVER), specs).judged
    return one


def codes(one: Judged) -> list[str]:
    return [finding.code for finding in one.findings]


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("version", "day"), [("1.00", AUTUMN), ("1.00", SPRING), ("2.00", SPRING), ("2.00", SUMMER)])
def test_each_version_is_read_by_its_own_pack_in_its_time(
    specs: Plans, version: str, day: date, syntax: Syntax
) -> None:
    one = say(specs, version, syntax, day)
    assert (codes(one), one.message.pack) == ([], f"chapter24 {version}")


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(("version", "day", "expected"), [("2.00", AUTUMN, "1.00"), ("1.00", SUMMER, "2.00")])
def test_outside_its_period_a_version_is_refused_and_the_right_one_named(
    specs: Plans, version: str, day: date, expected: str, syntax: Syntax
) -> None:
    (finding,) = say(specs, version, syntax, day).findings
    assert (finding.code, finding.value, finding.expected) == ("GTW-0011", version, expected)


@pytest.mark.parametrize("syntax", BOTH)
def test_the_day_is_that_of_eastern_time(specs: Plans, syntax: Syntax) -> None:
    assert codes(say(specs, "2.00", syntax, date(2026, 12, 31), hour=23)) == ["GTW-0011"]  # already 2027 in UTC
    assert codes(say(specs, "2.00", syntax, date(2027, 1, 1), hour=0)) == []
    assert codes(say(specs, "1.00", syntax, date(2027, 3, 31), hour=23)) == []


@pytest.mark.parametrize("syntax", BOTH)
def test_a_version_that_nobody_knows_is_refused_at_its_place(specs: Plans, syntax: Syntax) -> None:
    one = say(specs, "1.00", syntax, SPRING, declared="9.99")
    (finding,) = one.findings
    assert (finding.code, finding.value) == ("GTW-0011", "9.99")
    assert "1.00" in (finding.expected or "")
    assert finding.place.line
    assert one.message.declaration is not None
    if syntax is Syntax.EDIFACT:
        assert (finding.place.segment, finding.place.element) == (1, 4)
    else:
        assert finding.place.xpath == "/MetaData/AgencyAssignedCustomizationVersionCode"


def test_without_a_declared_version_the_day_decides(specs: Plans) -> None:
    for version, day in (("1.00", AUTUMN), ("2.00", SUMMER)):
        one = say(specs, version, Syntax.EDIFACT, day, declared="")
        assert (codes(one), one.message.pack) == ([], f"chapter24 {version}")
        assert codes(say(specs, version, Syntax.XML, day, declared="")) == []


def test_each_version_has_its_own_usage(specs: Plans) -> None:
    packs = {pack.version: pack for pack in specs.specs.packs if pack.id == "chapter24"}
    assert packs["1.00"].usage_of("purchase_order", "AB") == "O"
    assert packs["2.00"].usage_of("purchase_order", "AB") == "M"


def test_a_code_list_is_looked_at_on_the_elements_own_day(tmp_path: Path) -> None:
    """The kuna ended with 2022: what was shipped before may be valued in it, what is shipped now earns a warning."""
    root = copy(tmp_path)
    drop_rule(root, "CAD-0135")
    specs = prepare(root)
    for syntax in BOTH:
        found = {}
        for shipped in (date(2022, 12, 31), date(2023, 1, 1)):
            pack = next(pack for pack in specs.specs.packs if pack.id == "chapter24")
            given = {"currency": "HRK", "direct_shipment_date": shipped, "importer_bn": "123456782RM0001"}
            declaration = original(specs, AUTUMN, **given)
            envelope = Envelope(sender=PARTNER.envelopes[0], recipient="CADGATEWAY", reference="R1", message="1")
            now = datetime(2026, 11, 23, 12, tzinfo=EASTERN)
            xml = syntax is Syntax.XML
            body = (
                write_xml(declaration, pack, envelope)
                if xml
                else write_edifact([declaration], pack, envelope, prepared=now)
            )
            (one,) = handle(Received("1", PARTNER.id, body, now), Facts(EVER), specs).judged
            found[shipped.year] = codes(one)
        assert found == {2022: [], 2023: ["CAD-0257"]}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """Version 1.00 until the end of 2026, from then on 1.01: the same tables, but for two of its rules."""
    root = copy(tmp_path_factory.mktemp("ruled"))
    shutil.copytree(root / "chapter24", root / "chapter24-2")
    edit(root / "chapter24/manifest.toml", "valid_from = 2024-10-21", "valid_from = 2024-10-21\nvalid_to = 2026-12-31")
    edit(root / "chapter24-2/manifest.toml", "valid_from = 2024-10-21", "valid_from = 2027-01-01")
    edit(root / "chapter24-2/manifest.toml", 'version = "1.00"', 'version = "1.01"')
    rules = root / "chapter24-2/rules.csv"
    set_field(rules, "CAD-0153", "severity", "refuse")  # what only warned is refused now
    set_field(rules, "CAD-0255", "when", "excise_code given")  # what warned passes
    return prepare(root)


@pytest.mark.parametrize("syntax", BOTH)
@pytest.mark.parametrize(
    ("day", "version", "severity", "units"),
    [(date(2026, 12, 31), "1.00", "warn", ["CAD-0255"]), (date(2027, 1, 1), "1.01", "refuse", [])],
)
def test_what_comes_before_the_day_of_a_changed_rule_is_judged_by_the_old_one(
    ruled: Plans, day: date, version: str, severity: str, units: list[str], syntax: Syntax
) -> None:
    pack = next(pack for pack in ruled.specs.packs if pack.id == "chapter24" and pack.version == version)

    def judged(hour: int, **changes: object) -> Judged:
        declaration = original(ruled, day, importer_bn="123456782RM0001", **changes)  # type: ignore[arg-type]
        envelope = Envelope(sender=PARTNER.envelopes[0], recipient="CADGATEWAY", reference="R1", message="1")
        now = datetime.combine(day, datetime.min.time(), EASTERN).replace(hour=hour)
        if syntax is Syntax.XML:
            body = write_xml(declaration, pack, envelope)
        else:
            body = write_edifact([declaration], pack, envelope, prepared=now)
        (one,) = handle(Received("1", PARTNER.id, body, now), Facts(EVER), ruled).judged
        return one

    for hour in (0, 23):  # the day is that of Eastern Time
        changed = judged(hour, classification="7700000000")
        assert [(each.code, str(each.severity)) for each in changed.findings] == [("CAD-0153", severity)]
        assert codes(judged(hour, classification="2206001900", unit="KGM", quantity=Decimal(1))) == units
