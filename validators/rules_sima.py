"""Checks of measures under the Special Import Measures Act: which goods of which origins they cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.declaration import Commodity
from core.findings import Fault
from core.specs import Code
from validators.checks import Bound, Context, Role, check
from validators.elements import listed_on
from validators.parameters import Setting, code_list
from validators.rules import OK

ORIGIN = Role("origin", "commodity")
CLASSIFICATION = Role("classification", "commodity")
RELEASED = Role("release_date", "declaration", "date")
ACCOUNTED = Role("accounting_date", "declaration", "date")

Measures = Mapping[str, tuple[Code, ...]]


def _is_of(measure: Code, origin: str, context: Context) -> bool:
    """Tell whether an origin is one of the measure's, by the list's column `origins`; an empty one is not known."""
    origins, country = measure.row.get("origins", "").split(), context.specs.trade.country_of(origin)
    return not origins or country in origins


def by_number(text: str, setting: Setting) -> Measures:
    """Read the id of a code list of measures: them by the classification numbers that their column `numbers` names."""
    found: dict[str, tuple[Code, ...]] = {}
    for entries in code_list(text, setting).codes.values():
        for entry in entries:
            for number in entry.row.get("numbers", "").split():
                found[number] = (*found.get(number, ()), entry)
    return found


@check(
    of="text",
    reads=(ORIGIN, CLASSIFICATION),
    needs=(ORIGIN, CLASSIFICATION),
    columns=("origins", "numbers"),
    on_list_day=True,
)
def measure_covers(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require goods that the measure covers: by its origins and numbers, as far as its row has them."""
    number, origin = line.text(bound[CLASSIFICATION]), line.text(bound[ORIGIN])
    code, day = line.text(bound.element), listed_on(context.pack.elements[bound.element], line, context.declaration)
    measure = bound.codes.find(code, day) if bound.codes and code else None
    if measure is None or number is None or origin is None:
        return OK
    numbers = measure.row.get("numbers", "").split()
    if not context.specs.trade.country_of(origin):
        return OK  # the list of countries says so
    if _is_of(measure, origin, context) and (not numbers or number in numbers):
        return OK
    return (bound.fault(details={"classification": number, "origin": origin}),)


@check(
    "commodity",
    presence="absent",
    reads=(ORIGIN, CLASSIFICATION, RELEASED, ACCOUNTED),
    needs=(ORIGIN, CLASSIFICATION),
    only=CLASSIFICATION,
    prepare=by_number,
)
def measure_watch(line: Commodity, context: Context, bound: Bound) -> Iterable[Fault]:
    """Require the subject's indicator for goods that a measure in force on the day of release names by number."""
    number, origin = line.text(bound[CLASSIFICATION]), line.text(bound[ORIGIN])
    measures: Measures = bound.parameter
    named_there = measures.get(number or "", ())
    if origin is None or number is None:
        return OK
    day = context.first_day(bound[RELEASED], bound[ACCOUNTED])
    found = [each.code for each in named_there if each.valid.covers(day) and _is_of(each, origin, context)]
    details = {"classification": number, "origin": origin}
    return (bound.fault(expected=" ".join(found), details=details),) if found else OK
