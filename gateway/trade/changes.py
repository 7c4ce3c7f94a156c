"""The named draws and changes that `breaks.csv` speaks of: what no literal value can say about a faulty message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from core.calendar import Period
from core.declaration import IMPORTERS, MessageType, Value
from core.findings import Bilingual
from core.specs import Code
from core.transmission import Syntax
from gateway.trade.maker import Draft, Maker
from gateway.trade.samples import Sample, SampleMessage

# Takes what stands in brackets behind its name.
Draw = Callable[[Maker, str], Value]
DraftChange = Callable[[Draft, Maker, str], None]
SampleChange = Callable[[Sample, Maker, str], Sample]


# ------------------------------------------------------------------------------------------------ values


def _wrong_number(maker: Maker, _argument: str) -> str:
    number = maker.number()
    return number[:13] + str((int(number[13]) + 1) % 10)


def _wrong_business_number(maker: Maker, _argument: str) -> str:
    number = maker.business_number()
    return f"{number[:8]}{(int(number[8]) + 1) % 10}{number[9:]}"


VALUES: Mapping[str, Draw] = {
    "number": lambda maker, _: maker.number(),
    "wrong_number": _wrong_number,
    "importer": lambda maker, _: maker.importer(),
    "business_number": lambda maker, _: maker.business_number(),
    "wrong_business_number": _wrong_business_number,
    "other_account": lambda maker, _: maker.business_number().replace("RM", "RT"),
    "code": lambda maker, list_id: maker.code(list_id),
    "day": lambda maker, days: maker.day + timedelta(days=int(days)),
}


# ------------------------------------------------------------------------------------------------ the declaration


def _late_release(draft: Draft, maker: Maker, _argument: str) -> None:
    """Move the release, and the shipments before it, into a month whose following month is over."""
    draft.top["release_date"] = (maker.day.replace(day=1) - timedelta(days=40)).replace(day=2)
    for line in draft.lines():
        line["direct_shipment_date"] = draft.top["release_date"] - timedelta(days=5)


def _line_dropped(draft: Draft, _maker: Maker, _argument: str) -> None:
    """Leave out the last line; the invoice still adds up."""
    draft.invoices[0][1].pop()
    draft.add_up()


def _line_value(draft: Draft, _maker: Maker, change: str) -> None:
    """Change the first line's value and let the invoice add up."""
    line = draft.invoices[0][1][0]
    old = line["value_for_currency_conversion"]
    line["value_for_currency_conversion"] = {
        "none": Decimal(0), "much": Decimal("3300.01"), "less": old - 1, "more": old + 1,
    }[change]  # fmt: skip
    draft.add_up()


def _invoice_off_by(draft: Draft, _maker: Maker, off: str) -> None:
    """Make the invoice's value differ from its lines."""
    draft.invoices[0][0]["invoice_value"] += Decimal(off)


def _swapped_line_numbers(draft: Draft, _maker: Maker, _argument: str) -> None:
    one, two = draft.invoices[0][1]
    one["line_number"], two["line_number"] = two["line_number"], one["line_number"]


def _same_line_number(draft: Draft, _maker: Maker, _argument: str) -> None:
    one, two = draft.invoices[0][1]
    two["line_number"] = one["line_number"]


def _lines(draft: Draft, _maker: Maker, count: str) -> None:
    """Give the first invoice so many lines like its first one, and let it add up."""
    _, lines = draft.invoices[0]
    lines[:] = [{**lines[0], "line_number": Decimal(number)} for number in range(1, int(count) + 1)]
    draft.add_up()


def _once_more(draft: Draft, maker: Maker, given: str) -> None:
    """Give an element of the declaration or of the first line (ELEMENT:TEXT) once more."""
    name, _, text = given.partition(":")
    of_line = maker.pack(MessageType.DECLARATION).elements[name].level == "commodity"
    (draft.line_twice if of_line else draft.twice)[name] = text


def _missing(draft: Draft, maker: Maker, names: str) -> None:
    """Leave out one of the elements that usage demands."""
    pack = maker.pack(MessageType.DECLARATION)
    needed = [name for name in names.split() if pack.usage_of(name, draft.top["cad_type"]) == "M"]
    draft.put(pack, {maker.rng.choice(needed): None})


def _unreadable(draft: Draft, maker: Maker, choices: str) -> None:
    """Give one element (ELEMENT:TEXT) what is not in its format."""
    name, _, text = maker.rng.choice(tuple(each for each in choices.split())).partition(":")
    draft.put(maker.pack(MessageType.DECLARATION), {name: text})


def _not_described_anew(draft: Draft, _maker: Maker, _argument: str) -> None:
    """Take the only change of a change back."""
    for line in draft.lines():
        line.pop("description", None)


DRAFT_CHANGES: Mapping[str, DraftChange] = {
    "late_release": _late_release,
    "line_dropped": _line_dropped,
    "line_value": _line_value,
    "invoice_off_by": _invoice_off_by,
    "swapped_line_numbers": _swapped_line_numbers,
    "same_line_number": _same_line_number,
    "once_more": _once_more,
    "lines": _lines,
    "missing": _missing,
    "unreadable": _unreadable,
    "not_described_anew": _not_described_anew,
}


# ------------------------------------------------------------------------------------------------ what is around it


# What the files cannot carry, as a sample's note says it.
UNKNOWN = Bilingual("the transport must not know the sender", "le transport ne doit pas connaître l'expéditeur")
INACTIVE = Bilingual("the sender must be registered as not active", "l'expéditeur doit être inscrit comme inactif")
OTHER_ACCOUNT = Bilingual(
    "another account security number than that of the transaction number must be the sender's",
    "l'expéditeur doit avoir un autre numéro de compte-garantie que celui du numéro de transaction",
)
OTHER_ID = Bilingual("the gateway must go by another id", "la passerelle doit porter un autre identifiant")
NO_TESTS = Bilingual("the gateway must not take tests", "la passerelle ne doit pas prendre d'essais")
ENDED = Bilingual("the version that is declared must have ended", "la version déclarée doit avoir pris fin")


def _listed_code(sample: Sample, _maker: Maker, given: str) -> Sample:
    """Add a code to a list: LIST CODE COLUMN:VALUE ..."""
    list_id, code, *columns = given.split()
    row = {"code": code, **dict(each.split(":") for each in columns)}
    old = sample.specs.code_lists[list_id]
    entry = Code(code, Bilingual(code, code), Period(), Bilingual("", ""), "high", row)
    codes = replace(old, codes={**old.codes, code: (entry,)})
    specs = replace(sample.specs, code_lists={**sample.specs.code_lists, list_id: codes})
    said = " ".join(columns)
    return replace(
        sample,
        specs=specs,
        note=Bilingual(
            f"the list {list_id} must have the code {code} ({said})",
            f"la liste {list_id} doit avoir le code {code} ({said})",
        ),
    )


def _unknown_sender(sample: Sample, _maker: Maker, _argument: str) -> Sample:
    return replace(sample, transport=None, note=UNKNOWN)


def _inactive_sender(sample: Sample, _maker: Maker, _argument: str) -> Sample:
    transport = replace(sample.partner, active=False)
    return replace(sample, transport=transport, note=INACTIVE)


def _authority_for(sample: Sample, _maker: Maker, importer: str) -> Sample:
    declaration = sample.steps[-1].declaration
    importers = [importer] if importer else [text for name in IMPORTERS if (text := declaration.text(name))]
    authorities = {**sample.partner.authorities, **dict.fromkeys(importers, (Period(),))}
    transport = replace(sample.partner, authorities=authorities)
    for_whom = ", ".join(importers)
    en, fr = (
        f"the sender must have authority for {for_whom}",
        f"l'expéditeur doit avoir le pouvoir d'agir pour {for_whom}",
    )
    return replace(sample, transport=transport, note=Bilingual(en, fr))


def _other_account(sample: Sample, _maker: Maker, _argument: str) -> Sample:
    transport = replace(sample.partner, accounts={"00000": frozenset()})
    return replace(sample, transport=transport, note=OTHER_ACCOUNT)


def _other_sender(sample: Sample, _maker: Maker, _argument: str) -> Sample:
    return replace(sample, steps=(*sample.steps[:-1], replace(sample.steps[-1], sender="SOMEBODYELSE")))


def _reference_used_before(sample: Sample, maker: Maker, _argument: str) -> Sample:
    last = replace(sample.steps[-1], reference="TWICE")
    other = maker.draft("AB", accounted=maker.day, share=0, plain=True, shape=(1,))
    return replace(sample, steps=(SampleMessage(MessageType.DECLARATION, other.freeze(), reference="TWICE"), last))


def _other_recipient(sample: Sample, _maker: Maker, _argument: str) -> Sample:
    agreement = replace(sample.partner.agreement, ids=("ANOTHERGATEWAY",))
    transport = replace(sample.partner, agreement=agreement)
    return replace(sample, transport=transport, note=OTHER_ID)


def _no_tests(sample: Sample, _maker: Maker, _argument: str) -> Sample:
    transport = replace(sample.partner, agreement=replace(sample.partner.agreement, tests=False))
    steps = (*sample.steps[:-1], replace(sample.steps[-1], test=True))
    return replace(sample, transport=transport, steps=steps, note=NO_TESTS)


def _ended_pack(sample: Sample, maker: Maker, _argument: str) -> Sample:
    yesterday = maker.day - timedelta(days=1)
    packs = tuple(replace(pack, valid=Period(pack.valid.start, yesterday)) for pack in sample.specs.packs)
    specs = replace(sample.specs, packs=packs)
    return replace(sample, specs=specs, note=ENDED)


# ------------------------------------------------------------------------------------------------ the bytes


def _unknown_statement(body: bytes, syntax: Syntax) -> bytes:
    old, new = (b"RCS+11+NOT:", b"RCS+11+ZZZ:") if syntax is Syntax.EDIFACT else (b">NOT<", b">ZZZ<")
    return body.replace(old, new)


def _without_value(body: bytes, syntax: Syntax) -> bytes:
    if syntax is Syntax.EDIFACT:
        return body.replace(b"RFF+ON:PO1'", b"RFF+ON'")
    return body.replace(b"<StatementDescription>Known</StatementDescription>", b"")


def _two_halves(body: bytes, syntax: Syntax) -> bytes:
    """Part the first reason from its remark."""
    if syntax is Syntax.EDIFACT:
        parted = body.replace(b"+Known'", b"'RCS+11+RS1:CAD'FTX+ACD+++Known'")
        return re.sub(rb"UNT\+(\d+)", lambda found: b"UNT+%d" % (int(found[1]) + 2), parted)
    end = b"<StatementTypeCode>RS1</StatementTypeCode></AdditionalInformation><AdditionalInformation>"
    return body.replace(b"<StatementDescription>Known<", end + b"<StatementDescription>Known<")


def _another_constant(body: bytes, syntax: Syntax) -> bytes:
    if syntax is Syntax.EDIFACT:
        return body.replace(b"HYN+3'", b"HYN+4'")
    return body.replace(b"<WCOTypeName>DEC<", b"<WCOTypeName>REC<")


def _too_large(body: bytes, _syntax: Syntax) -> bytes:
    return body + b"\n" * (10_000_001 - len(body))


def _spoilt(spoil: Callable[[bytes, Syntax], bytes]) -> SampleChange:
    """Return the change of the last message's bytes, once they are written."""
    return lambda sample, _maker, _argument: replace(
        sample, steps=(*sample.steps[:-1], replace(sample.steps[-1], spoil=spoil))
    )


SAMPLE_CHANGES: Mapping[str, SampleChange] = {
    "listed_code": _listed_code,
    "unknown_sender": _unknown_sender,
    "inactive_sender": _inactive_sender,
    "authority_for": _authority_for,
    "other_account": _other_account,
    "other_sender": _other_sender,
    "reference_used_before": _reference_used_before,
    "other_recipient": _other_recipient,
    "no_tests": _no_tests,
    "ended_pack": _ended_pack,
    "unknown_statement": _spoilt(_unknown_statement),
    "without_value": _spoilt(_without_value),
    "two_halves": _spoilt(_two_halves),
    "another_constant": _spoilt(_another_constant),
    "noise": _spoilt(lambda _body, _syntax: b"This is neither the one nor the other."),
    "nothing": _spoilt(lambda _body, _syntax: b""),
    "too_large": _spoilt(_too_large),
}
