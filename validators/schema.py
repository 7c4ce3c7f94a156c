"""Explains, slowly and fully, what the XML schema refuses; the fast verdict is lxml's, in the parser's room."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from core.declaration import MessageType, Unreadable
from core.findings import Address, Bilingual, Fault, Place
from core.limits import FINDINGS_LISTED
from core.specs import Element, Pack
from core.transmission import XML_SPACE
from parsers.xml_names import apart
from validators.elements import MISSING, details_of, unreadable, usage_of

if TYPE_CHECKING:
    import xmlschema

STRUCTURE = "XML-0004"

# A document can be wrong everywhere: explaining stops at twice what an answer lists.
ERRORS_EXPLAINED = 2 * FINDINGS_LISTED

# Documents with more elements are explained by excerpt: so many already take a tenth of a second. And so many children
# of one name stay in an excerpt beside those at fault.
EXPLAINED_NODES, LIKE = 3_000, 5
# Names among the children of a node of which any stay: a schema has fewer.
KINDS = 100

# By these an element says itself of what type it is, or that it is empty.
XSI = {f"{{http://www.w3.org/2001/XMLSchema-instance}}{name}" for name in ("type", "nil")}

STEP = re.compile(r"(?P<name>[^\[]+)(?:\[(?P<attribute>@)?(?P<key>\w+)=(?P<value>[^\]]+)\])?")
# How xmlschema speaks of an attribute that is wrong, missing or not allowed.
ATTRIBUTE = re.compile(
    r"attribute '?(?P<wrong>\w+)|missing required attribute '?(?P<missing>\w+)|'(?P<odd>[^']+)' attribute"
)


# What the schema refuses: the node, and the fault. Its address has the dictionary's element alone if that is missing or
# not in its format; a fault without one is of the structure, and is told by its node's place.
AtNode = tuple[Any, Fault]
Originals = dict[Any, Any]  # of a copy its node


class Explainer:
    """Explains by a pack's schema, which is built when there is first something to explain: it takes a second."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self._elements: dict[str, Any] = {}

    @cached_property
    def schema(self) -> xmlschema.XMLSchema10:
        """The schema, from local files only."""
        import xmlschema  # only when there is something to explain: an eighth of every program's start

        return xmlschema.XMLSchema10(str(self.pack.schema), allow="local", defuse="always")

    def element_of(self, node: Any) -> Any:
        """Return the schema's element for a node, by the names down to it; None if it has no such.

        Those found are kept: they are the schema's own, and few.
        """
        way = "/".join(["", *reversed([each.tag for each in (node, *node.iterancestors())])])
        if way not in self._elements and (found := self.schema.find(way)) is not None:
            self._elements[way] = found
        return self._elements.get(way)


def explain(
    root: Any, explainer: Explainer, place_of: Callable[[Any], Place], misfits: Sequence[Any] = ()
) -> list[Fault]:
    """Return the faults of a parsed document (lxml's root element) that does not fit the pack's schema.

    Empty if the dictionary check is sure to report every one of them, as missing or not in its format: then that goes
    on. With any other error among them all are returned, the dictionary's own under its codes. `misfits` are the nodes
    that libxml2 found at fault: of a large document only those and their surroundings are looked at, since xmlschema
    goes through all that it is given, and takes a hundred times as long as libxml2. Of a small one that is a node at
    fault and what stands around it: of what libxml2 went through before no more than the tags, of what stands behind,
    which it skips, all.
    """
    pack, originals, emptied = explainer.pack, Originals(), set[Any]()
    keep = {above for node in misfits for above in (node, *node.iterancestors())}
    parts = [(root, explainer.schema)]
    if misfits and sum(1 for _ in islice(root.iter(), EXPLAINED_NODES + 1)) > EXPLAINED_NODES:
        parts = [(apart(lambda: _excerpt(root, keep, originals)), explainer.schema)]
    elif 0 < len(misfits) < FINDINGS_LISTED:
        around = dict.fromkeys(each for node in misfits for each in (node.getparent(), node) if each is not None)
        tops = [node for node in around if not any(above in around for above in node.iterancestors())]
        if not all(explainer.element_of(node) is not None for node in tops):
            tops = [root]
        wrong = {*misfits}
        outlines = apart(lambda: [_outline(node, keep, {*around}, wrong, originals, emptied) for node in tops])
        parts = [(part, explainer.element_of(node)) for part, node in zip(outlines, tops, strict=True)]
    found = [each for part, known in parts for each in _refused(part, known, pack, originals, emptied)]
    told = {node for node, _ in found}
    blanks = [_blank(node, pack) for node in misfits if node not in told and _odd_blank(node)]
    if found and not blanks and all(fault.address for _, fault in found):
        return []
    typed = [] if found else [_typed(node, name) for node in root.iter() for name, _ in node.items() if name in XSI]
    return [_placed(*each, pack, place_of) for each in ([*found, *blanks, *typed[:1]] or [_stray(root)])]


def unexplained(node: Any, place_of: Callable[[Any], Place]) -> Fault:
    """Return the fault at a node that the schema refuses, where nothing can tell why."""
    name = _local(node.tag)
    return Fault(STRUCTURE, place=place_of(node), value=node.text or name, details=_words(*_unlike(name)))


def _excerpt(node: Any, keep: Collection[Any], originals: Originals) -> Any:
    """Return a copy of a node with the children to keep and the first few others of each name."""
    copy = node.makeelement(node.tag, dict(node.attrib), node.nsmap)
    copy.text = node.text
    originals[copy] = node
    like: Counter[str] = Counter()
    for child in node:
        like[child.tag] += 1
        if child in keep or (like[child.tag] <= LIKE and len(like) <= KINDS):
            part = _excerpt(child, keep, originals)
            part.tail = child.tail
            copy.append(part)
    return copy


def _outline(
    node: Any,
    keep: Collection[Any],
    above: Collection[Any],
    wrong: Collection[Any],
    originals: Originals,
    emptied: set[Any],
) -> Any:
    """Return a copy of a node to keep; its other classes are empty but for those behind a child of `wrong` in `above`.

    Of what is wrong itself all is kept.
    """
    copy = node.makeelement(node.tag, dict(node.attrib), node.nsmap)
    copy.text = node.text
    originals[copy] = node
    whole = node in wrong
    for child in node:
        whole = whole or (child in wrong and node in above)
        if child in keep:
            part = _outline(child, keep, above, wrong, originals, emptied)
        elif len(child) and not whole:
            part = child.makeelement(child.tag, dict(child.attrib), child.nsmap)
            originals[part] = child
            emptied.add(part)
        else:
            part = _excerpt(child, {*child.iter()}, originals)
        part.tail = child.tail
        copy.append(part)
    return copy


def _errors(part: Any, known: Any, emptied: Collection[Any]) -> Iterator[Any]:
    """Yield xmlschema's errors, up to where it gives up itself (it raises at an unknown xsi:type)."""
    import xmlschema

    with suppress(xmlschema.XMLSchemaException, LookupError):
        yield from (error for error in known.iter_errors(part) if error.elem not in emptied)


def _refused(part: Any, known: Any, pack: Pack, originals: Originals, emptied: Collection[Any]) -> list[AtNode]:
    """Return what the schema, or its element, refuses in a part, each place once; nothing of what was emptied."""
    import xmlschema

    found = dict[tuple[str, str], AtNode]()
    for error in islice(_errors(part, known, emptied), ERRORS_EXPLAINED):
        node, reason = error.elem if error.elem is not None else part, error.reason or str(error.message)
        node = originals.get(node, node)
        attribute = ATTRIBUTE.match(reason)
        key = next(filter(None, attribute.groups())) if attribute else ""
        if isinstance(error, xmlschema.XMLSchemaChildrenValidationError):
            refused, key = _children(error, node, originals, pack), "children"
        else:
            refused = _content(node, key, attribute.lastgroup if attribute else None, error, pack)
        found.setdefault((error.path or "", key), refused)
    return list(found.values())


def _odd_blank(node: Any) -> bool:
    """Tell whether beside a value stands what is a space in Unicode but none in XML: xmlschema does not mind it."""
    return not len(node) and bool(node.text) and node.text.strip(XML_SPACE) != node.text.strip()


def _of_structure(node: Any, reason: Bilingual, value: str, expected: str | None = None) -> AtNode:
    """Return a fault of the structure: why, what stood there and what was expected."""
    return node, Fault(STRUCTURE, value=value, expected=expected, details=_words(*reason))


def _blank(node: Any, pack: Pack) -> AtNode:
    """Return the fault of a value with such a space beside it: it is not in its format."""
    sign = next(each for each in (*node.text, *reversed(node.text)) if each.isspace() and each not in XML_SPACE)
    known = (each for each in pack.elements.values() if each.direction != "out" and _is_at(node, "", each, pack))
    if element := next(known, None):
        return node, unreadable(element, Address(element.name), node.text.strip(XML_SPACE))
    name = f"U+{ord(sign):04X}"
    reason = Bilingual(f"the blank {name} stands beside the value", f"l'espace {name} côtoie la valeur")
    return _of_structure(node, reason, node.text.strip(XML_SPACE))


def _stray(root: Any) -> AtNode:
    """Return what xmlschema does not mind: text between elements that is a space in Unicode but none in XML."""
    for node in root.iter():
        texts = (node.text, *(child.tail for child in node)) if len(node) else ()
        if text := next((each for each in texts if each and each.strip(XML_SPACE)), None):
            return _of_structure(node, _between(node), text.strip(XML_SPACE))
    name = _local(root.tag)
    return _of_structure(root, _unlike(name), name)


def _unlike(name: str) -> Bilingual:
    return Bilingual(f"{name} is not what it allows", f"{name} n'est pas ce qu'il admet")


def _typed(node: Any, name: str) -> AtNode:
    """Return the fault of an element that says itself of what type it is, or that it is empty."""
    said = f"xsi:{_local(name)}"
    reason = Bilingual(f"{_local(node.tag)} may not have {said}", f"{_local(node.tag)} ne peut porter {said}")
    return _of_structure(node, reason, node.get(name))


def _between(node: Any) -> Bilingual:
    name = _local(node.tag)
    return Bilingual(f"text stands between the elements of {name}", f"du texte sépare les éléments que contient {name}")


def _children(error: xmlschema.XMLSchemaChildrenValidationError, node: Any, originals: Originals, pack: Pack) -> AtNode:
    """Return what is wrong with a node's children: one too many, out of order, unknown, or one missing."""
    expected = [_local(tag) for tag in error.expected_tags]
    child, above = originals.get(error.invalid_child, error.invalid_child), _local(node.tag)
    at = node if child is None else child
    known = child is None or _leads_to_any(child, pack)
    if known and len(expected) == 1 and (element := _missing(expected[0], node, pack)):
        return at, Fault(MISSING, Address(element.name), details=details_of(element))
    if child is None:
        en, fr = " or ".join(expected), " ou ".join(expected)
        reason = Bilingual(f"{above} lacks {en}", f"il manque {fr} dans {above}")
        return _of_structure(node, reason, above, ", ".join(expected))
    name = _local(child.tag)
    reason = Bilingual(f"{name} does not belong here in {above}", f"{name} n'a pas sa place ici dans {above}")
    return _of_structure(child, reason, name, ", ".join(expected) or None)


def _missing(name: str, node: Any, pack: Pack) -> Element | None:
    """Return the dictionary element that every declaration must have at a child of a node that is not there, if one."""
    if any(_local(each.tag) == name for each in node if isinstance(each.tag, str)):
        return None
    path = "/".join((*_path(node, pack), name))
    return next((each for each in pack.elements.values() if each.xml_path == path and _always_needed(each, pack)), None)


def _always_needed(element: Element, pack: Pack) -> bool:
    """Tell whether every declaration must have the element, whatever its type."""
    return usage_of(element.name, pack, MessageType.DECLARATION, None) == "M"


def _content(node: Any, attribute: str, how: str | None, error: Any, pack: Pack) -> AtNode:
    """Return what is wrong with a node's text, or with one of its attributes: wrong, missing or odd (not allowed)."""
    text = (node.get(attribute) or "") if attribute else (node.text or "")
    name = _local(node.tag)
    what = f"{name}/@{attribute}" if attribute else name
    if how == "odd":
        unknown = Bilingual(f"{what} does not belong here", f"{what} n'a pas sa place ici")
        return _of_structure(node, unknown, text or attribute)
    if how != "missing" and not attribute and len(node):
        return _of_structure(node, _between(node), next(iter(text.split()), name))
    of_element = (each for each in pack.elements.values() if each.direction != "out")
    element = next((each for each in of_element if _is_at(node, attribute, each, pack)), None)
    if element and not text.strip() and _always_needed(element, pack):
        return node, Fault(MISSING, Address(element.name), details=details_of(element))
    if element and text.strip() and isinstance(element.format.read(text.strip()), Unreadable):
        return node, unreadable(element, Address(element.name), text)
    reason = Bilingual(f"{what} has a value that it does not allow", f"{what} a une valeur qu'il n'admet pas")
    if how == "missing":
        reason = Bilingual(f"{name} lacks its attribute {attribute}", f"il manque l'attribut {attribute} à {name}")
    return _of_structure(node, reason, text or name, _allowed(error.validator))


def _allowed(validator: Any) -> str | None:
    """Return what the part of a schema that refused a value allows, in no language; None if that is not so simple."""
    for name, form in (("max_length", "an..{}"), ("min_length", "an{}.."), ("length", "an{}")):
        if type(validator).__name__ == f"Xsd{name.title().replace('_', '')}Facet":
            return form.format(validator.value)
    if listed := getattr(validator, "enumeration", None):
        return ", ".join(map(str, listed[:10]))
    if patterns := getattr(validator, "regexps", None):
        return " | ".join(patterns)
    return getattr(validator, "local_name", None)


def _words(en: str, fr: str) -> dict[str, str]:
    return {"reason_en": en, "reason_fr": fr}


def _placed(node: Any, fault: Fault, pack: Pack, place_of: Callable[[Any], Place]) -> Fault:
    """Return the fault at a node with its whole address, or with its place in the sender's bytes."""
    if fault.address:
        return replace(fault, address=_address(fault.address.element, node, pack))
    return replace(fault, place=place_of(node))


# ------------------------------------------------------------------------------------------------ paths


def _local(tag: object) -> str:
    """Return a tag without its namespace."""
    return str(tag).rpartition("}")[2]


def _path(node: Any, pack: Pack) -> tuple[str, ...]:
    """Return the names from below Declaration down to the node; for what is outside it, no name that a path has."""
    names: list[str] = []
    while node is not None and node.tag != pack.document.way[-1]:
        names.append(_local(node.tag))
        node = node.getparent()
    return tuple(reversed(names)) if node is not None else ("/",)


def _address(name: str, at: Any, pack: Pack) -> Address:
    """Return the address of an element at or below a node: the invoice and line are counted among their like."""
    numbers = {}
    for level in ("invoice", "commodity"):
        path, node = tuple(pack.xml_levels[level].split("/")), at
        while node is not None and _path(node, pack) != path:
            node = node.getparent()
        numbers[level] = 0 if node is None else 1 + sum(1 for _ in node.itersiblings(node.tag, preceding=True))
    return Address(name, numbers["invoice"], numbers["commodity"])


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
            key = f"{{{pack.document.namespace}}}{found['key']}"
            given = node.get(found["key"]) if found["attribute"] else node.findtext(key)
            if given != found["value"]:
                return False
        node = node.getparent()
    return True


def _leads_to_any(node: Any, pack: Pack) -> bool:
    """Tell whether the path of any dictionary element goes through the node."""
    path = _path(node, pack)
    begin = path[0] if path else ""
    paths = (each.xml_path or "" for each in pack.elements.values())
    ways = (way.split("/")[: len(path)] for way in paths if way.startswith(begin))
    return any(tuple(step.partition("[")[0] for step in way) == path for way in ways)
