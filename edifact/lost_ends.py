"""Finds where a segment ends with its line but lacks the terminator, and reads the message as if it stood there."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache

from edifact.flaw import Flaw
from edifact.syntax import Service
from edifact.text import MessageText


def with_ends(message: MessageText, tags: Container[str]) -> tuple[MessageText, list[Flaw]]:
    """Return a message as it reads with the terminators that its lines lack, and a flaw for each; `tags` are its own.

    A line end is never data, so a line that begins with a tag begins a segment. A separator at the end of the line
    before it stands there by mistake for the terminator. Lines and columns stay, but for those behind it in its line.
    """
    if "\n" not in message.text and "\r" not in message.text:
        return message, []
    parts, ends, at, size = list[str](), list[tuple[int, str]](), 0, 0
    for found in _lost_end(message.service).finditer(message.text):
        if found[2] in tags:
            parts += [message.text[at : found.start()], message.service.terminator]
            size += found.start() - at + 1
            ends.append((size - 1, found[2]))
            at = found.end(1)
    if not ends:
        return message, []
    of = message
    text = "".join([*parts, message.text[at:]])
    whole = MessageText(of.interchange, of.group, of.ordinal, of.start, text, of.reference, of.identifier, of.flaws)
    flaws, number, written = list[Flaw](), 1, whole.tags
    for end, tag in ends:
        while whole.start_of(number + 1) <= end:
            number += 1
        details = {"segment": written[number - 1]}
        flaws.append(Flaw("EDI-0412", "21", number - 1, value=tag, expected=of.service.terminator, details=details))
    return whole, flaws


@lru_cache(maxsize=32)
def _lost_end(service: Service) -> re.Pattern[str]:
    """Return what finds a line's end without terminator: what stands for it, and the next line's tag."""
    terminator, signs = re.escape(service.terminator), re.escape(service.element + service.component + service.release)
    unreleased = f"(?<!{re.escape(service.release)})" if service.release else ""
    sign = f"((?:{unreleased}[{signs}])?)"
    return re.compile(f"(?<=[^{terminator}\\s]){sign}[ \\t]*[\\r\\n]+(?=([A-Z]{{3}})[{signs}{terminator}])")
