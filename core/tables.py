"""The one reader of tables: CSV files with a heading, row by row, as text or typed; what cannot be used is told."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from core.errors import SpecError, cause_of

Origin = tuple[str, int]  # a file's name and a row of it, the heading being row 1
Cells = Mapping[str, str]
T = TypeVar("T")
AtLeast0 = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
AtLeast1 = Annotated[int, msgspec.Meta(ge=1, le=10**15)]

# What is read while somebody watches: the file, the columns that it must have, and its heading.
Read = tuple[Path, tuple[str, ...], tuple[str, ...]]
_watched: ContextVar[list[Read] | None] = ContextVar("_watched", default=None)

_COLUMN = re.compile(r" - at `\$\.(.*)`")


@contextmanager
def watching() -> Iterator[list[Read]]:
    """Give the list of the tables that are read meanwhile; for the reference page of the packs' tables."""
    seen: list[Read] = []
    token = _watched.set(seen)
    try:
        yield seen
    finally:
        _watched.reset(token)


def read_rows(path: Path, columns: Collection[str], *, root: Path | None = None) -> Iterator[tuple[Origin, Cells]]:
    """Yield ((file, row number), row) for each row of a UTF-8 CSV file that has at least these columns.

    Values come without the blanks around them; empty lines are passed over. Errors name the file as it is reached from
    `root`, without one as `path` says. Raises SpecError, one line with file, row and reason, for a file that cannot be
    read, a column that is missing or given twice, and a row of more or fewer fields than the heading.
    """
    name = name_of(path, root)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            heading = [column.strip() for column in next(lines, [])]
            for column in columns:
                if column not in heading:
                    raise SpecError(name, 1, f"the column {column} is missing")
            if len(set(heading)) < len(heading):
                twice = next(column for column in heading if heading.count(column) > 1)
                raise SpecError(name, 1, f"the column {twice} is given twice")
            if (seen := _watched.get()) is not None:
                seen.append((path, tuple(columns), tuple(heading)))
            for number, fields in enumerate(lines, 2):
                if not fields:
                    continue
                if len(fields) != len(heading):
                    raise SpecError(name, number, "the row has more or fewer fields than the heading")
                yield (name, number), {key: value.strip() for key, value in zip(heading, fields, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(name, None, f"cannot be read: {cause_of(error)}") from error


def once(key: str, given: set[str], origin: Origin, what: str) -> None:
    """Add a key to those that a table has given; raises SpecError for one again: the later row would win unseen."""
    if key in given:
        raise SpecError(*origin, f"{what} {key} is given twice")
    given.add(key)


def name_of(path: Path, root: Path | None) -> str:
    """Return the name by which errors call a file: as it is reached from `root`, without one as `path` says."""
    return Path(os.path.relpath(path, root)).as_posix() if root else str(path)


def read_typed(path: Path, row_type: type[T], *, root: Path | None = None) -> Iterator[tuple[Origin, T]]:
    """Yield ((file, row number), row) with each row as a dataclass or Struct, whose fields are columns.

    All of these columns must be there; an empty cell takes the field's default. Raises SpecError as `read_rows` does,
    and for a value that does not fit.
    """
    described: Any = msgspec.inspect.type_info(row_type)
    required = {field.encode_name for field in described.fields if field.required}
    columns = [field.encode_name for field in described.fields]
    numbers = {field.encode_name for field in described.fields if isinstance(field.type, msgspec.inspect.DecimalType)}
    for origin, row in read_rows(path, columns, root=root):
        given = {column: row[column] for column in columns if row[column] or column in required}
        try:
            read = msgspec.convert(given, row_type, strict=False)
        except msgspec.ValidationError as error:
            raise SpecError(*origin, _reason(str(error), row)) from None
        for column, value in given.items():
            if column in numbers and not Decimal(value).is_finite():
                raise SpecError(*origin, f"{column} cannot be {value!r}: expected a number")
        yield origin, read


def _reason(error: str, row: Cells) -> str:
    """Return msgspec's message with the column and its value in front: `max cannot be 'x': expected int`."""
    found = _COLUMN.search(error)
    text = error[: found.start() if found else None].partition(", got ")[0].replace("`", "")
    text = text[:1].lower() + text[1:]
    return f"{found[1]} cannot be {row.get(found[1])!r}: {text}" if found else text
