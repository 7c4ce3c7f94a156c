"""Knows the segment that ends with its line but lacks the terminator, and reads a message as if it stood there."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache

from edifact.flaw import Flaw
from edifact.syntax import Service
from edifact.text import MessageText

NO_TERMINATOR = "EDI-0412"


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
        # Where a released sign stands for the terminator, or nothing is behind it, there is no further segment.
        while number < len(written) and whole.start_of(number + 1) <= end:
            number += 1
        flaws.append(no_terminator(written[number - 1], number - 1, tag, of.service))
    return whole, flaws


def no_terminator(tag: str, at: int, behind: str, service: Service) -> Flaw:
    """Return the flaw of a segment that ends with its line: its tag, where it is, and the next line's tag."""
    return Flaw(NO_TERMINATOR, "21", at, value=behind, expected=service.terminator, details={"segment": tag})


def line_end(service: Service) -> str:
    """Return the pattern of a line's end without terminator; group 1 is what may stand there by mistake for it."""
    signs = re.escape(service.element + service.component + service.release)
    unreleased = f"(?<!{re.escape(service.release)})" if service.release else ""
    return f"((?:{unreleased}[{signs}])?)[ \\t]*[\\r\\n]+"


@lru_cache(maxsize=32)
def _lost_end(service: Service) -> re.Pattern[str]:
    """Return what finds a line's end without terminator: what stands for it, and the next line's tag."""
    terminator, signs = re.escape(service.terminator), re.escape(service.element + service.component + service.release)
    return re.compile(f"(?<=[^{terminator}\\s]){line_end(service)}(?=([A-Z]{{3}})[{signs}{terminator}])")
