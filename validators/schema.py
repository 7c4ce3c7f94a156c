"""Explains, slowly and fully, what the XML schema refuses; the fast verdict is lxml's, in the parser's room."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import xmlschema

from gateway.limits import FINDINGS_LISTED
from gateway.model import Address, Fault, MessageType, Place, Unreadable
from gateway.specs import Element, Pack
from validators.elements import MISSING, UNREADABLE, details_of, in_words, usage_of

STRUCTURE = "XML-0004"

# A document can be wrong everywhere: explaining stops at twice what an answer lists.
ERRORS_EXPLAINED = 2 * FINDINGS_LISTED

# Documents with more elements are explained by excerpt: so many already take a tenth of a second. And so many children
# of one name stay in an excerpt beside those at fault.
EXPLAINED_NODES, LIKE = 3_000, 5

# What XML 1.0 counts as white space; Unicode knows more.
XML_SPACE = " \t\r\n"

STEP = re.compile(r"(?P<name>[^\[]+)(?:\[(?P<attribute>@)?(?P<key>\w+)=(?P<value>[^\]]+)\])?")
ATTRIBUTE = re.compile(r"(?:attribute|missing required attribute) '?(\w+)")


class Trouble(NamedTuple):
    """One thing the schema refuses: the node, why, what stood there and what was expected.

    `element` is the dictionary element that it concerns if the dictionary check is sure to report it, with its code.
    """

    node: Any
    reason: str
    value: str
    expected: str
    element: Element | None = None
    code: str = STRUCTURE


def explain(root: Any, pack: Pack, place_of: Callable[[Any], Place], misfits: Sequence[Any] = ()) -> list[Fault]:
    """Return the faults of a parsed document (lxml's root element) that does not fit the pack's schema.

    Empty if the dictionary check is sure to report every one of them, as missing or not in its format: then that goes
    on. With any other error among them all are returned, the dictionary's own under its codes. `misfits` are the nodes
    that libxml2 found at fault: of a large document only those and their surroundings are looked at, since xmlschema
    goes through all that it is given, and takes a hundred times as long as libxml2.
    """
    originals: dict[Any, Any] = {}
    looked_at = root
    if misfits and sum(1 for _ in islice(root.iter(), EXPLAINED_NODES + 1)) > EXPLAINED_NODES:
        keep = {above for node in misfits for above in (node, *node.iterancestors())}
        looked_at = _excerpt(root, keep, originals)
    found = [each._replace(node=originals.get(each.node, each.node)) for each in _troubles(looked_at, pack)]
    troubles = found or [_stray(root)]
    if troubles and all(trouble.element for trouble in troubles):
        return []
    return [_fault(trouble, pack, place_of) for trouble in troubles]


def _excerpt(node: Any, keep: Collection[Any], originals: dict[Any, Any]) -> Any:
    """Return a copy of a node with the children to keep and the first few others of each name."""
    copy = node.makeelement(node.tag, dict(node.attrib), node.nsmap)
    copy.text = node.text
    originals[copy] = node
    like: Counter[str] = Counter()
    for child in node:
        like[child.tag] += 1
        if child in keep or like[child.tag] <= LIKE:
            part = _excerpt(child, keep, originals)
            part.tail = child.tail
            copy.append(part)
    return copy


@cache
def _schema(path: Path) -> xmlschema.XMLSchema10:
    """Return the schema, built once, from local files only."""
    return xmlschema.XMLSchema10(str(path), allow="local", defuse="always")


def _errors(root: Any, pack: Pack) -> Iterator[Any]:
    """Yield xmlschema's errors, up to where it gives up itself (it raises at an unknown xsi:type)."""
    with suppress(xmlschema.XMLSchemaException, LookupError):
        yield from _schema(pack.schema).iter_errors(root)


def _troubles(root: Any, pack: Pack) -> list[Trouble]:
    """Return the schema's errors, each place once."""
    found: dict[tuple[str, str], Trouble] = {}
    for error in islice(_errors(root, pack), ERRORS_EXPLAINED):
        node, reason = error.elem if error.elem is not None else root, error.reason or str(error.message)
        attribute = ATTRIBUTE.match(reason)
        key = attribute[1] if attribute else ""
        if isinstance(error, xmlschema.XMLSchemaChildrenValidationError):
            trouble, key = _children(error, node, pack), "children"
        else:
            trouble = _content(node, key, reason, pack)
        found.setdefault((error.path or "", key), trouble)
    return list(found.values())


def _stray(root: Any) -> Trouble:
    """Return what xmlschema does not mind: text between elements that is a space in Unicode but none in XML."""
    for node in root.iter():
        texts = (node.text, *(child.tail for child in node)) if len(node) else ()
        if text := next((each for each in texts if each and each.strip(XML_SPACE)), None):
            return Trouble(node, f"text stands between the elements of {_local(node.tag)}", text, "elements only")
    return Trouble(root, "the document does not fit the schema", _local(root.tag), "a document that fits the schema")


def _children(error: xmlschema.XMLSchemaChildrenValidationError, node: Any, pack: Pack) -> Trouble:
    """Return what is wrong with a node's children: one too many, out of order, unknown, or one missing."""
    expected = [_local(tag) for tag in error.expected_tags]
    child = error.invalid_child
    if child is None:
        reason = f"{_local(node.tag)} lacks {' or '.join(expected)}"
        trouble = Trouble(node, reason, _local(node.tag), ", ".join(expected))
    else:
        reason = f"{_local(child.tag)} does not belong here in {_local(node.tag)}"
        trouble = Trouble(child, reason, _local(child.tag), ", ".join(expected) or f"not {_local(child.tag)}")
    known = child is None or any(_leads_to(child, element, pack) for element in pack.elements.values())
    for name in expected if known and len(expected) == 1 else ():
        if any(_local(each.tag) == name for each in node if isinstance(each.tag, str)):
            continue
        path = "/".join((*_path(node, pack), name))
        for element in pack.elements.values():
            if element.xml_path == path and usage_of(element.name, pack, MessageType.DECLARATION, None) == "M":
                return trouble._replace(element=element, code=MISSING)
    return trouble


def _content(node: Any, attribute: str, reason: str, pack: Pack) -> Trouble:
    """Return what is wrong with a node's text, or with one of its attributes."""
    text = (node.get(attribute) or "") if attribute else (node.text or "")
    trouble = Trouble(node, reason, text or _local(node.tag), reason)
    for element in pack.elements.values():
        if element.direction != "out" and _is_at(node, attribute, element, pack):
            if not text.strip() and usage_of(element.name, pack, MessageType.DECLARATION, None) == "M":
                return trouble._replace(element=element, code=MISSING)
            if text.strip() and isinstance(element.format.read(text.strip()), Unreadable):
                return trouble._replace(element=element, code=UNREADABLE)
            break
    return trouble


def _fault(trouble: Trouble, pack: Pack, place_of: Callable[[Any], Place]) -> Fault:
    """Return the trouble as a fault: the dictionary's own at its address, any other at its place."""
    element = trouble.element
    if element is None:
        details = {"reason": trouble.reason}
        place = place_of(trouble.node)
        return Fault(STRUCTURE, place=place, value=trouble.value, expected=trouble.expected, details=details)
    if trouble.code == MISSING:
        return Fault(MISSING, _address(trouble, pack), details=details_of(element))
    words = in_words(element.format)
    details = {
        **details_of(element),
        "format": element.format.notation,
        "expected_en": words.en,
        "expected_fr": words.fr,
    }
    return Fault(
        UNREADABLE, _address(trouble, pack), value=trouble.value, expected=element.format.notation, details=details
    )


# ------------------------------------------------------------------------------------------------ paths


def _local(tag: object) -> str:
    """Return a tag without its namespace."""
    return str(tag).rpartition("}")[2]


def _path(node: Any, pack: Pack) -> tuple[str, ...]:
    """Return the names from below Declaration down to the node; for what is outside it, no name that a path has."""
    names: list[str] = []
    while node is not None and node.tag != f"{{{pack.namespace}}}Declaration":
        names.append(_local(node.tag))
        node = node.getparent()
    return tuple(reversed(names)) if node is not None else ("/",)


def _address(trouble: Trouble, pack: Pack) -> Address:
    """Return the trouble's address: the invoice and line are counted among their like."""
    numbers = {}
    for level in ("invoice", "commodity"):
        path, node = tuple(pack.xml_levels[level].split("/")), trouble.node
        while node is not None and _path(node, pack) != path:
            node = node.getparent()
        numbers[level] = 0 if node is None else 1 + sum(1 for _ in node.itersiblings(node.tag, preceding=True))
    return Address(trouble.element.name if trouble.element else "", numbers["invoice"], numbers["commodity"])


def _is_at(node: Any, attribute: str, element: Element, pack: Pack) -> bool:
    """Tell whether the node (or its attribute) is the dictionary element's place, conditions included."""
    steps = (element.xml_path or "").split("/")
    at = f"@{attribute}" if attribute else ""
    if (steps[-1] if steps[-1].startswith("@") else "") != at:
        return False
    steps = steps[:-1] if at else steps
    if len(steps) != len(_path(node, pack)):
        return False
    for step in reversed(steps):
        found = STEP.fullmatch(step)
        if not found or _local(node.tag) != found["name"]:
            return False
        if found["key"]:
            key = f"{{{pack.namespace}}}{found['key']}"
            given = node.get(found["key"]) if found["attribute"] else node.findtext(key)
            if given != found["value"]:
                return False
        node = node.getparent()
    return True


def _leads_to(node: Any, element: Element, pack: Pack) -> bool:
    """Tell whether the dictionary element's path goes through the node."""
    names = tuple(step.partition("[")[0] for step in (element.xml_path or "").split("/"))
    path = _path(node, pack)
    return names[: len(path)] == path
