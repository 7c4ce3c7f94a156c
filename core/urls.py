"""Reads the URLs of broker and database as far as it is told who logs in where; what may be secret is never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

# Several nodes are separated by semicolons; one within a password is written %3B.
NODES = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")
URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<login>.*)@)?(?P<rest>[^@]*)", re.DOTALL)
FILE = re.compile(r"sqlite(?:\+\w+)?:///[^?@;]*(?:\?lease=[0-9.]+)?")
PLACE = re.compile(r"(?:[\w.-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/(?:[\w./-]|%2[Ff])*)?", re.ASCII)
USER = re.compile(r"[\w.-]{0,64}", re.ASCII)
HIDDEN = "***"

# RabbitMQ's, as the gateway spells them, and PostgreSQL's (libpq).
TLS_FILES = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "sslrootcert", "sslcert", "sslkey", "sslcrl"}


def nodes_of(url: str) -> list[str]:
    """Return the URLs of a broker's nodes."""
    return NODES.split(url)


def users_of(url: str) -> set[str]:
    """Return the users that a broker's URL names, "" where it names none; on the embedded queue there are none."""
    if url.startswith("sqlite:"):
        return set()
    found = [URL.fullmatch(node) for node in nodes_of(url)]
    return {unquote((each["login"] or "").partition(":")[0]) if each else "" for each in found}


def tls_files_of(url: str) -> Iterator[tuple[str, str]]:
    """Yield the options of a broker's or database's URL that name a file of TLS, with the file."""
    for node in nodes_of(url):
        for option, value in parse_qsl(node.partition("?")[2]):
            if option in TLS_FILES and (option, value) != ("sslrootcert", "system"):
                yield option, value


def vhost_of(url: str) -> str:
    """Return the virtual host that a broker's URL names, "/" where it names none."""
    found = URL.fullmatch(nodes_of(url)[0])
    path = found["rest"].partition("?")[0].partition("/")[2] if found and not url.startswith("sqlite:") else ""
    return unquote(path) or "/"


def mask(url: str) -> str:
    """Return a URL fit to be shown: scheme, user, host and path where they are plain, and of nothing else anything."""
    return ";".join(_mask(node) for node in nodes_of(url))


def _mask(url: str) -> str:
    if FILE.fullmatch(url) and url.isprintable():
        return url
    found = URL.fullmatch(url)
    if not found:
        return HIDDEN
    place, query, _ = found["rest"].partition("?")
    shown = (place if PLACE.fullmatch(place) else HIDDEN) + (f"?{HIDDEN}" if query else "")
    if found["login"] is None:
        return f"{found['scheme']}://{shown}"
    user, colon, _ = found["login"].partition(":")
    return f"{found['scheme']}://{user if USER.fullmatch(user) else HIDDEN}{':**' if colon else ''}@{shown}"


def without_secrets(text: str, url: str) -> str:
    """Return what a library says of a URL without the password and the options in it, as written or decoded."""
    secrets: set[str] = set()
    for node in nodes_of(url):
        found = URL.fullmatch(node)
        _, _, query = node.partition("?")
        given = [pair.partition("=")[2] for pair in re.split("[&;]", query)]
        if found and found["login"]:
            given.append(found["login"].partition(":")[2])
        secrets |= {form for each in given for form in (each, unquote(each)) if each}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
