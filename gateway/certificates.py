"""How long certificates are still good: those that the settings name as files, and the broker's own."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

from core.urls import nodes_of
from gateway.settings import Settings

# The options of a broker's and of a database's URL that name a file of certificates.
OPTIONS = ("ssl_ca_certs", "ssl_certfile", "sslrootcert", "sslcert")

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

# RFC 5280, 4.1.2.5: a sequence of two times, each UTCTime (two digits of the year) or GeneralizedTime (four), in
# seconds and UTC. Nothing before it in a certificate has that form.
VALIDITY = re.compile(
    rb"\x30.(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)(?:\x17\x0d(?P<short>\d{12})Z|\x18\x0f(?P<long>\d{14})Z)", re.DOTALL
)


def last_moment(der: bytes) -> datetime | None:
    """Return until when a certificate (DER) is good; None for what is none."""
    found = VALIDITY.search(der)
    if not found:
        return None
    text = (found["long"] or (b"20" if found["short"] < b"50" else b"19") + found["short"]).decode()
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _files(settings: Settings) -> Iterator[Path]:
    """Yield the files of certificates that the URLs of broker and database name."""
    for url in (*nodes_of(settings.broker_url), settings.database_url):
        given = parse_qs(url.partition("?")[2])
        yield from (Path(value) for option in OPTIONS for value in given.get(option, ()))


def days_left(settings: Settings, now: datetime, broker: bytes | None = None) -> dict[str, float]:
    """Return how many days each certificate is still good, by its file; of several in one file the first to end.

    `broker` is the one that the broker showed, if any, told under that name. What cannot be read is good for none.
    """
    found: dict[str, float] = {}
    for path in _files(settings):
        try:
            ders = [ssl.PEM_cert_to_DER_cert(text) for text in PEM.findall(path.read_text("ascii"))]
        except (OSError, ValueError):
            ders = []
        found[path.name] = min((_days(der, now) for der in ders), default=0.0)
    if broker:
        found["broker"] = _days(broker, now)
    return found


def _days(der: bytes, now: datetime) -> float:
    until = last_moment(der)
    return (until - now).total_seconds() / 86_400 if until else 0.0
