"""Facts of trade with their days: what origin a tariff treatment is for, what bears a surtax, units of measure.

Pure values and the questions that rules ask of them; the tables are read by `core/trade_tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from core.calendar import Period
from core.findings import Bilingual, least_sure

# In a table's column of countries: every one that has no row of its own.
ANY = "*"


class Goods(NamedTuple):
    """What the tables ask about a line of goods; `released` is the day of release, accounting or receipt.

    `origin` and `exported_from` are countries as `Trade.country_of` names them, empty where not known.
    """

    classification: str
    tariff_code: str
    origin: str
    exported_from: str
    released: date
    shipped: date | None


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A row of `treatment_origins.csv`: a tariff treatment is for goods of an origin (`given`), or is not for them.

    One that is not leaves out the goods whose number begins with one of `but_not`, and what was shipped before the day
    `in_transit`; one that is may be for goods exported from some countries only.
    """

    given: bool
    valid: Period
    but_not: tuple[str, ...]
    in_transit: date | None
    exported_from: frozenset[str]
    confidence: str

    def holds(self, goods: Goods) -> bool:
        """Tell whether the row speaks of these goods."""
        if not self.valid.covers(goods.released):
            return False
        if self.but_not and goods.classification.startswith(self.but_not):
            return False
        if _was_under_way(goods, self.in_transit):
            return False
        return not (self.exported_from and goods.exported_from) or goods.exported_from in self.exported_from


@dataclass(frozen=True, slots=True)
class Surtax:
    """A row of `surtax_orders.csv`: what an order says of the goods of one of its schedules.

    Goods of the tariff codes' chapters `not_chapters` are left out but for the codes that are `kept`, so is what was
    shipped before the day `in_transit`, and all of them where on one declaration they are worth no more than `free`
    dollars. Where one of the orders in `yields_to` applies, this one does not. `condition` is what decides beside
    origin, number and day, which no declaration says.
    """

    order: str
    name: Bilingual
    rate: Decimal
    items: frozenset[str]
    origins: frozenset[str]
    not_origins: frozenset[str]
    valid: Period
    in_transit: date | None
    not_chapters: tuple[str, ...]
    kept: frozenset[str]
    free: Decimal | None
    yields_to: frozenset[str]
    condition: Bilingual
    source: Bilingual
    confidence: str

    def reaches(self, goods: Goods) -> bool:
        """Tell whether goods with a number of this schedule bear the surtax by their origin, code and days.

        Of goods whose origin is not known nothing is said: that is another finding.
        """
        if not self.valid.covers(goods.released) or _was_under_way(goods, self.in_transit):
            return False
        if (
            not goods.origin
            or goods.origin in self.not_origins
            or not (ANY in self.origins or goods.origin in self.origins)
        ):
            return False
        left_out = bool(self.not_chapters) and goods.tariff_code.startswith(self.not_chapters)
        return not left_out or goods.tariff_code in self.kept


def _was_under_way(goods: Goods, first: date | None) -> bool:
    """Tell whether goods were shipped before the first day of what spares goods in transit on it."""
    return goods.shipped is not None and first is not None and goods.shipped < first


def _without_conditions(row: Entitlement) -> bool:
    """Tell whether a row gives the treatment on every day, for all goods."""
    return row.given and row.valid == Period() and not row.exported_from and not row.but_not


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of `units.csv`: the units in which goods of a number, or an excise code, are given."""

    units: frozenset[str]
    valid: Period


@dataclass(frozen=True, eq=False)
class Trade:
    """The tables of trade: entitlements by (treatment, country), surtaxes by tariff item (8 digits), and units.

    `tariff_units` are by the start of a classification number, `excise_units` by excise code. `countries` has for each
    code of the list of countries the country that it is, or is part of.
    """

    entitlements: Mapping[tuple[str, str], tuple[Entitlement, ...]]
    surtaxes: Mapping[str, tuple[Surtax, ...]]
    tariff_units: Mapping[str, tuple[Measured, ...]]
    excise_units: Mapping[str, tuple[Measured, ...]]
    countries: Mapping[str, str]

    def country_of(self, code: str | None) -> str:
        """Return the country that a code is, or is part of; empty for one that the list of countries does not have."""
        return self.countries.get(code or "", "")

    @cached_property
    def _ever(self) -> frozenset[tuple[str, str]]:
        """The treatments and origins that go together on every day, whatever the goods."""
        return frozenset(
            key
            for key, rows in self.entitlements.items()
            if all(row.given for row in rows) and any(map(_without_conditions, rows))
        )

    @cached_property
    def always(self) -> frozenset[tuple[str, str]]:
        """The treatments and codes of origin that go together on every day, whatever the goods: most of all lines."""
        treatments = {treatment for treatment, _ in self.entitlements}
        return frozenset(
            (treatment, code)
            for code, country in self.countries.items()
            for treatment in treatments
            if ((treatment, country) if (treatment, country) in self.entitlements else (treatment, ANY)) in self._ever
        )

    @cached_property
    def headings(self) -> frozenset[str]:
        """The first four digits of the numbers whose units are known."""
        return frozenset(start[:4] for start in self.tariff_units)

    def withheld(self, treatment: str, goods: Goods) -> str | None:
        """Return how sure it is that a treatment is not for goods; None where it is, or where nothing is known."""
        rows = self.entitlements.get((treatment, goods.origin)) or self.entitlements.get((treatment, ANY), ())
        if no := [row for row in rows if not row.given and row.holds(goods)]:
            return least_sure(row.confidence for row in no)
        own = [row for row in rows if row.given]
        if not own:  # what a row withholds from a country, the rows of every other country may give
            own = [row for row in self.entitlements.get((treatment, ANY), ()) if row.given]
        if not own or any(row.holds(goods) for row in own):
            return None
        return least_sure(row.confidence for row in own)

    def beneficiaries(self, treatment: str, goods: Goods) -> tuple[str, ...]:
        """Return the countries whose goods of that kind and day may have a treatment, as far as they are listed."""
        named = (country for each, country in self.entitlements if each == treatment and country != ANY)
        alike = ((country, goods._replace(origin=country)) for country in named)
        rows = self.entitlements
        return tuple(sorted(c for c, each in alike if any(r.given and r.holds(each) for r in rows[treatment, c])))

    def surtaxes_on(self, goods: Goods) -> tuple[Surtax, ...]:
        """Return the surtaxes that goods bear; of several only those that yield to none of the others.

        One that rests on a condition makes no other yield: whether it is met, no declaration says.
        """
        found = [each for each in self.surtaxes.get(goods.classification[:8], ()) if each.reaches(goods)]
        sure = {each.order for each in found if not each.condition.en}
        return tuple(each for each in found if not each.yields_to & sure)

    def units_of(self, classification: str, day: date) -> frozenset[str]:
        """Return the units of a classification number, by the longest start that the table has; empty: not known."""
        for length in range(len(classification), 3, -1):
            for row in self.tariff_units.get(classification[:length], ()):
                if row.valid.covers(day):
                    return row.units
        return frozenset()

    def excise_units_of(self, code: str, day: date) -> frozenset[str]:
        """Return the units in which an excise code's goods are given; empty: not known."""
        return next((row.units for row in self.excise_units.get(code, ()) if row.valid.covers(day)), frozenset())
