"""By what interchanges and documents are known where they do not stand as they should."""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import hexlify
from functools import lru_cache
from typing import NamedTuple

# UNA, UNB, <?xml, a byte order mark, gzip, ZIP: in Base64 and in hexadecimal known by fewer characters than any other,
# as are the roots of documents; PKCS #7.
STARTS = (b"UNA", b"UNB", b"<?x", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"PK\x03")
BASE64_PKCS = (b"MII", b"MIA")


class Beginnings(NamedTuple):
    """By what messages are known: behind something else, in Base64, in hexadecimal, in letters of another script."""

    behind: re.Pattern[bytes]
    base64: tuple[bytes, ...]
    hexadecimal: tuple[bytes, ...]
    alike: re.Pattern[str]


@lru_cache(maxsize=8)
def beginnings(roots: frozenset[str]) -> Beginnings:
    """Return by what interchanges are known, and documents whose root has one of these names."""
    names = sorted(roots)
    whole = b"|".join(re.escape(name).encode() for name in names)
    starts = [*STARTS, *(f"<{name}".encode()[:3] for name in names)]
    return Beginnings(
        re.compile(
            rb"UNA[^\w\s]{4}.[^\w\s]\s{0,8}UNB|UNB[+\x1d]UNO[A-Z]|<\?xml\s|<(?:\w{1,20}:)?(?:%b)[\s>]" % whole,
            re.DOTALL,
        ),
        (*map(b64encode, starts), *BASE64_PKCS),
        tuple(map(hexlify, starts)),
        re.compile("|".join((r"UN[ABHG][^\w\s]", r"<\?XM", *(f"<{re.escape(name[:3].upper())}" for name in names)))),
    )
