"""Makes text fit to be shown: whatever a stranger wrote, nothing of it acts on a terminal, a file or a reader."""

from __future__ import annotations

import unicodedata
from pathlib import Path

# What begins a formula in one spreadsheet or another: the signs, their full-width forms, a tab, the end of a line.
FORMULA = "=+-@|%\t\r\n\uff1d\uff0b\uff0d\uff20"


def printable(text: str, instead: str = "", keep: str = "") -> str:
    """Return the text with everything that acts instead of being seen as a backslash escape.

    That is controls (C0, DEL, C1), marks that turn the direction of writing or join letters, surrogates, private and
    unassigned characters, line and paragraph separators; spaces of any width are seen. `instead` is one character to
    stand for each, where columns must stay; what is in `keep` stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep or unicodedata.category(c) == "Zs" else instead or _escaped(c) for c in text
    )


def of_sqlite(line: str, file: Path) -> str:
    """Return SQLite's word on a file in plain words where what it means is that the file cannot be written."""
    if "unable to open database file" in line or "readonly database" in line:
        folder = file.resolve().parent
        return (
            "it cannot be opened for writing; SQLite must write the file and into its folder"
            f" {printable(str(folder))}, also to read"
        )
    return line


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def lines_of(text: str) -> list[str]:
    """Return the lines of a text as places count them: by line feeds alone; U+0085 and others are characters in one."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def unformula(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: what may begin one has an apostrophe before it.

    That is an equals, plus, minus or at sign, also behind blanks and in full width, a tab or a carriage return.
    """
    begins = text.lstrip(" \N{NO-BREAK SPACE}\"'")[:1]
    return f"'{text}" if begins and begins in FORMULA else text
