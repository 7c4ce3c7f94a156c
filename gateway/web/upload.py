"""What is uploaded: files and texts of a form, read in memory; a text field and the bytes that it stands for."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from core.text import printable
from core.transmission import Syntax
from edifact.syntax import ENCODINGS
from gateway.web.guard import REQUEST_BYTES
from gateway.web.work import Assumed, Upload
from parsers.sniff import syntax

# Files of one request, and fields of a form: three for each file that a page carries along, and those about the sender.
FILES = 50
FIELDS = 4 * FILES

# Characters of a file's name that are told.
NAME = 100

# Characters that a text field of the page holds, and bytes that a page carries along without showing them.
EDITABLE, CARRIED = 500_000, 2_000_000

UNB = re.compile(rb"\s*(?:UNA.{6}\s*)?UNB.(UNO[A-Z])", re.DOTALL)
XML_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
PLAIN_ENCODING = re.compile(rb"utf-?8|us-ascii|latin-?1|iso-8859-\d{1,2}|windows-125\d", re.IGNORECASE)

# How a text field's content differs from the file: its line ends, a byte order mark.
CRLF, BOM = "crlf", "bom"


# What may be assumed of who sends: in words, and the values, the usual one first.
ASSUMED_WORDS: Mapping[str, tuple[str, tuple[str, str]]] = {
    "sender": ("Whether the sender is known, as if it were registered; known if not said.", ("known", "unknown")),
    "authority": ("Whether the importers have delegated authority to it; yes if not said.", ("yes", "no")),
    "before": ("Whether an accepted original is on file for what follows one; none if not said.", ("none", "original")),
}


class _InMemory(MultiPartParser):
    """Keeps every part in memory: what is uploaded is not written to a disk, not even for a moment."""

    spool_max_size = REQUEST_BYTES + 1


class Carried(NamedTuple):
    """A file as a page carries it along: its text if a field can hold it, else its bytes (base64), or neither."""

    name: str
    text: str | None
    base64: str | None
    marks: str


class FormSent(NamedTuple):
    """What a form sent: the files in order, and the other fields."""

    uploads: tuple[Upload, ...]
    fields: Mapping[str, str]


async def form_of(request: Request) -> FormSent:
    """Return what a multipart form sent; raises HTTPException 415, 422."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "send a form as multipart/form-data")
    try:
        parser = _InMemory(
            request.headers, request.stream(), max_files=FILES, max_fields=FIELDS, max_part_size=REQUEST_BYTES
        )
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(422, error.message) from None
    try:
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        files = [
            Upload(name_of(value.filename or ""), await value.read())
            for _, value in form.multi_items()
            if isinstance(value, UploadFile)
            and (value.filename or value.size)  # a field that was left empty is neither
        ]
        pasted = fields.get("paste", "")
        return FormSent(
            (*_carried(fields), *files, *[Upload(name_of(""), bytes_of(pasted))] * bool(pasted.strip())), fields
        )
    finally:
        await form.close()


def _carried(fields: Mapping[str, str]) -> Iterator[Upload]:
    """Yield the files that the page carried along, as their fields have them now; an emptied text is left out."""
    for number in range(1, FILES + 1):
        name, marks = name_of(fields.get(f"{number}.name", "")), fields.get(f"{number}.marks", "")
        if (kept := fields.get(f"{number}.base64")) is not None:
            try:
                yield Upload(name, base64.b64decode(kept, validate=True))
            except binascii.Error:
                raise HTTPException(422, f"{number}.base64 is no base64") from None
        elif (text := fields.get(f"{number}.text", "")).strip():
            yield Upload(name, bytes_of(text, marks))


def name_of(said: str) -> str:
    """Return what a file is called: the last part of its name, printable and not too long."""
    last = PurePath(said.replace("\\", "/")).name
    return printable(last, "\N{REPLACEMENT CHARACTER}")[:NAME] or "message"


def assumed_of(fields: Mapping[str, str]) -> Assumed:
    """Return what is to be assumed of the sender: what is not said is the usual; raises HTTPException 422."""
    said = {}
    for name, (_, values) in ASSUMED_WORDS.items():
        value = fields.get(name, values[0])
        if value not in values:
            raise HTTPException(422, f"{name} is {' or '.join(values)}")
        said[name] = value != values[0]
    return Assumed(known=not said["sender"], authority=not said["authority"], original=said["before"])


# ------------------------------------------------------------------------------------------------ texts and bytes


def carried(upload: Upload) -> Carried:
    """Return a file as a page carries it along; a text that the field would change stays bytes."""
    text = _text_of(upload.body)
    if text is not None:
        marks = [BOM] * text.startswith("\ufeff") + [CRLF] * ("\r\n" in text)
        plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
        if printable(plain, keep="\n\t") == plain and bytes_of(plain, " ".join(marks)) == upload.body:
            return Carried(upload.name, plain, None, " ".join(marks))
    small = len(upload.body) <= CARRIED
    return Carried(upload.name, None, base64.b64encode(upload.body).decode() if small else None, "")


def _text_of(body: bytes) -> str | None:
    if not body or len(body) > EDITABLE:
        return None
    try:
        return body.decode(_charset_of(body))
    except ValueError:
        return None


def bytes_of(text: str, marks: str = "") -> bytes:
    """Return the bytes that a text field stands for, in the character set that the message itself names.

    A browser sends each line end as two characters. What that set has no character for goes as UTF-8.
    """
    plain = text.replace("\r\n", "\n")
    if CRLF in marks.split():
        plain = plain.replace("\n", "\r\n")
    if BOM in marks.split():
        plain = f"\ufeff{plain}"
    try:
        return plain.encode(_charset_of(plain[:1_000].encode("ascii", "replace")))
    except UnicodeEncodeError:
        return plain.encode("utf-8", "replace")


def _charset_of(body: bytes) -> str:
    """Return the character set that a message names, UTF-8 where it names none that is known here."""
    head = body[:1_000]
    if syntax(body) is Syntax.EDIFACT and (found := UNB.match(head)):
        return ENCODINGS.get(found[1].decode(), "latin-1")
    named = XML_ENCODING.search(head)
    if named and PLAIN_ENCODING.fullmatch(named[1]):
        with suppress(LookupError):
            return codecs.lookup(named[1].decode()).name
    return "utf-8"
