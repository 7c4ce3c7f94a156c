"""Tables: what a CSV file must be so that it is read, and how the one that is not is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from core.errors import SpecError
from core.tables import AtLeast1, read_rows, read_typed
from gateway.engine.assess import SAMPLE_RATES, load_rates
from gateway.journal import periods
from gateway.plans import prepare
from routing.routes import load_routes
from tests.support import packs


@dataclass
class Kept:
    name: str
    status: Literal["M", "C"]
    most: AtLeast1 = 1


def table(folder: Path, content: bytes | str) -> Path:
    path = folder / "sub" / "table.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_rows_come_with_their_file_and_number(tmp_path: Path) -> None:
    path = table(tmp_path, 'name,status\n A , M \n\n"two\nlines",C\n')
    assert list(read_rows(path, ("name",), root=tmp_path)) == [
        (("sub/table.csv", 2), {"name": "A", "status": "M"}),
        (("sub/table.csv", 4), {"name": "two\nlines", "status": "C"}),
    ]
    assert next(read_rows(path, ()))[0] == (str(path), 2)


def test_typed_rows_take_the_default_for_an_empty_cell(tmp_path: Path) -> None:
    path = table(tmp_path, "name,status,most,note\nA,M,,x\n,C,3,\n")
    assert [row for _, row in read_typed(path, Kept)] == [Kept("A", "M", 1), Kept("", "C", 3)]


@pytest.mark.parametrize(
    ("content", "row", "reason"),
    [
        (b"name,status,most\n\xff,M,1\n", None, "cannot be read: 'utf-8' codec"),
        ('name,status,most\n"A,M,1\n', None, "cannot be read: unexpected end of data"),
        ("", 1, "the column name is missing"),
        ("name,status\nA,M\n", 1, "the column most is missing"),
        ("name,status,most,name\nA,M,1,B\n", 1, "the column name is given twice"),
        ("name,status,most\nA,M\n", 2, "more or fewer fields"),
        ("name,status,most\nA,M,1\nA,M,1,2\n", 3, "more or fewer fields"),
        ("name,status,most\nA,M,x\n", 2, "most cannot be 'x': expected int"),
        ("name,status,most\nA,M,0\n", 2, "most cannot be '0': expected int >= 1"),
        ("name,status,most\nA,R,1\n", 2, "status cannot be 'R': invalid enum value 'R'"),
        ("name,status,most\nA,,1\n", 2, "status cannot be ''"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(
    tmp_path: Path, content: bytes | str, row: int | None, reason: str
) -> None:
    path = table(tmp_path, content)
    with pytest.raises(SpecError) as told:
        list(read_typed(path, Kept, root=tmp_path))
    assert (told.value.file, told.value.row) == ("sub/table.csv", row)
    assert reason in told.value.reason
    assert "\n" not in str(told.value)


def test_a_table_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.csv: cannot be read: No such file"):
        list(read_rows(tmp_path / "none.csv", ()))


def test_routes_rates_and_retention_without_a_column_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, "currency,valid_from,valid_to\n")
    monkeypatch.setattr(periods, "TABLE", path)
    with pytest.raises(SpecError, match="the column message_type is missing"):
        load_routes(path)
    with pytest.raises(SpecError, match="the column kind is missing"):
        periods.load_retention()
    (path.parent / "exchange_rates.csv").write_bytes(path.read_bytes())
    with pytest.raises(SpecError, match=r"exchange_rates\.csv, row 1: the column rate is missing"):
        load_rates(path.parent)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("calendar/billing.toml", "period_start = 18", "period_start = 31", "period_start"),
        ("calendar/billing.toml", "period_end = 17", "period_end = 0", "period_end"),
        ("calendar/billing.toml", "statement_day = 25", "statement_day = nan", "statement_day"),
        ("calendar/billing.toml", "due_weekday = 10", "due_weekday = 1000000000", "due_weekday"),
        ("chapter24/elements.csv", ",an..35,", ",an..99999999999,", "format"),
    ],
)
def test_numbers_of_the_specification_have_ranges(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    """A period that begins on the 31st was loaded, and the first message ended in a traceback."""
    root = packs.copy(tmp_path)
    packs.edit(root / file, old, new)
    with pytest.raises(SpecError, match=words) as caught:
        prepare(root)
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    for name in ("exchange_rates.csv", "charges.csv", "reasons.csv", "not_due.csv"):
        (tmp_path / name).write_bytes((SAMPLE_RATES / name).read_bytes())
    (tmp_path / "exchange_rates.csv").write_text("currency,rate,valid_from,valid_to\nUSD,NaN,2020-01-01,\n")
    with pytest.raises(SpecError, match=r"exchange_rates\.csv, row 2: rate cannot be 'NaN'"):
        load_rates(tmp_path)


def test_tables_behind_a_link_decide_and_count_in_the_digest(tmp_path: Path) -> None:
    """A linked folder was read, but what it held was not in the digest."""
    root = packs.copy(tmp_path)
    before = prepare(root).digest
    (root / "codes").rename(tmp_path / "elsewhere")
    (root / "codes").symlink_to(tmp_path / "elsewhere")
    assert prepare(root).digest == before
    packs.edit(tmp_path / "elsewhere/cad_type.csv", "\nAB,", "\n\nAB,")
    assert prepare(root).digest != before
    (root / "codes/round").symlink_to(root)
    with pytest.raises(SpecError, match="linked into itself"):
        prepare(root)
