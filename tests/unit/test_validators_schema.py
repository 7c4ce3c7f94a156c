from __future__ import annotations

from collections.abc import Callable

import pytest
from lxml import etree

from core.findings import Address, Fault, Place
from tests.support.builders import DECLARATION
from validators.schema import ERRORS_EXPLAINED, Explainer, explain

EXPLAINER = Explainer(DECLARATION)

ENVELOPE = """<MetaData xmlns="urn:wco:datamodel:WCO:MetaData:1"><ResponsibleCountryCode>CA</ResponsibleCountryCode>
<CommunicationMetaData><ID>1</ID><Sender><ID>BROKERA</ID></Sender><Recipient><ID>GATEWAY</ID></Recipient>
</CommunicationMetaData>{}</MetaData>"""
GOOD = """<Declaration xmlns="urn:wco:datamodel:WCO:Declaration:1"><FunctionCode>9</FunctionCode>
<ID>12345000000012</ID><TypeCode>AB</TypeCode><VersionID>00001</VersionID>
<GoodsShipment/><GoodsShipment><GovernmentAgencyGoodsItem/><GovernmentAgencyGoodsItem>
<SequenceNumeric>2</SequenceNumeric><Origin><CountryCode>US</CountryCode></Origin></GovernmentAgencyGoodsItem>
<Invoice><InvoiceAmount currencyID="CAD">300.00</InvoiceAmount></Invoice></GoodsShipment></Declaration>"""


def explained(*changes: tuple[str, str]) -> list[Fault]:
    text = ENVELOPE.format(GOOD)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    root = etree.fromstring(text)
    schema = etree.XMLSchema(etree.parse(str(DECLARATION.schema)))
    return [] if schema.validate(root) else explain(root, EXPLAINER, place_in(root))


def place_in(root: etree._Element) -> Callable[[etree._Element], Place]:
    return lambda node: Place(xpath=root.getroottree().getelementpath(node))


def test_a_good_document_has_nothing_to_explain() -> None:
    assert explained() == []


@pytest.mark.parametrize(
    "change",
    [
        ("<ID>12345000000012</ID>", "<ID>123</ID>"),
        ("<ID>12345000000012</ID>", ""),
        ('"CAD"', '"CADX"'),
        (">300.00<", ">many<"),
        ("<SequenceNumeric>2<", "<SequenceNumeric>two<"),
    ],
)
def test_what_the_dictionary_check_will_report_is_left_to_it(change: tuple[str, str]) -> None:
    assert explained(change) == []


def test_what_does_not_belong_there_is_explained_at_its_place() -> None:
    (fault,) = explained(("<TypeCode>AB", "<Surprise/><TypeCode>AB"))
    assert (fault.code, fault.value) == ("XML-0004", "Surprise")
    assert fault.place
    assert fault.place.xpath
    assert fault.place.xpath.endswith("Surprise")
    assert "does not belong here in Declaration" in fault.details["reason_en"]
    assert "n'a pas sa place ici dans Declaration" in fault.details["reason_fr"]


def test_elements_out_of_order_are_explained() -> None:
    (fault,) = explained(("<TypeCode>AB</TypeCode>", ""), ("</VersionID>", "</VersionID><TypeCode>AB</TypeCode>"))
    assert (fault.code, fault.value) == ("XML-0004", "TypeCode")


def test_a_misspelt_name_is_not_mistaken_for_a_missing_element() -> None:
    (fault,) = explained(("<ID>12345000000012</ID>", "<Id>12345000000012</Id>"))
    assert (fault.code, fault.value, fault.expected) == ("XML-0004", "Id", "ID")


def test_what_the_envelope_lacks_is_explained() -> None:
    (fault,) = explained(("<Sender><ID>BROKERA</ID></Sender>", ""))
    assert (fault.code, fault.expected) == ("XML-0004", "Sender")


def test_with_a_fault_of_structure_the_dictionarys_come_along_at_their_addresses() -> None:
    faults = explained(("<TypeCode>AB", "<Surprise/><TypeCode>AB"), ("<ID>1234", "<ID>x"), (">300.00<", ">many<"))
    assert {(fault.code, fault.address) for fault in faults} == {
        ("XML-0004", None),
        ("CAD-0002", Address("transaction_number")),
        ("CAD-0002", Address("invoice_value", 2)),
    }


def test_lines_are_counted_in_addresses() -> None:
    faults = explained(("<TypeCode>AB", "<Surprise/><TypeCode>AB"), (">2</Seq", ">two</Seq"))
    assert Address("line_number", 2, 2) in {fault.address for fault in faults}


def test_explaining_stops_where_nobody_reads_on() -> None:
    faults = explained(("<GoodsShipment/>", "<GoodsShipment><Surprise/></GoodsShipment>" * 500))
    assert 0 < len(faults) <= ERRORS_EXPLAINED
