"""What a message says, worked out from its bytes alone: for comparing it with what the writer makes of its declaration.

None of this knows the readers or the dictionary. What two messages may differ in and still say the same is written
down in docs/messages.md ("What is accounted for"); here are its tables.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal

from lxml import etree

# Numbers count by their value: tag, element and component of them; in XML the names of their elements.
NUMBERS = {("MOA", 1, 2), ("MEA", 3, 2), ("CNT", 1, 2), ("LIN", 1, 1), ("UNT", 1, 1)}
NAMES_OF_NUMBERS = {
    "GoodsItemQuantity", "TotalGrossMassMeasure", "InvoiceAmount", "FreightChargeAmount", "SequenceNumeric",
    "TariffQuantity", "ItemChargeAmount", "AdValoremTaxBaseAmount", "LineNumeric",
}  # fmt: skip
# A text may stand in several components: how many, and of how many characters.
TEXTS = {("FTX", 4): (5, 512), ("NAD", 4): (5, 70), ("NAD", 5): (4, 35)}
# Code metadata that may be left out; the language of a text; that a message comes in one transfer.
IGNORED = {("LOC", 2, 2), ("LOC", 2, 3), ("FTX", 5, 1), ("UNH", 4, 1), ("UNH", 4, 2)}
# The first segment of each group: what stands behind it belongs to it.
FIRST = {"RCS", "NAD", "TAX", "DOC", "GID", "LIN", "SEQ", "LOC", "TDT", "ARD", "CTA"}
XSI = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"

Content = Counter[tuple[object, ...]]
Segments = list[list[list[str]]]  # of elements of components


def blanks(text: str) -> str:
    """Return a text with any run of blanks as one, none around it."""
    return " ".join(text.split())


def number(text: str, mark: str = ".") -> object:
    """Return the value of a number, or the text if it is none."""
    plain = blanks(text).replace(mark, ".")
    return Decimal(plain).normalize() if re.fullmatch(r"[0-9]+(\.[0-9]+)?", plain) else text


# ------------------------------------------------------------------------------------------------ EDIFACT


class Interchange:
    """An interchange taken apart: `una` as it stands, `segments` of elements of components, nothing released."""

    def __init__(self, body: bytes) -> None:
        text = body.decode("latin-1")
        self.una = text[:9] if text.startswith("UNA") else ""
        signs = self.una[3:] or ":+,? '"
        self.component, self.element, self.mark, self.release, _, self.end = signs
        self.segments = self._segments(text[len(self.una) :])

    def _segments(self, text: str) -> list[list[list[str]]]:
        segments: list[list[list[str]]] = []
        current: list[list[str]] = [[""]]
        signs = iter(text)
        for sign in signs:
            if sign == self.release:
                current[-1][-1] += next(signs, "")
            elif sign == self.component:
                current[-1].append("")
            elif sign == self.element:
                current.append([""])
            elif sign == self.end:
                segments.append(current)
                current = [[""]]
            elif not (current == [[""]] and sign in "\r\n "):
                current[-1][-1] += sign
        return segments

    def write(self, segments: list[list[list[str]]]) -> bytes:
        """Return the interchange with other segments."""
        special = self.component + self.element + self.end + self.release

        def released(text: str) -> str:
            return "".join(self.release + sign if sign in special else sign for sign in text)

        lines = (
            self.element.join(self.component.join(map(released, element)) for element in segment)
            for segment in segments
        )
        return (self.una + "".join(line + self.end for line in lines)).encode("latin-1")


def edifact_content(body: bytes) -> Content:
    """Return what the messages of an interchange say: order within an invoice or line, and the envelope, left out."""
    interchange = Interchange(body)
    mark = interchange.mark
    return Counter(
        (*where, part, value)
        for where, segment in _placed(interchange.segments)
        for part, value in _parts(segment, mark)
    )


def _placed(segments: list[list[list[str]]]) -> Iterator[tuple[tuple[object, ...], list[list[str]]]]:
    """Yield each segment with where it belongs: the message, invoice and line by number, the head of its group."""
    message = invoice = line = 0
    head = party = ""
    for segment in segments:
        tag = segment[0][0]
        if tag in ("UNB", "UNZ", "UNG", "UNE"):
            continue
        if tag == "UNH":
            message, invoice, line = message + 1, 0, 0
        if tag == "UNS":
            invoice, line = invoice * (segment[1:2] != [["S"]]), 0
        if tag == "SEQ" and not head.startswith("DOC"):
            invoice, line = invoice + 1, 0
        if tag == "LIN":
            line += 1
        if tag == "CTA":
            head = f"{party}/CTA+{blanks(segment[1][0]) if len(segment) > 1 else ''}"
        elif tag in FIRST and not (tag == "SEQ" and head.startswith("DOC")):
            told_apart = segment[1 : 3 if tag in ("RCS", "TAX") else 2] if tag not in ("LIN", "SEQ") else []
            head = f"{tag}+" + "+".join(":".join(map(blanks, each)) for each in told_apart)
            party = head if tag == "NAD" else party
        elif tag in ("HYN", "UNS", "CNT", "UNT"):
            head = ""
        yield (message, invoice, line, head if tag in ("FTX", "COM", "MOA", "SEQ", "CTA") else "", tag), segment


def _parts(segment: list[list[str]], mark: str) -> Iterator[tuple[str, object]]:
    """Yield what stands in a segment; its first component tells it from its like, and goes with each."""
    tag = segment[0][0]
    qualifier = blanks(segment[1][0]) if len(segment) > 1 and tag != "LIN" else ""
    for at, element in enumerate(segment[1:], 1):
        count, full = TEXTS.get((tag, at), (0, 0))
        if text := _joined(element[:count], full):
            yield f"{qualifier} {at}", text
        for place, text in enumerate(element[count:], count + 1):
            if blanks(text) and (tag, at, place) not in IGNORED:
                value = number(text, mark) if (tag, at, place) in NUMBERS else blanks(text)
                yield f"{qualifier} {at}.{place}", value


def _joined(components: list[str], full: int) -> str:
    """Return a text from its components: each is a line, but behind one that is full it runs on."""
    text, before = "", ""
    for each in filter(None, components):
        text += each if len(before.rstrip()) >= full else f" {each}"
        before = each
    return blanks(text)


# ------------------------------------------------------------------------------------------------ XML


def xml_content(body: bytes) -> Content:
    """Return what a document's Declaration says; the metadata around it is the envelope."""
    root = etree.fromstring(body, etree.XMLParser(remove_comments=True, remove_pis=True, resolve_entities=False))
    declaration = next(root.iterchildren("{*}Declaration"))
    found: Content = Counter()
    _take(declaration, "", found)
    return found


def _take(node: etree._Element, path: str, found: Content) -> None:
    """Take in a node: classes of a kind by their type, invoices and lines by their number."""
    counts: Counter[str] = Counter()
    for name, value in node.attrib.items():
        if name != XSI:
            found[path, str(name), blanks(str(value))] += 1
    if not len(node):
        text = blanks(node.text or "")
        name = path.rpartition("/")[2].partition("[")[0]
        found[path, "", number(text) if name in NAMES_OF_NUMBERS else text] += 1
        return
    for text in (node.text, *(child.tail for child in node)):
        if text and text.strip():
            found[path, "text", text.strip()] += 1
    for child in node:
        name = etree.QName(child).localname
        kind = next((blanks(each.text or "") for each in child if etree.QName(each).localname.endswith("TypeCode")), "")
        if name in ("GoodsShipment", "GovernmentAgencyGoodsItem"):
            counts[name] += 1
            kind = str(counts[name])
        elif name in ("TypeCode", "StatementTypeCode", "IdentificationTypeCode") and path:
            kind = ""
        _take(child, f"{path}/{name}[{kind}]", found)


# ------------------------------------------------------------------------------------------------ mutants

# What is put where nothing stands: something that the tables let pass in most places.
VALUES = ("1", "ZZ", "USD")
Mutant = tuple[str, bytes]


def edifact_mutants(body: bytes, only: int | None = None) -> Iterator[Mutant]:
    """Yield an interchange with each single component or segment of its messages changed, with what was done.

    `only` is the number of a segment, counted round and round: then those of this one.
    """
    interchange = Interchange(body)
    segments = interchange.segments
    for number, segment in enumerate(segments):
        tag = segment[0][0]
        if tag in ("UNB", "UNZ", "UNG", "UNE") or (only is not None and number != only % len(segments)):
            continue
        for what, changed in _changed(segment):
            yield (
                f"{number + 1} {tag} {what}",
                interchange.write([*segments[:number], changed, *segments[number + 1 :]]),
            )
        if tag not in ("UNH", "UNT"):
            for what, changed in _rearranged(segments, number):
                yield f"{number + 1} {tag} {what}", interchange.write(counted(changed))


def _rearranged(segments: Segments, number: int) -> Iterator[tuple[str, Segments]]:
    """Yield segments with one of them left out, emptied, moved, or there again, with or without those behind it."""
    before, segment, behind = segments[:number], segments[number], segments[number + 1 :]
    yield "deleted", [*before, *behind]
    yield "twice", [*before, segment, segment, *behind]
    yield "emptied", [*before, [*segment[:2]], *behind]
    for what, changed in _changed(segment):
        if what.endswith("deleted"):
            yield f"again, {what}", [*before, segment, changed, *behind]
    for count in (2, 3):
        group, rest = segments[number : number + count], segments[number + count :]
        if group[-1][0][0] not in ("UNT", "UNZ"):
            yield f"and {count - 1} more twice", [*before, *group, *group, *rest]
            yield f"again behind {count - 1} more", [*before, *group, segment, *rest]
            yield f"moved behind {count - 1} more", [*before, *group[1:], segment, *rest]


def counted(segments: Segments) -> Segments:
    """Return segments with the right number in UNT; for interchanges of one message."""
    start = next(i for i, segment in enumerate(segments) if segment[0] == ["UNH"])
    return [
        [segment[0], [str(i - start + 1)], *segment[2:]] if segment[0] == ["UNT"] else segment
        for i, segment in enumerate(segments)
    ]


def _changed(segment: list[list[str]]) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield a segment with each single component changed, deleted, doubled, padded or joined by another."""
    for at, element in enumerate(segment[1:], 1):
        for part, text in enumerate(element):
            place, rest = f"{at}.{part + 1}", element[part + 1 :]

            def put(*components: str, at: int = at, part: int = part) -> list[list[str]]:
                element = segment[at]
                return [*segment[:at], [*element[:part], *components, *element[part + 1 :]], *segment[at + 1 :]]

            if text:
                last = "7" if text[-1].isdigit() and text[-1] != "7" else "8" if text[-1].isdigit() else "X"
                yield f"{place} changed", put(text[:-1] + last)
                yield f"{place} deleted", put("")
                yield f"{place} doubled", put(text, text)
                yield f"{place} padded", put(f"{text} ")
                yield f"{place} led by a blank", put(f" {text}")
                yield f"{place} with a decimal comma", put(f"{text},5")
                yield f"{place} with a decimal point", put(f"{text}.5")
            else:
                for value in VALUES:
                    yield f"{place} filled with {value}", put(value)
            if not rest:
                for value in VALUES:
                    yield f"{place} followed by {value}", put(text, value)
                    yield f"{place} followed by one between and {value}", put(text, "", value)
    for value in VALUES:
        yield f"another element {value}", [*segment, [value]]
        yield f"another element but one {value}", [*segment, [""], [value]]


ATTRIBUTES = {"listID": "1", "schemeAgencyID": "6", "languageID": "en", "currencyID": "USD", "unitCode": "LBR"}
INSTANCE = XSI.removesuffix("schemaLocation")
ATTRIBUTES |= {XSI: "urn:a b.xsd", f"{INSTANCE}nil": "false", f"{INSTANCE}type": "a"}


def xml_mutants(body: bytes, only: int | None = None) -> Iterator[Mutant]:
    """Yield a document with each single element, attribute or text of its Declaration changed, with what was done.

    `only` is the number of an element, counted round and round: then those of this one.
    """
    root = etree.fromstring(body)
    nodes = [node for node in next(root.iterchildren("{*}Declaration")).iter() if isinstance(node.tag, str)]
    for index in range(len(nodes)) if only is None else (only % len(nodes),):
        for what, change in _changes(nodes[index]):
            copy = etree.fromstring(body)
            node = list(next(copy.iterchildren("{*}Declaration")).iter(etree.Element))[index]
            change(node)
            path = "/".join(etree.QName(each).localname for each in (*reversed([*node.iterancestors()]), node))
            yield f"{path} {what}", etree.tostring(copy, encoding="UTF-8", xml_declaration=True)


def _changes(like: etree._Element) -> Iterator[tuple[str, Callable[[etree._Element], object]]]:
    """Yield what can be done to a node that is like this one."""
    for name, value in ATTRIBUTES.items():
        if name not in like.attrib:
            yield f"with {name}", lambda node, name=name, value=value: node.set(name, value)
    for name in like.attrib:
        yield f"without {name}", lambda node, name=name: node.attrib.pop(name)
        yield f"{name} changed", lambda node, name=name: node.set(name, f"{node.get(name)[:-1]}Z")
        yield f"{name} padded", lambda node, name=name: node.set(name, f" {node.get(name)} ")
    if like.getparent().tag.endswith("MetaData"):
        return
    yield "twice", lambda node: node.addnext(copy_of(node))
    yield "deleted", lambda node: node.getparent().remove(node)
    if len(like):
        yield "with a text", lambda node: setattr(node, "text", "text")
        yield "emptied", lambda node: [node.remove(child) for child in list(node)]
        for number, _ in enumerate(like):
            yield f"again without child {number + 1}", lambda node, number=number: _again(node, number)
            yield f"again with child {number + 1}", lambda node, number=number: _again(node, number, only=True)
    else:
        text = like.text or ""
        last = "7" if text[-1:].isdigit() and text[-1:] != "7" else "8" if text[-1:].isdigit() else "X"
        yield "changed", lambda node: setattr(node, "text", text[:-1] + last)
        yield "padded", lambda node: setattr(node, "text", f"\n {text}\t ")
        yield "with a blank", lambda node: setattr(node, "text", f"{text[:1]}  {text[1:]}")
        yield "without text", lambda node: setattr(node, "text", None)
        yield "with blanks alone", lambda node: setattr(node, "text", "  ")
        yield "with a decimal comma", lambda node: setattr(node, "text", f"{text},5")
        yield "with a child", lambda node: etree.SubElement(node, node.tag)
    yield "with a text behind", lambda node: setattr(node, "tail", "text")
    yield "with an unknown child", lambda node: etree.SubElement(node, node.tag.partition("}")[0] + "}Unknown")


def copy_of(node: etree._Element) -> etree._Element:
    """Return a node again."""
    return etree.fromstring(etree.tostring(node, with_tail=False))


def _again(node: etree._Element, number: int, *, only: bool = False) -> None:
    """Put a node behind itself again, without one of its children, or with that one and those that tell its kind."""
    again = copy_of(node)
    for at, child in enumerate(list(again)):
        kind = etree.QName(child).localname.endswith("TypeCode")
        if (at != number and not kind) if only else at == number:
            again.remove(child)
    node.addnext(again)
