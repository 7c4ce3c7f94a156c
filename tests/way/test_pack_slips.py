"""A slip in a pack is told when it is loaded, not by what messages do to it, or by nobody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.errors import SpecError
from gateway.plans import prepare
from tests.support.packs import copy, edit, set_field

MANIFEST = "chapter24/manifest.toml"
BROKEN = {
    "no version": ('version = "1.00"', 'version = ""', MANIFEST, "version is empty"),
    "no id": ('id = "chapter24"', 'id = ""', MANIFEST, "id is empty"),
    "no types": ('9 = "declaration"', "", MANIFEST, "types is empty"),
    "no namespace": ('"urn:wco:datamodel:WCO:Declaration:1"', '""', MANIFEST, "xml.namespace is empty"),
    "a namespace that is not the schema's": (
        "WCO:Declaration:1", "WCO:Declaration:2", "MetaData.xsd", "has no Declaration in urn:wco:datamodel:WCO:Decl",
    ),
    "a wrapper's namespace that is not the schema's": (
        "WCO:MetaData:1", "WCO:MetaData:2", "MetaData.xsd", "has no MetaData in urn:wco:datamodel:WCO:MetaData:2",
    ),
    "an answer's namespace that is not the schema's": (
        "WCO:Response:1", "WCO:Response:2", "Response.xsd", "has no Response in urn:wco:datamodel:WCO:Response:2",
    ),
    "an envelope's place that is none": (
        'reference = "CommunicationMetaData/ID"', 'reference = ""', MANIFEST, "xml.envelope: '' is no path of names",
    ),
    "lines in the group of invoices": (
        "commodity = 101", "commodity = 47", "chapter24",
        "group 47 of the lines does not stand in group 47 of the invoices",
    ),
    "lines around invoices": (
        "invoice = 47", "invoice = 48", "chapter24", "group 101 of the lines does not stand in group 48",
    ),
    "lines around invoices in XML": (
        'commodity = "GoodsShipment/GovernmentAgencyGoodsItem"', 'commodity = "Agent"', MANIFEST,
        "the level commodity at Agent does not stand in that of invoice at GoodsShipment",
    ),
    "lines in a group outside the profile": (
        "commodity = 101", "commodity = 999", "chapter24", "group 999 of edifact.levels is not in the profile",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_is_told_at_load(name: str, tmp_path: Path) -> None:
    old, new, file, reason = BROKEN[name]
    folder = copy(tmp_path)
    edit(folder / MANIFEST, old, new)
    with pytest.raises(SpecError, match=re.escape(reason)) as caught:
        prepare(folder)
    assert caught.value.file == file
    assert len(str(caught.value).splitlines()) == 1


# File, key, column, what is written there, and what is told: a name that leads nowhere takes what it stood for away.
NOWHERE = {
    "a treatment": ("trade/treatment_origins.csv", "02", "treatment", "2", "2 is no code of tariff_treatment"),
    "a unit": ("trade/units.csv", "tariff", "units", "LTRS", "LTRS is no code of unit"),
    "an excise code": ("trade/units.csv", "excise", "code", "C5", "C5 is no code of excise_code"),
    "items of an order": ("trade/surtax_items.csv", "SOR/2024-187", "order", "SOR/2024-178", "SOR/2024-178 Schedule 2"),
    "an order's due days": ("calendar/due_days.csv", "AB", "cad_type", "BA", "BA is no code of cad_type"),
    "a choice": ("calendar/due_days.csv", "TT", "choice", "monthly", "monthly is no way to account"),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_a_name_that_leads_nowhere_is_told_at_load(name: str, tmp_path: Path) -> None:
    file, key, column, value, reason = NOWHERE[name]
    folder = copy(tmp_path)
    set_field(folder / file, key, column, value)
    with pytest.raises(SpecError, match=re.escape(reason)) as caught:
        prepare(folder)
    assert (caught.value.file, bool(caught.value.row)) == (file, True)


def test_what_a_schema_includes_is_in_its_namespace(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    whole, inner = folder / "wco/Response.xsd", folder / "wco/Parts.xsd"
    text = whole.read_text("utf-8")
    head = re.search(r"<xs:schema[^>]*>", text)
    assert head
    inner.write_text(re.sub(r' (targetNamespace|xmlns)="[^"]*"', "", text), "utf-8")
    whole.write_text(f'{head[0]}<xs:include schemaLocation="Parts.xsd"/></xs:schema>', "utf-8")
    assert prepare(folder).specs.packs
