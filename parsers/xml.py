"""Hardened reading of XML, and finding a declaration's addresses again in the sender's bytes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast
from xml.parsers import expat

from lxml import etree

from core import limits
from core.envelope import Envelope
from core.errors import Malformed, SpecError
from core.findings import Address, Fault, Place
from core.specs import Pack
from core.transmission import XML_SPACE
from parsers.places import XmlStep, xml_path

# UTF-16 is declared with or without its byte order; libxml2 reports what it used.
ENCODINGS = {"UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "US-ASCII", "ASCII"}

# Steps of the paths that libxml2 gives for a node.
NAMED_STEP, ATTRIBUTE_STEP = re.compile(r"/([^/*\[]+)"), re.compile(r"/@[^/]*$")


# Why a document is not well-formed, by libxml2's number of the error, in English and French; else as the last one says.
NOT_WELL_FORMED = {
    5: ("something follows the end of the document", "quelque chose suit la fin du document"),
    9: ("a character that XML forbids", "un caractère que XML interdit"),
    26: ("an entity that XML does not define", "une entité que XML ne définit pas"),
    32: ("an encoding that is not known", "un codage inconnu"),
    42: ("an attribute given twice", "un attribut donné deux fois"),
    68: ("a sign < or & that begins nothing", "un signe < ou & qui ne commence rien"),
    73: ("a tag without end", "une balise sans fin"),
    76: ("an end tag of another name than the start tag", "une balise de fin d'un autre nom que celle de début"),
    77: ("the document ends before its elements do", "le document finit avant ses éléments"),
    81: ("bytes that are not of the declared encoding", "des octets étrangers au codage déclaré"),
    114: ("nested too deeply, or a text too long", "une imbrication trop profonde ou un texte trop long"),
    201: ("a prefix without namespace", "un préfixe sans espace de noms"),
    0: ("something that XML does not allow here", "quelque chose que XML n'admet pas ici"),
}


def parse(body: bytes) -> etree._Element:
    """Return the root of an XML document.

    Raises Malformed: not well-formed (XML-0001), a DTD or entity (XML-0002), too many nodes (XML-0003), an encoding
    other than UTF-8 and UTF-16 (XML-0005), or one that contradicts the byte order mark (XML-0006). libxml2 bounds
    depth, text size and entity growth, not the number of nodes: the signs that open an element or give an attribute a
    value bound those before anything is built.
    """
    if body.count(b"<") > limits.XML_NODES or body.count(b"=") > limits.XML_NODES:
        most = limits.XML_NODES
        raise Malformed("XML-0003", f"more than {most} nodes", reason_fr=f"plus de {most} nœuds")
    if body[:2] in MARKS or body[:3] in MARKS:
        _compare_with_mark(body)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        # collect_ids stays as it is: switched off, libxml2 opens the external DTD that a document names.
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        place = Place(line=max(line, 1), column=max(column, 1))
        reason, reason_fr = NOT_WELL_FORMED.get(getattr(error, "code", 0), NOT_WELL_FORMED[0])
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


# A compiled schema.
Schema = etree.XMLSchema


def schema(path: Path) -> Schema:
    """Return the compiled schema of a pack; raises SpecError for one that libxml2 does not accept."""
    try:
        return etree.XMLSchema(etree.parse(path))
    except (etree.XMLSchemaParseError, etree.XMLSyntaxError, OSError) as error:
        raise SpecError(path.name, None, f"is not a usable schema: {error}") from error


def fits(root: etree._Element, compiled: Schema) -> bool:
    """Decide whether the document fits a schema."""
    return bool(compiled.validate(root))


def misfits(root: etree._Element, compiled: Schema, most: int) -> list[etree._Element]:
    """Return the first nodes of a document that libxml2 finds at fault.

    It is validated anew: the schema's log is of whatever document it has seen last.
    """
    compiled.validate(root)
    log: Any = compiled.error_log
    paths = dict.fromkeys(entry.path for entry in islice(log, most) if entry.path)
    # libxml2 writes a prefix that only the node's own surroundings know.
    plain = [NAMED_STEP.sub(r"/*[name()='\1']", ATTRIBUTE_STEP.sub("", path)) for path in paths]
    return [node for path in plain for node in cast("list[etree._Element]", root.xpath(path))]


def declaration_of(root: etree._Element) -> etree._Element | None:
    """Return the Declaration inside the metadata, whatever namespace it is in; None if there is none."""
    return next(root.iterchildren("{*}Declaration"), None)


def text_at(node: etree._Element | None, path: str, namespace: str = "*") -> str | None:
    """Return the text at a path of names below a node, in a namespace or (*) in any; None if it is absent or blank."""
    return None if node is None else finder(path, namespace)(node)


# Finds the text at a path of names below a node; None if it is absent or blank.
Finder = Callable[[etree._Element], str | None]


def finder(path: str, namespace: str = "*") -> Finder:
    """Compile what finds the text at a path of names, in a namespace or (*) in any."""
    step = "*[local-name()='{}']" if namespace == "*" else "n:{}"
    steps = "/".join(step.format(name) for name in path.split("/"))
    compiled = etree.XPath(f"string({steps})", namespaces={"n": namespace})
    return lambda node: cast("str", compiled(node)).strip() or None


def path_of(pack: Pack, name: str) -> str:
    """Return the path of names below the Declaration at which an element stands."""
    return "/".join(step.name for step in xml_path(pack.elements[name]))


def place_in_envelope(root: etree._Element, path: str, document: XmlDocument) -> Place:
    """Return the place of what the metadata wrapper says at a path, or of the wrapper where it says nothing."""
    node = root
    for name in path.split("/"):
        node = next(node.iterchildren(f"{{*}}{name}"), node)
    return document.place_of(node)


class XmlDocument:
    """An XML document that was read; finds addresses of the declaration in it."""

    def __init__(
        self, body: bytes, root: etree._Element, pack: Pack, envelope: Envelope, *, fits: bool = False
    ) -> None:
        self._body, self.root, self._pack, self._envelope = body, root, pack, envelope
        self.fits = fits  # whether it fits the pack's schema

    def text(self) -> str:
        """Return the document as text."""
        encoding = self.root.getroottree().docinfo.encoding or "UTF-8"
        return self._body.decode(encoding, errors="replace").lstrip("\ufeff")

    def locate(self, address: Address) -> Place:
        """Return the place of an address, or of the nearest class above it that is present."""
        node = declaration_of(self.root)
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
        line, column = self._positions[next(i for i, other in enumerate(self.root.iter()) if other is node)]
        return Place(
            interchange=self._envelope.reference,
            message=self._envelope.message,
            line=line,
            column=column,
            xpath=_readable_path(node),
            pointer=pointer,
        )

    def unread_faults(self, nodes: Sequence[etree._Element]) -> list[Fault]:
        """Return the faults of nodes that the dictionary has not."""
        found = ((node, node.tag.rpartition("}")[2]) for node in nodes)
        return [Fault("CAD-0007", place=self.place_of(node), value=name) for node, name in found]

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
        except expat.ExpatError:  # names that only the fifth edition of XML allows: libxml2 knows at least the lines
            return tuple((cast("int", node.sourceline or 1), 1) for node in self.root.iter())
        marked = self._body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))  # expat counts the mark
        return tuple((line, column - (marked and line == 1)) for line, column in found)


def start_of(root: etree._Element) -> Place:
    """Return the place of the document's root."""
    return Place(line=cast("int", root.sourceline), column=1, xpath=f"/{_local(root)}")


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


def _readable_path(node: etree._Element) -> str:
    """Return an XPath by local names, numbered where a name repeats among its siblings."""
    steps = []
    walk: etree._Element | None = node
    while walk is not None:
        parent = walk.getparent()
        alike = [] if parent is None else [child for child in parent if child.tag == walk.tag]
        steps.append(_local(walk) + (f"[{alike.index(walk) + 1}]" if len(alike) > 1 else ""))
        walk = parent
    return "/" + "/".join(reversed(steps))
