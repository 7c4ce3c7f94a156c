"""Hardened reading of XML, and finding a declaration's addresses again in the sender's bytes."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, cast
from xml.parsers import expat

from lxml import etree

from core import limits
from core.envelope import Envelope
from core.errors import Malformed
from core.findings import Address, Fault, Place
from core.specs import Pack, XmlForm
from core.transmission import XML_SPACE
from parsers import xml_names
from parsers.notes import echo_of
from parsers.places import XmlStep, xml_path
from parsers.xml_finding import inside, text_at

# UTF-16 is declared with or without its byte order; libxml2 reports what it used.
ENCODINGS = {"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ASCII"}


# Why a document is not well-formed, by libxml2's number of the error, in English and French; else as the last one says.
NOT_WELL_FORMED = {
    5: ("something follows the end of the document", "quelque chose suit la fin du document"),
    9: ("a character that XML forbids", "un caractère que XML interdit"),
    23: ("an entity without its semicolon", "une entité sans son point-virgule"),
    26: ("an entity that XML does not define", "une entité que XML ne définit pas"),
    32: ("an encoding that is not known", "un codage inconnu"),
    33: ("a value without its quotes", "une valeur sans ses guillemets"),
    38: ("a sign < in the value of an attribute", "un signe < dans la valeur d'un attribut"),
    39: ("the value of an attribute without quotes", "la valeur d'un attribut sans guillemets"),
    40: ("the value of an attribute without end", "la valeur d'un attribut sans fin"),
    41: ("an attribute without a value", "un attribut sans valeur"),
    42: ("an attribute given twice", "un attribut donné deux fois"),
    45: ("a comment without end", "un commentaire sans fin"),
    47: ("a processing instruction without end", "une instruction de traitement sans fin"),
    57: ("an XML declaration without its end ?>", "une déclaration XML sans sa fin ?>"),
    62: ("the signs ]]> outside a CDATA section", "les signes ]]> hors d'une section CDATA"),
    63: ("a CDATA section without end", "une section CDATA sans fin"),
    64: (
        "an XML declaration that is not at the very beginning, or in capitals",
        "une déclaration XML ailleurs qu'au tout début, ou en majuscules",
    ),
    65: ("a blank is missing here", "un espace manque ici"),
    68: ("a sign < or & that begins nothing", "un signe < ou & qui ne commence rien"),
    73: ("a tag without end", "une balise sans fin"),
    75: ("a sign = is missing here", "un signe = manque ici"),
    76: ("an end tag of another name than the start tag", "une balise de fin d'un autre nom que celle de début"),
    77: ("the document ends before its elements do", "le document finit avant ses éléments"),
    78: ("standalone says neither yes nor no", "standalone ne dit ni yes ni no"),
    79: ("an encoding that has no name", "un codage sans nom"),
    80: ("two hyphens inside a comment", "deux traits d'union dans un commentaire"),
    81: ("bytes that are not of the declared encoding", "des octets étrangers au codage déclaré"),
    96: ("an XML declaration without its version first", "une déclaration XML sans la version en tête"),
    108: ("a version of XML that is not supported", "une version de XML non prise en charge"),
    114: ("nested too deeply, or a text too long", "une imbrication trop profonde ou un texte trop long"),
    200: ("a prefix that XML keeps for itself", "un préfixe que XML se réserve"),
    201: ("a prefix without namespace", "un préfixe sans espace de noms"),
    0: ("something that XML does not allow here", "quelque chose que XML n'admet pas ici"),
}
# Blanks before the XML declaration; a declaration of UTF-16 in single bytes: libxml2 stumbles over what follows.
BLANK_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?\s+<\?xml")
WIDE_IN_NAME = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml\s[^>]{0,200}encoding\s*=\s*['"]UTF-(?:16|32)""", re.IGNORECASE)


def _not_well_formed(code: int, body: bytes) -> tuple[str, str]:
    """Return why a document is not well-formed, by libxml2's number of the error and how it begins."""
    if code in (64, 65):
        if BLANK_FIRST.match(body):
            return "blanks before the XML declaration", "des espaces avant la déclaration XML"
        if WIDE_IN_NAME.match(body):
            return "the encoding that it declares is not its own", "le codage qu'il déclare n'est pas le sien"
    if code == 64 and body.startswith(b"<?xml") and body.count(b"<?xml ") > 1:
        return "a second document behind the first", "un deuxième document derrière le premier"
    return NOT_WELL_FORMED.get(code, NOT_WELL_FORMED[0])


def parse(body: bytes, named: bytes | None = None) -> etree._Element:
    """Return the root of an XML document; `named` is what is to be searched for names, if not the whole.

    Raises Malformed: not well-formed (XML-0001), a DTD or entity (XML-0002), too many nodes (XML-0003), an encoding
    other than UTF-8 and UTF-16 (XML-0005), or one that contradicts the byte order mark (XML-0006). libxml2 bounds
    depth, text size and entity growth, not the number of nodes: the signs that open an element or give an attribute a
    value bound those before anything is built.
    """
    most = limits.XML_NODES
    if len(body) > most and max(body.count(b"<"), body.count(b"=")) > most:
        raise Malformed("XML-0003", f"more than {most} nodes", reason_fr=f"plus de {most} nœuds")
    if body[:2] in MARKS or body[:3] in MARKS:
        _compare_with_mark(body)
    try:
        root = xml_names.parsed(body, lambda given: etree.fromstring(given, xml_names.hardened()), named)
    except etree.XMLSyntaxError as error:
        xml_names.check_own(getattr(error, "code", 0))
        line, column = error.position
        place = Place(line=max(line, 1), column=max(column, 1))
        reason, reason_fr = _not_well_formed(getattr(error, "code", 0), body)
        raise Malformed("XML-0001", reason, place=place, reason_fr=reason_fr) from None
    except ValueError:
        reason, reason_fr = NOT_WELL_FORMED[0]
        raise Malformed("XML-0001", reason, place=Place(line=1, column=1), reason_fr=reason_fr) from None
    info = root.getroottree().docinfo
    if info.internalDTD is not None:
        raise Malformed("XML-0002", "a document type declaration", place=Place(line=1, column=1))
    if (info.encoding or "UTF-8").upper() not in ENCODINGS:
        raise Malformed("XML-0005", f"the encoding {info.encoding}", place=Place(line=1, column=1), value=info.encoding)
    return root


# Byte order marks: the codec, and the encodings that a declaration may name with it.
MARKS = {
    b"\xef\xbb\xbf": ("UTF-8", {"UTF-8"}),
    b"\xff\xfe": ("UTF-16LE", {"UTF-16", "UTF-16LE"}),
    b"\xfe\xff": ("UTF-16BE", {"UTF-16", "UTF-16BE"}),
}
DECLARED = re.compile(r"\ufeff<\?xml\s[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.-]+)")


def _compare_with_mark(body: bytes) -> None:
    """Raise Malformed for a declaration that names another encoding than the byte order mark before it."""
    codec, names = MARKS[body[:3] if body[:3] in MARKS else body[:2]]
    found = DECLARED.match(body[:1_000].decode(codec, "replace"))
    if found and found[1].upper() not in names:
        raise Malformed("XML-0006", codec, place=Place(line=1, column=1), value=found[1])


def place_in_envelope(root: etree._Element, path: str, document: XmlDocument) -> Place:
    """Return the place of what the envelope says at a path, or of the root where it says nothing."""
    node = root
    for name in path.split("/"):
        node = next(node.iterchildren(f"{{*}}{name}"), node)
    return document.place_of(node)


# Expat's number of the error that is the process's own.
NO_MEMORY = expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]


class UnreadNode(NamedTuple):
    """Content that is not read: the code of its finding, the node, and the attribute or text of it if that is meant.

    Of what says nothing, `elements` are those that could stand there.
    """

    code: str
    node: etree._Element
    attribute: str = ""
    text: str = ""
    expected: str | None = None
    elements: tuple[str, ...] = ()


class XmlDocument:
    """An XML document that was read; finds addresses of the declaration in it."""

    def __init__(
        self, body: bytes, root: etree._Element, pack: Pack, envelope: Envelope, *, fits: bool = False
    ) -> None:
        self._body, self.root, self._pack, self._envelope = body, root, pack, envelope
        self.fits = fits  # whether it fits the pack's schema
        self._children: dict[etree._Element, dict[etree._Element, tuple[int, int]]] = {}

    def text(self) -> str:
        """Return the document as text."""
        encoding = self.root.getroottree().docinfo.encoding or "UTF-8"
        return self._body.decode(encoding, errors="replace").lstrip("\ufeff")

    def locate(self, address: Address) -> Place:
        """Return the place of an address, or of the nearest class above it that is present."""
        node = inside(self.root, self._pack.document.way)
        here = self.root if node is None else node
        for level, number in (("invoice", address.invoice), ("commodity", address.line)):
            if number:
                above = self._pack.xml_levels[level].rsplit("/", 1)[-1]
                found = [child for child in here if _local(child) == above]
                here = found[number - 1] if number <= len(found) else here
        element = self._pack.elements.get(address.element)
        if element and element.xml_path:
            steps = xml_path(element)[self._depth(address) :]
            here = _descend(here, steps, address.occurrence)
        return self.place_of(here, self._pack.pointer(address))

    def place_of(self, node: etree._Element, pointer: str | None = None) -> Place:
        """Return the place of a node: where its text begins, or else its tag."""
        line, column = self._positions[self._numbers[node]]
        return Place(
            interchange=self._envelope.reference,
            message=self._envelope.message,
            line=line,
            column=column,
            xpath=self._readable_path(node),
            pointer=pointer,
        )

    @functools.cached_property
    def _numbers(self) -> dict[etree._Element, int]:
        """The number of each element in document order."""
        return {node: number for number, node in enumerate(self.root.iter())}

    def _readable_path(self, node: etree._Element) -> str:
        """Return an XPath by local names, numbered where a name repeats among its siblings; of a long one its end."""
        steps = []
        walk: etree._Element | None = node
        while walk is not None:
            parent = walk.getparent()
            number, alike = (1, 1) if parent is None else self._among(parent)[walk]
            steps.append(_local(walk) + (f"[{number}]" if alike > 1 else ""))
            walk = parent
        path = "/" + "/".join(reversed(steps))
        return path if len(path) <= limits.PATH_CHARACTERS else f"…{path[1 - limits.PATH_CHARACTERS :]}"

    def _among(self, parent: etree._Element) -> dict[etree._Element, tuple[int, int]]:
        """Return which of its name each child of a node is, and how many of that name there are."""
        found = self._children.get(parent)
        if found is None:
            alike, numbers = Counter(child.tag for child in parent), Counter[str]()
            found = self._children[parent] = {}
            for child in parent:
                numbers[child.tag] += 1
                found[child] = numbers[child.tag], alike[child.tag]
        return found

    def unread_faults(self, found: Sequence[UnreadNode]) -> list[Fault]:
        """Return the faults of content that no declaration has."""
        return [self._unread(each) for each in found[: limits.UNREAD]]

    def _unread(self, found: UnreadNode) -> Fault:
        place, text = self.place_of(found.node), found.text or _local(found.node)
        if found.attribute:
            name = found.attribute.rpartition("}")[2]
            place, text = replace(place, xpath=f"{place.xpath}/@{name}"), f'{name}="{found.node.get(found.attribute)}"'
        return Fault(found.code, None, place, text, found.expected, echo_of(found.elements))

    def _depth(self, address: Address) -> int:
        """Return how many steps of an element's path lead to the level of the address."""
        level = "commodity" if address.line else "invoice" if address.invoice else ""
        return self._pack.xml_levels[level].count("/") + 1 if level else 0

    @functools.cached_property
    def _positions(self) -> tuple[tuple[int, int], ...]:
        """(line, column) of every element in document order: libxml2 keeps lines only, expat both."""
        found: list[tuple[int, int]] = []
        open_tags: list[int] = []
        textless: set[int] = set()
        # UTF-16 that says of itself that it is UTF-8: libxml2 goes by the bytes, expat would refuse it.
        used = self.root.getroottree().docinfo.encoding or ""
        parser = expat.ParserCreate("UTF-16" if used.startswith("UTF-16") else None)

        def start(_tag: str, _attributes: object) -> None:
            open_tags.append(len(found))
            textless.add(len(found))
            found.append((parser.CurrentLineNumber, parser.CurrentColumnNumber + 1))

        def end(_tag: str) -> None:
            open_tags.pop()

        def characters(data: str) -> None:
            text = data.lstrip(XML_SPACE)
            if open_tags[-1] in textless and text:
                textless.remove(open_tags[-1])
                blank = len(data) - len(text)
                found[open_tags[-1]] = (parser.CurrentLineNumber, parser.CurrentColumnNumber + 1 + blank)

        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
        try:
            parser.Parse(self._body, True)
        except (
            expat.ExpatError
        ) as error:  # names that only the fifth edition of XML allows: libxml2 knows at least the lines
            if error.code == NO_MEMORY:
                raise MemoryError("expat could not go on") from None
            return tuple((cast("int", node.sourceline or 1), 1) for node in self.root.iter())
        marked = self._body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))  # expat counts the mark
        return tuple((line, column - (marked and line == 1)) for line, column in found)


def not_ours(root: etree._Element, body: bytes, packs: Sequence[Pack]) -> Malformed:
    """Return the refusal of a document that no pack reads: which name or namespace is another one, and where.

    Of several forms that it may be meant to have, it is the one that it has more of.
    """
    meant = max((pack.document for pack in packs), key=lambda form: len(_alike(root, form)))
    found = _alike(root, meant)
    at, value = root, _local(root)
    odd = next((node for node, tag in zip(found, meant.way, strict=False) if node.tag != tag), None)
    if odd is not None:
        number = found.index(odd)
        of_all = (each.document.way[number] for each in packs if each.document.names == meant.names)
        at, value = odd, _namespace(odd)
        expected = ", ".join(dict.fromkeys(tag[1:].partition("}")[0] for tag in of_all))
    elif found:
        expected = "/".join(meant.names)
    else:
        expected = ", ".join(dict.fromkeys(each.document.names[0] for each in packs))
    place = XmlDocument(body, root, packs[0], Envelope()).place_of(at)
    return Malformed("GTW-0002", value, place=place, value=value, expected=expected)


def _alike(root: etree._Element, form: XmlForm) -> list[etree._Element]:
    """Return the nodes of a document that are called as a form's, whatever their namespace, from the root down."""
    found: list[etree._Element] = []
    for name in form.names:
        nodes = [root] if not found else found[-1].iterchildren(f"{{*}}{name}")
        node = next((each for each in nodes if _local(each) == name), None)
        if node is None:
            break
        found.append(node)
    return found


def _namespace(node: etree._Element) -> str:
    """Return an element's namespace, of a long one its end, where others of its kind differ."""
    found = etree.QName(node).namespace or f'{etree.QName(node).localname} xmlns=""'
    return found if len(found) <= limits.ECHO_CHARACTERS else f"…{found[1 - limits.ECHO_CHARACTERS :]}"


def _local(node: etree._Element) -> str:
    """Return a node's name without its namespace."""
    return node.tag.rpartition("}")[2]


def _descend(here: etree._Element, steps: tuple[XmlStep, ...], occurrence: int) -> etree._Element:
    """Return the occurrence-th node at the steps below a node, or the deepest node above it that is present."""
    matches = [here]
    for step in steps:
        if step.name.startswith("@"):
            break
        below = [child for node in matches for child in _children(node, step)]
        if not below:
            return matches[-1 if occurrence > len(matches) else occurrence - 1]
        matches = below
    return matches[min(occurrence, len(matches)) - 1]


def _children(node: etree._Element, step: XmlStep) -> Iterator[etree._Element]:
    """Yield the children of a node that a step means."""
    wanted = [(name, value) for name, value in step.conditions if not name.startswith("@")]
    for child in node:
        if _local(child) == step.name and all(text_at(child, name) == value for name, value in wanted):
            yield child
