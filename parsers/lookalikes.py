"""Names what was sent where it is neither EDIFACT nor XML, or nearly is: a look at its first and last bytes.

Only what could not be read is looked at. Nothing is decoded or unpacked, and no more than `HEAD` bytes behind the
leading blanks and `TAIL` at the end are seen. The words stand in `eccrd_specs/findings/lookalikes.csv`, a row a code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from core import limits
from core.findings import Fault, Place
from edifact.syntax import plain_letters
from parsers.beginnings import Beginnings, beginnings
from parsers.sniff import LEAD

HEAD, TAIL = 4_096, 64

PACKED, SEALED, CODED, FILE, DATA, EDI = (f"GTW-01{n:02}" for n in range(1, 7))
EBCDIC, HEADERS, HTML, WIDE, NO_UNB, LINES, LOWER, UNA, ENDING, IN_FRONT, STATUS, ALIKE = (
    f"GTW-01{n:02}" for n in range(7, 19)
)


class Look(NamedTuple):
    """What something looks like: the finding's code, its name (the same in both languages), and what stands there.

    `at` is the offset behind the leading blanks.
    """

    code: str
    name: str = ""
    value: bytes | None = None
    at: int = 0
    expected: str | None = None


# Bytes at an offset by which a file is known, its code and its name.
MAGIC = [
    (0, b"\x1f\x8b", PACKED, "gzip"),
    (0, b"PK\x03\x04", PACKED, "ZIP"),
    (0, b"PK\x05\x06", PACKED, "ZIP"),
    (0, b"PK\x07\x08", PACKED, "ZIP"),
    (0, b"7z\xbc\xaf\x27\x1c", PACKED, "7-Zip"),
    (0, b"Rar!\x1a\x07", PACKED, "RAR"),
    (0, b"BZh", PACKED, "bzip2"),
    (0, b"\xfd7zXZ", PACKED, "xz"),
    (0, b"\x5d\0\0", PACKED, "LZMA"),
    (0, b"\x28\xb5\x2f\xfd", PACKED, "Zstandard"),
    (0, b"\x04\x22\x4d\x18", PACKED, "LZ4"),
    (0, b"\xff\x06\0\0sNaPpY", PACKED, "Snappy"),
    (0, b"LZIP", PACKED, "lzip"),
    (0, b"\x89LZO", PACKED, "lzop"),
    (0, b"\x1f\x9d", PACKED, "compress"),
    (0, b"\x1f\xa0", PACKED, "compress"),
    (0, b"\x1f\x1e", PACKED, "pack"),
    (0, b"x\x01", PACKED, "zlib"),
    (0, b"x\x9c", PACKED, "zlib"),
    (0, b"x\xda", PACKED, "zlib"),
    (0, b"MSCF", PACKED, "CAB"),
    (0, b"\x60\xea", PACKED, "ARJ"),
    (2, b"-lh", PACKED, "LHA"),
    (257, b"ustar", PACKED, "tar"),
    (0, b"!<arch>\n", PACKED, "ar"),
    (0, b"\x84\x8c\x03", SEALED, "OpenPGP"),
    (0, b"\x85\x01\x0c\x03", SEALED, "OpenPGP"),
    (0, b"\x85\x02\x0c\x03", SEALED, "OpenPGP"),
    (0, b"\xc1\xc0\x4c\x03", SEALED, "OpenPGP"),
    (0, b"\xc1\xc1\x4c\x03", SEALED, "OpenPGP"),
    (0, b"Salted__", SEALED, "OpenSSL"),
    (0, b"age-encryption.org/", SEALED, "age"),
    (0, b"%!PS", FILE, "PostScript"),
    (0, b"{\\rtf", FILE, "RTF"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FILE, "Microsoft Office"),
    (0, b"\x89PNG", FILE, "PNG"),
    (0, b"\xff\xd8\xff", FILE, "JPEG"),
    (0, b"GIF8", FILE, "GIF"),
    (0, b"II*\0", FILE, "TIFF"),
    (0, b"MM\0*", FILE, "TIFF"),
    (0, b"RIFF", FILE, "RIFF"),
    (0, b"\x7fELF", FILE, "ELF"),
    (0, b"MZ", FILE, "EXE"),
    (0, b"SQLite format 3", FILE, "SQLite"),
    (0, b"\x78\x9f\x3e\x22", FILE, "TNEF"),
    (0, b"PAR1", FILE, "Parquet"),
]
# The beginning of every object identifier of PKCS #7 and S/MIME, in DER.
PKCS = b"\x2a\x86\x48\x86\xf7\x0d\x01"

# How other text begins: the pattern, its code and its name. The first that fits counts.
OTHERS = [
    (re.compile(rb"0707(?:0[12][0-9A-Fa-f]{50}|07[0-7]{50})"), PACKED, "cpio"),
    (re.compile(rb"-----BEGIN PGP "), SEALED, "OpenPGP"),
    (re.compile(rb"-----BEGIN (?:PKCS ?#?7|CMS)-----"), SEALED, "PKCS #7"),
    (re.compile(rb"-----BEGIN [A-Z0-9 ]{1,40}-----"), SEALED, "PEM"),
    (re.compile(rb"(?i)ISA(?:[*|^~>\x1d-\x1f]|(?![A-Z]|\s)..)"), EDI, "ANSI X12"),
    (re.compile(rb"(?i)(?:GS\*[A-Z]{2}|ST\*[0-9]{3})\*"), EDI, "ANSI X12"),
    (re.compile(rb"STX=[A-Z]{2,4}:?[0-9]?"), EDI, "TRADACOMS"),
    (re.compile(rb"(?:MSH|FHS|BHS)[|^]"), EDI, "HL7"),
    (re.compile(rb"\{1:[A-Z][0-9]{2}"), EDI, "SWIFT MT"),
    (re.compile(rb"EDI_DC"), EDI, "SAP IDoc"),
    (re.compile(rb"8=FIX"), EDI, "FIX"),
    (re.compile(rb"511[0-9]{2}[A-Z0-9 ]{20}"), EDI, "VDA"),
    (re.compile(rb"\[\s*(?:[\[{\"\]]|-?[0-9.]+\s*[,\]]|(?:true|false|null)\b|$)"), DATA, "JSON"),
    (re.compile(rb"\{\s*(?:[\"'}]|$)"), DATA, "JSON"),
    (re.compile(rb"\[[\w .-]{1,80}\]\s*\n"), DATA, "INI"),
    (re.compile(rb"(?:%YAML|---\s*\n)"), DATA, "YAML"),
    (re.compile(rb"begin(?:-base64)? [0-7]{3} "), CODED, "uuencode"),
    (re.compile(rb"=ybegin "), CODED, "yEnc"),
    (re.compile(rb"data:[\w/+.;=-]{0,100}base64,"), CODED, "Base64"),
    (re.compile(rb"(?i)(?:[\w.-]{0,40}=)?(?:UN[AB])?(?:%(?:2B|3A|1D)|%3C(?:%3F)?\w)"), CODED, "URL"),
    (re.compile(rb"(?i)UN[AB]=(?:2B|3A|1D)"), CODED, "quoted-printable"),
    (re.compile(rb"(?i)=3C(?:=3F|\w)"), CODED, "quoted-printable"),
    (re.compile(rb"(?i)&(?:lt|#60|#x3c);"), CODED, "&lt; &gt;"),
    (re.compile(rb"UN[AB]&(?:#\w+|plus|colon);"), CODED, "&#43;"),
    (re.compile(rb"\\u00[0-9A-Fa-f]{2}|\\x[0-9A-Fa-f]{2}"), CODED, "\\u"),
]
MAIL = re.compile(
    rb"(?i)HTTP/[0-9.]+ [0-9]{3}|(?:POST|PUT|GET) \S{1,500} HTTP/|From \S{1,200} |--[^\r\n]{1,70}\r?\n(?:Content|MIME)-"
    rb"|(?:MIME-Version|Content-[\w-]{1,40}|AS[1234]-[\w-]{1,40}|EDIINT-[\w-]{1,40}|X-[\w-]{1,60}|Message-ID|From|To|Cc"
    rb"|Reply-To|Subject|Date|Received|Return-Path|Delivered-To|Disposition-[\w-]{1,60}|Received-[\w-]{1,40}|Host|Server"
    rb"|User-Agent|Connection|Transfer-Encoding|Cache-Control|Set-Cookie|Location|DKIM-Signature|Sender"
    rb"|Authorization|Accept)[ \t]*:"
)
S_MIME = re.compile(rb"(?i)pkcs7-|multipart/(?:signed|encrypted)|pgp-encrypted")
PAGE = re.compile(
    rb"(?i)(?:\s|<!--(?:[^-]|-(?!->)){0,4000}-->|<\?[^>]{0,1000}>)*"
    rb"<(?:!DOCTYPE\s+html\b|(?:html|head|title|body|h[1-6]|center|p|div|span|table|br|hr|meta|script|style|pre|ul"
    rb"|ol|font|link|iframe|form|section|main|article|noscript|strong|em)[\s/>])"
)
# What a server or proxy says in plain text: a status of HTTP with its words, or the words alone.
ERROR = re.compile(
    rb"(?i)(?:HTTP[ /]?)?(?:(?:status|error|erreur|fehler)[ :]{1,3}(?:code[ :]{1,3})?)?"
    rb"[45][0-9]{2}(?:[ :-]{1,3}[a-z(]|\s*$)"
    rb"|(?:bad gateway|bad request|service (?:temporarily )?unavailable|gateway time-?out|request time-?out|not found"
    rb"|internal server error|upstream (?:connect|request)|no healthy upstream|forbidden|unauthorized|access denied"
    rb"|proxy error|page not found|file not found|connection (?:refused|reset|timed out)|too many requests)\b"
)
SMALL = re.compile(rb"(?i)UN[ABGH](?=[^\w\s])")
SEGMENT = re.compile(rb"UN[HGTEZ][+:\x1d]|UI[BH][+:]|[A-Z][A-Z0-9]{2}\+[^'\r\n]{0,1000}'")
UNUSABLE = re.compile(rb"\w|([^ ]).*\1", re.DOTALL)  # what the reader tells of by itself: letters, or a sign twice
AFTER_UNA = re.compile(rb"(?i)UN[BHG](?=[^\w\s])")
LAST = re.compile(rb"(?:[\xc2-\xf4][\x80-\xbf]{1,3}|.)\Z", re.DOTALL)  # the last character, in UTF-8 or of one byte
FIRST_MESSAGE = re.compile(rb"UN[HG](?=[^\w\s])")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
RECORD = re.compile(rb"[^\r\n]+")
YAML = re.compile(rb"[\w.-]{1,60}:(?:[ \t][^\r\n]*)?\r?\n(?:\s*(?:- )?[\w.-]{1,60}:(?=\s)|\s*- )")

# EBCDIC: its letters and digits; with them the blanks, line ends and signs that all its code pages share.
LETTERS = ((0x81, 0x8A), (0x91, 0x9A), (0xA2, 0xAA), (0xC1, 0xCA), (0xD1, 0xDA), (0xE2, 0xEA), (0xF0, 0xFA))
SIGNS = ((0x0D, 0x0E), (0x15, 0x16), (0x25, 0x26), (0x40, 0x41), (0x4B, 0x51), (0x5A, 0x62), (0x6B, 0x70), (0x79, 0x80))
EBCDIC_WORDS = bytes(byte for first, end in LETTERS for byte in range(first, end))
# UNA, UNB, UNH, ISA and <?x.
EBCDIC_STARTS = (b"\xe4\xd5\xc1", b"\xe4\xd5\xc2", b"\xe4\xd5\xc8", b"\xc9\xe2\xc1", b"\x4c\x6f\xa7")
EBCDIC_TEXT = EBCDIC_WORDS + bytes(byte for first, end in SIGNS for byte in range(first, end))


def named(body: bytes, roots: frozenset[str]) -> Fault | None:
    """Return the fault that says what unreadable bytes look like, with its place; None if they look like nothing.

    `roots` are the names of the documents' roots that the packs read.
    """
    known = beginnings(roots)
    raw = body[:HEAD]
    start = LEAD.match(body)
    begin = start.end() if start else 0
    text = body[begin : begin + HEAD]
    if look := _binary(raw) or _ebcdic(raw):
        return _fault(look, Place(line=1, column=1))
    if name := _wide(raw):
        look = _in_wide(raw, name, known)
        return _fault(look, Place(line=1, column=1)) if look else None
    look = _text(text, body[-TAIL:], known)
    return _fault(look, _place(body, begin + look.at)) if look else None


def _fault(look: Look, place: Place) -> Fault:
    """Return a look as a fault at its place."""
    value = None if look.value is None else _shown(look.value[: 4 * limits.ECHO_CHARACTERS])
    details = {"count" if look.code == UNA else "name": look.name}
    return Fault(look.code, place=place, value=value, expected=look.expected, details=details)


def _shown(value: bytes) -> str:
    """Return bytes as text: UTF-8, though cut off, or whatever each byte is in Latin-1."""
    text = value.decode("utf-8", "replace")
    return value.decode("latin-1") if "\ufffd" in text[: limits.ECHO_CHARACTERS] else text


def _place(body: bytes, offset: int) -> Place:
    """Return line and column of an offset as the reader counts them: a byte order mark has no column."""
    before = body[3 if body.startswith(b"\xef\xbb\xbf") else 0 : offset]
    return Place(line=before.count(b"\n") + 1, column=len(before) - before.rfind(b"\n"))


# ------------------------------------------------------------------------------------------------ bytes


def _binary(raw: bytes) -> Look | None:
    """Return what the first bytes are known by."""
    for at, magic, code, name in MAGIC:
        if raw.startswith(magic, at):
            return Look(code, name)
    if raw[:1] == b"\x30" and PKCS in raw[:64]:
        return Look(SEALED, "PKCS #7")
    return Look(FILE, "PDF") if b"%PDF-" in raw[:1_024] or raw.startswith(b"%PDF") else None


def _wide(raw: bytes) -> str | None:
    """Return the name of an encoding with two or four bytes for each sign; None for all others."""
    if raw.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    some = raw[: min(len(raw), TAIL) & ~3]
    zeros = [some[n::4].count(0) == len(some) // 4 for n in range(4)]
    if not some or sum(zeros) not in (2, 3):
        return None
    if sum(zeros) == 3:
        return "UTF-32" if zeros[1] and zeros[2] else None
    return "UTF-16" if zeros in ([True, False, True, False], [False, True, False, True]) else None


def _in_wide(raw: bytes, name: str, known: Beginnings) -> Look | None:
    """Return what stands there in wide characters."""
    text = raw.replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")
    if text[:3].upper() in (b"UNA", b"UNB", b"UNH", b"UNG"):
        return Look(WIDE, name, text[:HEAD])
    return _text(text, b"", known)


def _ebcdic(raw: bytes) -> Look | None:
    """Return whether it is text of a mainframe."""
    some = raw[:512]
    if some.startswith(EBCDIC_STARTS):
        return Look(EBCDIC)
    if len(some) < 8 or some.isascii():
        return None
    words = len(some) - len(some.translate(None, EBCDIC_WORDS))
    return Look(EBCDIC) if len(some.translate(None, EBCDIC_TEXT)) * 10 <= len(some) and words * 4 >= len(some) else None


# ------------------------------------------------------------------------------------------------ text


def _text(text: bytes, tail: bytes, known: Beginnings) -> Look | None:
    """Return what text looks like that begins with no blank."""
    if look := _alike(text, known.alike):
        return look
    if text.startswith((b"UNA", b"UNB")):
        return _other(text) or _near(text)
    kinds: tuple[Callable[[bytes], Look | None], ...] = (
        _page,
        _mail,
        _near,
        _other,
        partial(_behind, begins=known.behind),
        _table,
    )
    for kind in kinds:
        if look := kind(text):
            return look
    return _digits(text, tail, known)


def _line(text: bytes) -> bytes:
    """Return the first line."""
    found = RECORD.match(text)
    return found[0] if found else b""


def _page(text: bytes) -> Look | None:
    if PAGE.match(text):
        return Look(HTML, "HTML", _line(text))
    return Look(STATUS, "", _line(text)) if ERROR.match(text) else None


def _mail(text: bytes) -> Look | None:
    if not MAIL.match(text):
        return None
    return Look(SEALED, "S/MIME") if S_MIME.search(text) else Look(HEADERS, "", _line(text))


def _other(text: bytes) -> Look | None:
    found = next(((code, name) for pattern, code, name in OTHERS if pattern.match(text)), None)
    return Look(*found) if found else None


def _behind(text: bytes, begins: re.Pattern[bytes]) -> Look | None:
    found = begins.search(text, 1)
    if not found:
        return None
    return Look(IN_FRONT, "XML" if found[0].startswith(b"<") else "EDIFACT", text[: found.start()].rstrip())


def _table(text: bytes) -> Look | None:
    """Return whether it is a table: two lines with as many separators, or one with some; no blank behind any."""
    if YAML.match(text):
        return Look(DATA, "YAML")
    lines = RECORD.findall(text)[:2]
    if not lines or CONTROL.search(text):
        return None
    for separator in (b"\t", b";", b"|", b","):
        counts = {line.count(separator) for line in lines}
        loose = any(separator + b" " in line or line.endswith(separator) for line in lines)
        if len(counts) == 1 and max(counts) >= 3 - len(lines) and not (loose and max(counts) < 3):
            return Look(DATA, "CSV")
    return None


def _digits(text: bytes, tail: bytes, known: Beginnings) -> Look | None:
    """Return whether it is all signs of Base64, or all hexadecimal digits."""
    plain = text.replace(b"\r", b"").replace(b"\n", b"").rstrip()
    end = tail.rstrip()
    if re.fullmatch(rb"(?:[0-9A-Fa-f]{2}\s*){8,}[0-9A-Fa-f]?", text) and re.fullmatch(rb"[0-9A-Fa-f\s]*", end):
        small = b"".join(text.lower().split())
        if small.startswith(known.hexadecimal) or (len(small) >= 32 and re.search(rb"[a-f]", small)):
            return Look(CODED, "hexadecimal")
    if not re.fullmatch(rb"[A-Za-z0-9+/_-]{8,}={0,2}", plain) or not re.fullmatch(rb"[A-Za-z0-9+/_=\s-]*", end):
        return None
    mixed = all(re.search(signs, plain) for signs in (rb"[A-Z]", rb"[a-z]", rb"[0-9+/=]"))
    return Look(CODED, "Base64") if plain.startswith(known.base64) or (len(plain) >= 24 and mixed) else None


# ------------------------------------------------------------------------------------------------ nearly EDIFACT


def _near(text: bytes) -> Look | None:
    """Return what is wrong with text that is EDIFACT but for its beginning."""
    if (found := SMALL.match(text)) and not found[0].isupper():
        return Look(LOWER, "", found[0], 0, found[0].decode().upper())
    if text.startswith(b"UNA"):
        return _una(text)
    if text.startswith(b"UNB"):
        return _ends(text, 0, b"'")
    found = SEGMENT.match(text)
    return Look(NO_UNB, "", found[0][:3]) if found else None


def _alike(text: bytes, begins: re.Pattern[str]) -> Look | None:
    """Return whether it begins like EDIFACT, but in letters or signs of another script or width."""
    first = text[:48].decode("utf-8", "ignore")[:4]
    if first.isascii() or not begins.match(plain_letters(first)):
        return None
    return Look(ALIKE, "EDIFACT", first.encode(), 0, plain_letters(first))


def _una(text: bytes) -> Look | None:
    """Return what is wrong with UNA, or behind it."""
    found = AFTER_UNA.search(text, 3, 40)
    if not found:
        return None
    signs = text[3 : found.start()]
    if signs[4:5] == b" " and signs[5:6] in (b"\r", b"\n"):
        return Look(LINES, "", None, 8, "'")
    signs = signs.rstrip(b"\r\n")
    signs = signs[:6] + signs[6:].rstrip()
    if len(signs) != 6:
        return Look(UNA, str(len(signs)), signs, 0, "6")
    if UNUSABLE.search(signs):
        return None
    if not found[0].isupper():
        return Look(LOWER, "", found[0], found.start(), found[0].decode().upper())
    if found[0] != b"UNB":
        return Look(NO_UNB, "", found[0], found.start())
    return _ends(text, found.start(), signs[5:6])


def _ends(text: bytes, at: int, terminator: bytes) -> Look | None:
    """Return with what UNB ends where that is not the terminator: with the line, or with another sign."""
    found = FIRST_MESSAGE.search(text, at + 4)
    if not found:
        return None
    header = text[at : found.start()]
    bare = header.rstrip(b" \r\n")
    if bare.endswith(terminator) or len(bare) < 4:
        return None
    expected = terminator.decode("latin-1")
    last = LAST.search(bare)[0]  # type: ignore[index]  # there is always one
    if last.isalnum() or last in b"+:":
        return Look(LINES, "", None, at + len(bare), expected) if bare != header.rstrip(b" ") else None
    return Look(ENDING, "", last, at + len(bare) - len(last), expected)
