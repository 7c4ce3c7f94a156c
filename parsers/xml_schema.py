"""Compares a parsed XML document with a pack's schema: whether it fits, and which nodes do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lxml import etree

from core.errors import SpecError
from parsers.xml_names import Schema, apart, check_log, hardened

# Tags up to which the tree itself is compared: a path for each error takes no time then.
SMALL = 4_000

# Tags that are compared in one go on the way to the first fault, and those behind it that are compared one by one.
PIECE, NEAR = 256, 5_000


def schema(path: Path) -> Schema:
    """Return the compiled schema of a pack; raises SpecError for one that libxml2 does not accept."""
    try:
        return etree.XMLSchema(etree.parse(path))
    except (etree.XMLSchemaParseError, etree.XMLSyntaxError, OSError) as error:
        raise SpecError(path.name, None, f"is not a usable schema: {error}") from error


def fits(root: etree._Element, compiled: Schema, body: bytes = b"") -> bool:
    """Decide whether the document of these bytes fits a schema.

    For each error in a tree libxml2 writes the node's path, which it counts out among its siblings: so a document with
    room for many errors is compared while a copy of it is parsed.
    """
    if len(body) > 3 * SMALL and body.count(b"<") > SMALL:  # no tag has fewer than three bytes
        whole = etree.tostring(root, encoding="unicode")
        return apart(lambda: [*_counts([whole], compiled)]) == [0]
    if compiled.validate(root):
        return True
    check_log(compiled.error_log)
    return False


def misfits(root: etree._Element, compiled: Schema, most: int) -> list[etree._Element]:
    """Return the first nodes of a document that libxml2 finds at fault, at most about so many."""
    if sum(1 for _ in root.iter()) <= SMALL and (named := _in_tree(root, compiled, most)) is not None:
        return named
    tags = [f"{each}>" for each in etree.tostring(root, encoding="unicode").split(">")[:-1]]
    at = apart(lambda: _failing(tags, compiled, most))
    found: dict[etree._Element, None] = {}
    tag = -1
    for event, node in etree.iterwalk(root, events=("start", "end")) if at else ():
        if event == "start" or len(node) or node.text:  # what holds nothing is one tag
            tag += 1
            if tag in at:
                found[node] = None
    return [*found]


def _in_tree(root: etree._Element, compiled: Schema, most: int) -> list[etree._Element] | None:
    """Return the first nodes of a small document at fault for libxml2, as it names them; None where by prefix."""
    compiled.validate(root)
    log: Any = compiled.error_log
    check_log(log)
    paths = dict.fromkeys(entry.path for entry in log)
    if not all(path and ":" not in path and "@" not in path for path in paths):
        return None
    found = (cast("list[etree._Element]", root.getroottree().xpath(path)) for path in islice(paths, most))
    return [node for nodes in found for node in nodes]


def _failing(tags: Sequence[str], compiled: Schema, most: int) -> set[int]:
    """Return the indices of the tags (each with the text before it) at which libxml2 finds the first faults.

    It tells no places of what it compares while it parses: so it is fed, in large pieces up to the first fault, then
    tag by tag.
    """
    pieces = ["".join(tags[start : start + PIECE]) for start in range(0, len(tags), PIECE)]
    first = next((number for number, count in enumerate(_counts(pieces, compiled)) if count), None)
    if first is None:
        return set()
    begin = first * PIECE
    near = tags[begin : begin + NEAR]
    before, found = 0, set[int]()
    for index, count in enumerate(_counts(["".join(tags[:begin]), *near], compiled), begin - 1):
        if count > before and index >= 0:
            found.add(index)
        before = count
        if len(found) >= most:
            break
    return found


def _counts(pieces: Iterable[str], compiled: Schema) -> Iterator[int]:
    """Yield how many faults libxml2 has found in a document after each piece of it."""
    parser = hardened(compiled)
    for piece in pieces:
        parser.feed(piece)
        log = parser.feed_error_log
        check_log(log)
        yield len(log)
