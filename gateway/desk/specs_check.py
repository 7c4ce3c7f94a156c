"""What is doubtful in a folder of specifications though it loads, or why it does not: with file, row and remedy."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from core.declaration import Unreadable
from core.errors import SpecError
from core.findings import Bilingual
from core.specs import Element, Pack
from core.tables import name_of
from edifact.directory import Item, Segment
from gateway.desk.answers_check import misfit
from gateway.plans import Plans, prepare
from parsers.places import Condition, Position, edifact_place, group_triggers

# What Excel and its like write instead of commas, and the byte order mark by which they know a file of their own.
SEPARATORS = (";", "\t")
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

DAYS = {"valid_from", "valid_to", "retired"}
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

SAVE = Bilingual(
    "Save it as CSV in UTF-8, with commas and without a byte order mark",
    "Enregistrez-le en CSV, en UTF-8, avec des virgules et sans indicateur d'ordre des octets",
)
AS_TEXT = Bilingual(
    "Write the whole code; import the columns as text where a spreadsheet opens the table",
    "Écrivez le code entier; importez les colonnes comme du texte si un tableur ouvre la table",
)
OWN_LIST = Bilingual(
    "Correct the code, or name the list of your own beside it (1131) in the EDIFACT place",
    "Corrigez le code, ou nommez à côté votre propre liste (1131) dans la place EDIFACT",
)
OTHER_MESSAGE = Bilingual(
    "Name in edifact.answer the message that answers are written for, GOVCBR; codes left out must not be asked for",
    "Nommez dans edifact.answer le message pour lequel les réponses s'écrivent, GOVCBR; un code omis ne doit pas y être"
    " exigé",
)
OF_THE_UN = Bilingual("Take a code of the UN's list", "Prenez un code de la liste de l'ONU")
# A place of a code in answers: segment and data element; and that of the response type.
PLACE, RESPONSE = re.compile(r"\b([A-Z]{3}) (?:(C\d{3})/)?(\d{4})"), "BGM 4343"
ISO_DAY = Bilingual("Write the day as YYYY-MM-DD", "Écrivez le jour sous la forme AAAA-MM-JJ")


class Problem(NamedTuple):
    """One thing that is wrong or doubtful in a folder: where (row 1 is the heading, None the whole), and what to do."""

    file: str
    row: int | None
    what: Bilingual
    remedy: Bilingual


class _Table(NamedTuple):
    """A table as text, however it is separated; `rows` have their numbers."""

    name: str
    heading: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]

    def columns(self) -> Iterator[tuple[str, list[tuple[int, str]]]]:
        """Yield each column with what is given in it, by row."""
        for at, column in enumerate(self.heading):
            yield column, [(number, row[at].strip()) for number, row in self.rows if at < len(row) and row[at].strip()]


def problems_of(root: Path, original: Path) -> list[Problem]:
    """Return what is wrong in a folder of specifications, by file and row; one problem a row, what we know best first.

    `original` is the project's own folder: what is a day or a code with leading zeros there is one here.
    """
    found = [*_folders(root, original)]
    tables = []
    for path in sorted(root.rglob("*.csv")):
        table, wrong = _read(path, root)
        found += wrong
        tables += [table] if table else []
    for table in tables:
        found += _days_and_zeros(table, _read(original / table.name, original)[0])
    try:
        found += _loaded(prepare(root), {table.name: table for table in tables})
    except SpecError as error:
        if not any(each.file == error.file for each in found):
            said = Bilingual(f"nothing loads: {error.reason}", f"rien ne se charge : {error.reason}")
            remedy = Bilingual(
                "Correct the row; docs/packs.md has the columns", "Corrigez la ligne; voir docs/packs.md"
            )
            found.append(Problem(error.file, error.row, said, remedy))
    first = {(each.file, each.row): each for each in reversed(found)}
    return sorted(first.values(), key=lambda each: (each.file, each.row or 0))


# ------------------------------------------------------------------------------------------------ files as they lie


def _folders(root: Path, original: Path) -> Iterator[Problem]:
    """Yield folders without a file, and those with tables of a pack that no manifest makes one."""
    for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
        name = name_of(folder, root)
        if not any(path.is_file() for path in folder.rglob("*")):
            said = Bilingual("the folder is empty", "le dossier est vide")
            yield Problem(
                name, None, said, Bilingual("Put its tables in, or delete it", "Mettez-y ses tables ou supprimez-le")
            )
    ours = {path.name for path in original.iterdir() if path.is_dir()}
    packs = {path.parent.name for path in original.glob("*/manifest.toml")}
    names = {path.name for pack in packs for path in (original / pack).glob("*.csv")}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name not in ours - packs):
        if names & {path.name for path in folder.iterdir()} and not (folder / "manifest.toml").exists():
            said = Bilingual(
                "has tables of a pack and no manifest.toml: nothing of it is read",
                "a des tables d'un ensemble, mais aucun manifest.toml : rien n'en est lu",
            )
            remedy = Bilingual("Copy a pack's manifest.toml into it", "Copiez-y le manifest.toml d'un ensemble")
            yield Problem(name_of(folder, root), None, said, remedy)


def _read(path: Path, root: Path) -> tuple[_Table | None, list[Problem]]:
    """Return a table as text, None for one that is none, and what is wrong with the file as such."""
    name = name_of(path, root)
    try:
        body = path.read_bytes()
        text = body.decode("utf-8")
    except OSError:
        return None, []  # loading says why
    except UnicodeDecodeError as error:
        row = body[: error.start].count(b"\n") + 1
        said = Bilingual("is not in UTF-8", "n'est pas en UTF-8")
        return None, [Problem(name, row, said, SAVE)]
    found = []
    if text.startswith(MARK):
        said = Bilingual("begins with a byte order mark", "commence par un indicateur d'ordre des octets")
        found.append(Problem(name, 1, said, SAVE))
        text = text.removeprefix(MARK)
    heading = text.partition("\n")[0]
    separator = next((each for each in SEPARATORS if each in heading and "," not in heading), ",")
    if separator != ",":
        which = Bilingual("tabs", "tabulations") if separator == "\t" else Bilingual("semicolons", "points-virgules")
        said = Bilingual(f"its columns are separated by {which.en}", f"ses colonnes sont séparées par des {which.fr}")
        found.append(Problem(name, 1, said, SAVE))
    try:
        rows = list(enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1))
    except csv.Error:
        return None, found  # loading says why
    return (_Table(name, rows[0][1], rows[1:]) if rows else None), found


# ------------------------------------------------------------------------------------------------ columns


def _days_and_zeros(table: _Table, original: _Table | None) -> Iterator[Problem]:
    """Yield days that are none, and codes that are shorter than those of the original's column."""
    ours = dict(original.columns()) if original else {}
    for column, values in table.columns():
        known = [value for _, value in ours.get(column, ())]
        if column in DAYS or (known and all(map(_is_day, known))):
            for number, value in values:
                if not _is_day(value):
                    said = Bilingual(f"{column} {value!r} is no day", f"{column} {value!r} n'est pas un jour")
                    yield Problem(table.name, number, said, ISO_DAY)
        elif length := _length_with_zeros(known):
            yield from _short(table, column, values, length, set(_words(known)))


def _short(
    table: _Table, column: str, values: Iterable[tuple[int, str]], length: int, known: set[str]
) -> Iterator[Problem]:
    """Yield the numbers of a column that are shorter than its codes."""
    for number, value in values:
        for word in _words([value]):
            if word.isdigit() and len(word) < length and word not in known:
                whole = word.zfill(length)
                said = Bilingual(
                    f"{column} {word} has lost its leading zeros: this column has {length} digits ({whole})",
                    f"{column} {word} a perdu ses zéros de tête : cette colonne a {length} chiffres ({whole})",
                )
                yield Problem(table.name, number, said, AS_TEXT)


def _words(values: Iterable[str]) -> Iterator[str]:
    """Yield the words of cells, which may list several codes."""
    return (word for value in values for word in value.split())


def _length_with_zeros(values: Sequence[str]) -> int:
    """Return how many digits the codes of a column have, 0 where they are of several lengths or none begins with 0."""
    codes = [word for word in _words(values) if word.isdigit()]
    lengths = {len(code) for code in codes}
    return lengths.pop() if len(lengths) == 1 and any(code[0] == "0" < code for code in codes) else 0


def _is_day(text: str) -> bool:
    try:
        return bool(DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


# ------------------------------------------------------------------------------------------------ what is loaded


def _loaded(plans: Plans, tables: dict[str, _Table]) -> Iterator[Problem]:
    """Yield what the values of a specification that loads show."""
    for pack in plans.specs.packs:
        yield from _usage(pack)
        yield from _un_codes(pack, plans, tables)
        yield from _answers(pack, plans, tables)
        if said := misfit(pack, plans.reading.directories):
            yield Problem(pack.id, None, said, OTHER_MESSAGE)
    yield from _formats(plans, tables)


def _usage(pack: Pack) -> Iterator[Problem]:
    """Yield the elements that a sender may give and of which no row says where."""
    for element in pack.elements.values():
        if element.direction == "in" and "*" not in pack.usage.get(element.name, {}):
            said = Bilingual(
                f"{element.name} has no usage in {pack.key}, or none for *: any message may give it",
                f"{element.name} n'a pas d'emploi dans {pack.key}, ou rien pour * : tout message peut le donner",
            )
            remedy = Bilingual(
                "Give it a row: M, O or X by CAD type", "Donnez-lui une ligne : M, O ou X par type de DDC"
            )
            yield Problem(*element.origin, said, remedy)


def _formats(plans: Plans, tables: dict[str, _Table]) -> Iterator[Problem]:
    """Yield the codes of which no element that reads the list could be: also lost zeros, without an original."""
    readers: dict[str, list[Element]] = {}
    for pack in plans.specs.packs:
        for element in pack.elements.values():
            if element.code_list:
                readers.setdefault(element.code_list, []).append(element)
    for name, elements in readers.items():
        for code in plans.specs.code_lists[name].codes:
            if all(isinstance(element.format.read(code), Unreadable) for element in elements):
                form = elements[0].format.notation
                said = Bilingual(
                    f"no message can give {code}: {elements[0].name} is {form}",
                    f"aucun message ne peut donner {code} : {elements[0].name} est {form}",
                )
                yield _of_code(name, code, said, AS_TEXT, tables)


def _un_codes(pack: Pack, plans: Plans, tables: dict[str, _Table]) -> Iterator[Problem]:
    """Yield codes and qualifiers that the UN's list of their place has not, where no own list (1131) is named."""
    structure = plans.reading.directories.structure(pack.edifact_message)
    if structure is None:
        return
    triggers = group_triggers(pack)
    for element in pack.elements.values():
        if not element.edifact_place or element.direction != "in":
            continue
        place = edifact_place(element)
        steps = [(group.trigger or triggers.get(group.number, ""), group.conditions) for group in place.groups]
        for tag, conditions in (*steps, (place.tag, place.conditions)):
            for at, value in conditions:
                if _is_foreign(value, _item(structure.segments[tag], at), at, conditions):
                    said = Bilingual(
                        f"{value} is no code of the UN in {tag}", f"{value} n'est pas un code de l'ONU dans {tag}"
                    )
                    yield Problem(*element.origin, said, OWN_LIST)
        within = place.conditions or place.groups[-1].conditions
        item = _item(structure.segments[place.tag], place.position)
        codes = plans.specs.code_lists[element.code_list].codes if element.code_list else ()
        for code in codes:
            if _is_foreign(code, item, place.position, within):
                said = Bilingual(
                    f"{code} is no code of UN {item.id}, where {element.name} stands in {pack.key}",
                    f"{code} n'est pas un code de l'ONU {item.id}, où se trouve {element.name} dans {pack.key}",
                )
                yield _of_code(element.code_list or "", code, said, OWN_LIST, tables)


def _answers(pack: Pack, plans: Plans, tables: dict[str, _Table]) -> Iterator[Problem]:
    """Yield the codes of answers in EDIFACT that the UN's list of their place has not."""
    structure = plans.reading.directories.structure(pack.edifact_answer)
    if structure is None:
        return
    # Beside these stands whose list the code is of (1131).
    own = next((row.place for row in pack.answers.rows if row.name == "our_list" and row.code), "")
    given = [(name, kind.response, RESPONSE) for name, kind in pack.answers.kinds.items()]
    given += [(row.name, row.code, row.place) for row in pack.answers.rows if row.syntax != "xml" and row.code]
    for name, code, place in given:
        for tag, composite, id_ in PLACE.findall(place):
            # A message of another directory may lack the segment: what does not fit it is told as a whole.
            slots = structure.segments[tag].flat if tag in structure.segments else ()
            parts = [part.item for each in slots for part in each.parts]
            lists = [item.codes for item in parts if item.id == id_ and item.codes is not None]
            if lists and f"{tag} {composite}/" not in own and not any(code in codes for codes in lists):
                said = Bilingual(
                    f"{code} is no code of UN {id_} in {tag}", f"{code} n'est pas un code de l'ONU {id_} dans {tag}"
                )
                yield Problem(*_row_of(name, tables), said, OF_THE_UN)


def _row_of(name: str, tables: dict[str, _Table]) -> tuple[str, int | None]:
    """Return the table of answers that has a kind or a code of this name, and its row."""
    for table in tables.values():
        if table.heading[:1] in (["kind"], ["syntax"]):
            for number, row in table.rows:
                if name in row[:2] and row[0] != "xml":
                    return table.name, number
    return "", None


def _item(segment: Segment, at: Position) -> Item:
    return segment.flat[at.element - 1].parts[at.component - 1].item


def _is_foreign(value: str, item: Item, at: Position, conditions: Sequence[Condition]) -> bool:
    """Tell whether a value is none of the item's codes, and nothing beside it says whose it is."""
    own = any(condition.position == Position(at.element, 2) for condition in conditions)
    return item.codes is not None and value not in item.codes and not own


def _of_code(codes: str, code: str, said: Bilingual, remedy: Bilingual, tables: dict[str, _Table]) -> Problem:
    """Return a problem at the row of a code."""
    name = f"codes/{codes}.csv"
    table = tables.get(name)
    row = next((number for number, row in table.rows if row and row[0].strip() == code), None) if table else None
    return Problem(name, row, said, remedy)
