"""How answers are written: the codes of each kind, and those that the writers of both syntaxes put in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from core.findings import Bilingual

# What the gateway can say of a message; each kind has its row.
KINDS = ("refused", "accepted", "assessed", "pending", "engine-refused", "technical")


class Kind(NamedTuple):
    """An answer's codes: document name (UN 1001), response type (4343), status (4405), and the status in words.

    `when` says when it is sent.
    """

    document: str
    response: str
    status: str
    text: Bilingual
    when: Bilingual
    source: Bilingual
    confidence: str


class DutyCodes(msgspec.Struct, frozen=True):
    """The types of duties, taxes and fees in both syntaxes, by name; one that is empty is not told."""

    customs_duty: str
    anti_dumping: str
    countervailing: str
    surtax: str
    safeguard: str
    excise_duty: str
    excise_tax: str
    gst: str
    total: str


class EdifactCodes(msgspec.Struct, frozen=True):
    """What the writer of answers in EDIFACT puts in, by name; what an empty one stands for is left out."""

    our_list: str
    message_function: str
    issued: str
    payment_due: str
    value_for_duty: str
    line_value_for_duty: str
    sender_reference: str
    message_reference: str
    transmission_reference: str
    status_function: str
    finding_function: str
    finding_text: str
    finding_details: str
    remark: str
    remark_text: str
    total_function: str
    charge_function: str
    line_total_function: str
    line_charge_function: str
    charge_base: str
    charge_amount: str
    hierarchy: str
    items: str


class XmlCodes(msgspec.Struct, frozen=True):
    """What the writer of answers in XML puts in, by name; what an empty one stands for is left out."""

    message_function: str
    status_text: str
    transmission_reference: str
    test: str
    items: str
    finding_details: str
    remark: str
    value_for_duty: str
    response_section: str
    error_section: str


# The codes without which an answer says nothing: none of them is empty.
ALWAYS = {
    "edifact": {"message_function", "issued", "transmission_reference", "status_function", "finding_function",
                "finding_text", "hierarchy"},
    "xml": {"message_function", "transmission_reference"},
    "both": {"total"},
}  # fmt: skip


class AnswerCode(NamedTuple):
    """One code of answers as its table has it: where it stands, and what it means."""

    syntax: str
    name: str
    code: str
    place: str
    meaning: Bilingual
    source: Bilingual
    confidence: str


class Answers(NamedTuple):
    """A pack's answers: codes by kind, those of duties and both syntaxes by name, and the rows that they are from."""

    kinds: Mapping[str, Kind]
    duties: DutyCodes
    edifact: EdifactCodes
    xml: XmlCodes
    rows: tuple[AnswerCode, ...]

    def kind_of(self, status: str) -> str:
        """Return the kind that a status code (UN 4405) stands for; raises KeyError for another's."""
        return {kind.status: name for name, kind in self.kinds.items()}[status]
