"""Tables that fit the terminal: ids, numbers and codes stay whole, what matters least goes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from gateway.cli.terminal import Console

# How wide a table is where there is no terminal.
WIDE = 240

# The least that a column which folds is given, and the blanks between two columns.
FOLDED, BETWEEN = 12, 2


class Titled(NamedTuple):
    """A column in both languages: see `Column`."""

    en: str
    fr: str
    rank: int = 0
    folds: bool = False


class Column(NamedTuple):
    """A column: the higher its `rank`, the sooner it goes (0: never); one that `folds` may break between words."""

    heading: str
    rank: int = 0
    folds: bool = False


def fit_in(lang: str, titles: Sequence[Titled], rows: Sequence[Sequence[object]], width: int | None = None) -> Table:
    """Return a table (see `fit`) with its headings in a language; None is an empty cell, a Text has its style."""
    columns = [Column(each.fr if lang == "fr" else each.en, each.rank, each.folds) for each in titles]
    return fit(
        columns,
        [[cell if isinstance(cell, Text) else "" if cell is None else str(cell) for cell in row] for row in rows],
        width,
    )


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], width: int | None = None) -> Table:
    """Return a table no wider than the terminal, or than `width` characters, if its columns of rank 0 fit.

    No word is broken but one that is wider than its column may be.
    """
    console = Console()
    width = width or (console.width if console.is_terminal else WIDE)
    needed = [_needed(column, [str(row[at]) for row in rows]) for at, column in enumerate(columns)]
    kept = list(range(len(columns)))
    while sum(needed[at] for at in kept) + BETWEEN * (len(kept) - 1) > width:
        least = max(kept, key=lambda at: columns[at].rank)
        if not columns[least].rank:
            break
        kept.remove(least)
    table = Table(box=None, padding=(0, BETWEEN, 0, 0), pad_edge=False, width=None)
    for at in kept:
        folds = columns[at].folds
        table.add_column(columns[at].heading, no_wrap=not folds, overflow="fold", min_width=needed[at])
    for row in rows:
        table.add_row(*(row[at] for at in kept))
    return table


def _needed(column: Column, cells: Sequence[str]) -> int:
    """Return how wide a column must be: its longest cell, or, where it folds, its longest word."""
    longest = max((len(cell) for cell in cells), default=0)
    if column.folds:
        words = max((len(word) for cell in cells for word in cell.split()), default=0)
        longest = min(longest, max(words, FOLDED)) if words <= 3 * FOLDED else FOLDED
    return max(len(column.heading), longest)
