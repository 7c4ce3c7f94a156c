"""Finds classes and texts in a parsed XML document by the names that lead to them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from lxml import etree

from core.specs import Pack
from parsers.places import xml_path


def inside(root: etree._Element, way: Sequence[str]) -> etree._Element | None:
    """Return the class to which tags lead from the root down; None if there is none."""
    if root.tag != way[0]:
        return None
    node: etree._Element | None = root
    for tag in way[1:]:
        node = None if node is None else next(node.iterchildren(tag), None)
    return node


def text_at(node: etree._Element | None, path: str, namespace: str = "*") -> str | None:
    """Return the text at a path of names below a node, in a namespace or (*) in any; None if it is absent or blank."""
    return None if node is None else finder(path, namespace)(node)


# Finds the text at a path of names below a node; None if it is absent or blank.
Finder = Callable[[etree._Element], str | None]


def finder(path: str, namespace: str = "*") -> Finder:
    """Compile what finds the text at a path of names, in a namespace or (*) in any."""
    step = "*[local-name()='{}']" if namespace == "*" else "n:{}"
    steps = "/".join(step.format(name) for name in path.split("/"))
    compiled = etree.XPath(f"string({steps})", namespaces={"n": namespace}, smart_strings=False)
    return lambda node: cast("str", compiled(node)).strip() or None


@functools.cache
def finders(paths: tuple[tuple[str, tuple[str, ...]], ...]) -> Callable[[etree._Element], dict[str, str | None]]:
    """Compile what finds several texts in one look-up: (name, tags that lead to it, the first of each).

    The texts come in lines; where one has lines of its own, each is looked up by itself.
    """
    spaces = dict.fromkeys(tag[1:].partition("}")[0] for _, tags in paths for tag in tags)
    called = {f"n{number}": namespace for number, namespace in enumerate(spaces)}
    prefixes = {namespace: prefix for prefix, namespace in called.items()}
    names, strings = [name for name, _ in paths], [f"string({_xpath(tags, prefixes)})" for _, tags in paths]
    in_lines = ", '\n', ".join([*strings, "''"])  # concat() takes two at least
    together = etree.XPath(f"concat({in_lines})", namespaces=called, smart_strings=False)
    alone = [etree.XPath(each, namespaces=called, smart_strings=False) for each in strings]

    def find(node: etree._Element) -> dict[str, str | None]:
        texts = cast("str", together(node)).split("\n")[:-1]
        if len(texts) != len(names):
            texts = [cast("str", each(node)) for each in alone]
        return {name: text.strip() or None for name, text in zip(names, texts, strict=True)}

    return find


def _xpath(tags: Sequence[str], prefixes: Mapping[str, str]) -> str:
    """Return an XPath of tags."""
    split = (tag[1:].partition("}") for tag in tags)
    return "/".join(f"{prefixes[namespace]}:{name}[1]" for namespace, _, name in split)


def tags_of(pack: Pack, name: str) -> tuple[str, ...]:
    """Return the tags that lead from below the root to an element."""
    steps = (f"{{{pack.document.namespace}}}{step.name}" for step in xml_path(pack.elements[name]))
    return (*pack.document.way[1:], *steps)
