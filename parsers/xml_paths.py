"""Compares a pack's XML paths with its schema when the pack is loaded: a path that leads nowhere is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from core.errors import SpecError
from core.specs import Element, Pack, XmlForm
from parsers.places import xml_path
from parsers.xml_plan import XmlPlan, local

XS = "{http://www.w3.org/2001/XMLSchema}"


class _Schema:
    """The declarations of a schema and of what it includes or imports from the same folder, by kind and local name."""

    def __init__(self, path: Path) -> None:
        self.named: dict[tuple[str, str], etree._Element] = {}
        self.spaces: dict[etree._Element, str] = {}  # a schema's root -> the namespace of what it declares
        self._read(path, set(), "")

    def _read(self, path: Path, seen: set[Path], around: str) -> None:
        if path in seen or not path.is_file():
            return
        seen.add(path)
        root = etree.parse(path, etree.XMLParser(no_network=True, resolve_entities=False, load_dtd=False)).getroot()
        self.spaces[root] = root.get("targetNamespace", around)
        for node in root:
            if node.tag in (f"{XS}include", f"{XS}import") and (there := node.get("schemaLocation")):
                above = self.spaces[root] if node.tag == f"{XS}include" else ""
                self._read((path.parent / there).resolve(), seen, above)
            elif isinstance(node.tag, str) and node.get("name"):
                self.named.setdefault((_kind(node), node.get("name", "")), node)

    def find(self, kind: str, name: str | None) -> etree._Element | None:
        """Return what is declared under a (prefixed) name, None if it is not here."""
        return self.named.get((kind, (name or "").rpartition(":")[2]))

    def space(self, node: etree._Element) -> str:
        """Return the namespace in which a schema declares; what is included without one is in that of who includes."""
        return self.spaces[node.getroottree().getroot()]

    def parts(self, node: etree._Element) -> Iterator[etree._Element]:
        """Yield the element, attribute and wildcard declarations of an element or type, references followed."""
        if _kind(node) == "element":
            if node.get("ref"):
                node = self._known(self.find("element", node.get("ref")), node)
            if node.get("type"):
                found = self.find("complexType", node.get("type"))
                if found is not None:
                    yield from self._inside(found)
                return
        yield from self._inside(node)

    def _inside(self, node: etree._Element) -> Iterator[etree._Element]:
        for child in node:
            kind = _kind(child)
            if kind in ("element", "attribute", "any", "anyAttribute"):
                yield child
            elif kind in ("group", "attributeGroup") and child.get("ref"):
                found = self.find(kind, child.get("ref"))
                if found is not None:
                    yield from self._inside(found)
            elif kind in ("extension", "restriction"):
                base = self.find("complexType", child.get("base"))
                if base is not None and kind == "extension":
                    yield from self._inside(base)
                yield from self._inside(child)
            elif kind in ("complexType", "sequence", "choice", "all", "complexContent", "simpleContent"):
                yield from self._inside(child)

    @staticmethod
    def _known(found: etree._Element | None, otherwise: etree._Element) -> etree._Element:
        return otherwise if found is None else found


def _kind(node: etree._Element) -> str:
    """Return the local name of a schema's own element, "" for comments."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def check_xml_paths(pack: Pack) -> None:
    """Raise SpecError for the first XML path, of an envelope or a sender's element, that the schema does not have."""
    schema = _Schema(pack.schema)
    form = pack.document
    top = schema.find("element", form.names[-1])
    if top is None:
        raise SpecError(pack.schema.name, None, f"declares no element {form.names[-1]}")
    _check_form(form, schema, pack.schema.name)
    _check_form(pack.response, _Schema(pack.response_schema), pack.response_schema.name)
    inside = {"/".join(step.name for step in xml_path(each)) for each in pack.elements.values() if each.xml_path}
    for path in (*form.envelope.values(), *form.constants):
        tags = form.tags(path)
        own = "/".join(path.split("/")[len(form.way) - 1 :])
        if tags[: len(form.way) - 1] == form.way[1:] and own not in inside:
            raise SpecError(pack.key, None, f"{path} stands in the declaration, so it needs a row in its elements")
    for element in pack.elements.values():
        if element.xml_path and element.direction == "in":
            _check(element, top, schema)


def put_in_order(plan: XmlPlan, pack: Pack) -> None:
    """Put the children in a plan, of all that stands below, into the order that the pack's schema has them in."""
    schema = _Schema(pack.schema)
    top = schema.find("element", pack.document.names[-1])
    if top is not None:
        _put_in_order(plan, top, schema)


def _put_in_order(plan: XmlPlan, node: etree._Element, schema: _Schema) -> None:
    parts = list(schema.parts(node))
    for variant in (plan, *plan.variants.values()):
        found = {tag: _named(parts, local(tag)) for tag in variant.children}
        places = {tag: len(parts) if part is None else parts.index(part) for tag, part in found.items()}
        variant.children = {tag: variant.children[tag] for tag in sorted(variant.children, key=places.__getitem__)}
        for tag, part in found.items():
            if part is not None:
                _put_in_order(variant.children[tag], part, schema)


def _check(element: Element, top: etree._Element, schema: _Schema) -> None:
    """Follow one path down the schema; what lies below a wildcard cannot be checked, and passes."""
    node = top
    for step in xml_path(element):
        parts = list(schema.parts(node))
        if any(_kind(part) in ("any", "anyAttribute") for part in parts):
            return
        below = _named(parts, step.name)
        if below is None:
            raise SpecError(*element.origin, f"the XML path {element.xml_path} leads nowhere: no {step.name} there")
        if step.name.startswith("@"):
            return
        for name, _ in step.conditions:
            if _named(list(schema.parts(below)), name) is None:
                raise SpecError(*element.origin, f"the XML path {element.xml_path}: no {name} in {step.name}")
        node = below


def _check_form(form: XmlForm, schema: _Schema, file: str) -> None:
    """Raise SpecError if the class, or a place of the envelope around it, is not in the schema."""
    for name, namespace in {form.names[0]: form.around, form.names[-1]: form.namespace}.items():
        node = schema.find("element", name)
        if node is not None and schema.space(node) != namespace:
            raise SpecError(file, None, f"has no {name} in {namespace}")
    for path in ("/".join(form.names[1:]), *form.envelope.values(), *form.constants):
        node = schema.find("element", form.names[0])
        for name in filter(None, path.split("/")):
            parts = [] if node is None else list(schema.parts(node))
            if any(_kind(part) == "any" for part in parts):
                break
            node = _named(parts, name)
        if node is None:
            raise SpecError(file, None, f"has no {'/'.join(filter(None, (form.names[0], path)))}")


def _named(parts: list[etree._Element], name: str) -> etree._Element | None:
    """Return the declaration of a child, or of an attribute (`@name`)."""
    kind, local = ("attribute", name[1:]) if name.startswith("@") else ("element", name)
    for part in parts:
        if _kind(part) == kind and (part.get("name") or part.get("ref", "").rpartition(":")[2]) == local:
            return part
    return None
