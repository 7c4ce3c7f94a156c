"""Tables that fit the terminal: ids, numbers and codes stay whole, what matters least goes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from gateway.cli.terminal import Console

# How wide a table is where there is no terminal.
WIDE = 240

# The least that a column which folds is given, and the blanks between two columns.
FOLDED, BETWEEN = 12, 2


class Column(NamedTuple):
    """A column: the higher its `rank`, the sooner it goes (0: never); one that `folds` may break between words."""

    heading: str
    rank: int = 0
    folds: bool = False


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None) -> Table:
    """Return a table no wider than the terminal, or than `width` characters, if its columns of rank 0 fit.

    No word is broken but one that is wider than its column may be.
    """
    console = Console()
    width = width or (console.width if console.is_terminal else WIDE)
    needed = [_needed(column, [row[at] for row in rows]) for at, column in enumerate(columns)]
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
