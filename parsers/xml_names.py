"""Parses XML so that the names a sender chose are forgotten with the document.

libxml2 keeps every name it has met in a dictionary of the thread, which it never empties; full, at ten million bytes or
so, it refuses whatever comes next, whoever sent it. So a process remembers the tags of what is usual, which are few; a
document with any others is parsed in a thread of its own, and the dictionary of that thread goes with the document. A
Declaration that patterns have read (`parsers.xml_levels`) has no names but the pack's: it is not searched.
"""

from __future__ import annotations

import _thread
import re
from collections.abc import Callable
from typing import Any, TypeVar

from lxml import etree

from core import limits
from core.errors import Malformed

Result = TypeVar("Result")

# A compiled schema.
Schema = etree.XMLSchema

# libxml2's numbers of errors that are the process's own, never a document's: internal ones, and no memory.
OWN = (1, 2)

# A tag, as far as the next sign that could end it, and what a reference names: all that libxml2 takes for a name stands
# in one of these, but for a document type declaration.
TAG, REFERENCE = re.compile(rb"<[^>]*"), re.compile(rb"&[^;&<>\s]*")
# The value of an attribute; a name of more characters than are accepted.
VALUE = re.compile(rb"""=\s*(?:"[^"]*"|'[^']*')""")
_IN_NAME = rb"""[^\s<>/=?!"'&]"""
LONG = re.compile(rb"(?<!%s)%s{%d}" % (_IN_NAME, _IN_NAME, limits.XML_NAME + 1))  # looked for at a beginning only
# An encoding that may write tags in other bytes; it is refused in the end, but what it says is parsed before.
OTHER = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["'](?!utf-8["']|us-ascii["']|ascii["'])""", re.IGNORECASE)

# The tags that this process has met in its own threads: what its dictionaries hold, and how many bytes that are.
_kept: set[bytes] = set()
_bytes = 0


def parsed(body: bytes, parse: Callable[[bytes], Result], named: bytes | None = None) -> Result:
    """Return what `parse` makes of a document, in a thread of its own where its names are not to be kept.

    `named` is the document without what is known to have none but the packs' names. Raises Malformed for names that are
    too long, or too many attributes (XML-0003), and what `parse` raises.
    """
    given = body if named is None else named
    if b"&" not in given and _kept.issuperset(TAG.findall(given)):
        return parse(body)
    text = _narrow(given)
    met = {tag for tag in TAG.findall(text) if not tag.startswith((b"<!--", b"<![CDATA["))}
    if b"&" in text:
        met.update(REFERENCE.findall(text))
    plainly = text is given and not (b"<!DOCTYPE" in text or OTHER.search(text, 0, 1_000))
    # What is not well-formed is told as that; only too many attributes are not even tried.
    large = [VALUE.sub(b"=", tag) for tag in met if len(tag) > limits.XML_NAME]
    if any(tag.count(b"=") > limits.XML_ATTRIBUTES for tag in large):
        most = limits.XML_ATTRIBUTES
        raise Malformed("XML-0003", f"more than {most} attributes", reason_fr=f"plus de {most} attributs")
    usual = not any(LONG.search(tag) for tag in large)
    if usual and plainly and _keep(met):
        return parse(body)
    found = apart(lambda: parse(body))
    if not usual:
        most = limits.XML_NAME
        reason, reason_fr = f"a name of more than {most} characters", f"un nom de plus de {most} caractères"
        raise Malformed("XML-0003", reason, reason_fr=reason_fr)
    return found


def _narrow(body: bytes) -> bytes:
    """Return a document in which a sign of the syntax is one byte: itself, or what it says in UTF-16."""
    if b"\0" not in body and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body
    codec = "utf-16-be" if body.startswith((b"\xfe\xff", b"\0")) else "utf-16-le"
    return body.decode(codec, "replace").encode("utf-8", "replace")


def _keep(tags: set[bytes]) -> bool:
    """Remember tags, if there is room for them; tell whether there is."""
    global _bytes
    if tags <= _kept:
        return True
    size = sum(len(tag) for tag in tags - _kept)
    if _bytes + size > limits.TAGS_KEPT:
        return False
    _kept.update(tags)
    _bytes += size
    return True


def apart(work: Callable[[], Result]) -> Result:
    """Return the result of work that is done in a thread of its own: what libxml2 remembers ends with its documents."""
    results: list[Result] = []
    errors: list[BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # it is raised where the work was given
            errors.append(error)
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    done.acquire()
    if errors:
        raise errors[0]
    return results[0]


def hardened(compiled: Schema | None = None) -> etree.XMLParser:
    """Return a hardened parser, for one document; one that also compares with a schema if there is one."""
    return etree.XMLParser(
        schema=compiled,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        # collect_ids stays as it is: switched off, libxml2 opens the external DTD that a document names.
    )


def check_own(code: int) -> None:
    """Raise MemoryError for an error of libxml2 that is the process's own: it says nothing of the document."""
    if code in OWN:
        raise MemoryError("libxml2 could not go on")


def check_log(log: Any) -> None:
    """Raise MemoryError where one of the errors in a log of libxml2 is the process's own."""
    for entry in log:
        check_own(entry.type)
