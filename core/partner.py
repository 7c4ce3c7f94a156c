"""Who may send what: the deployment's partners and what is agreed with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.calendar import Period
from core.declaration import Declaration


@dataclass(frozen=True, slots=True)
class EnvelopeProfile:
    """What an agreement allows of EDIFACT envelopes, by name; what is empty is as the syntax version itself has it.

    `groups`: functional groups are optional, required or refused; `association`: whether 0057 in UNH must name the
    message's association; `interchange_date` and `group_date` are the pictures (YYMMDD, CCYYMMDD) that S004 may have.
    """

    name: str = "un"
    groups: str = "optional"
    association: bool = True
    interchange_date: frozenset[str] = frozenset()
    group_date: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Agreement:
    """What this gateway agrees with its partners about envelopes: deployment data; what is empty is not checked.

    `ids` are the gateway's own, as partners name their recipient; `tests` whether test messages are taken; `days` how
    many days ago an EDIFACT interchange may have been prepared; `profile` what form its envelope may have.
    """

    ids: tuple[str, ...] = ()
    tests: bool = True
    days: int | None = None
    profile: EnvelopeProfile = EnvelopeProfile()


@dataclass(frozen=True, slots=True)
class Partner:
    """A sender that the gateway knows: deployment data.

    `envelopes` are the sender ids it may write into UNB or the XML metadata; `authorities` the importers' BN15 that it
    may declare for, each with the periods of its delegation; `contrl` asks for a CONTRL on every interchange; `user` is
    the broker's user that it connects as. `csa_periods` are facts of importers, the same for every partner: the period,
    month or billing, that one in Customs Self Assessment has chosen to account by (SOR/86-1062, s. 10.3).
    """

    id: str
    name: str
    envelopes: tuple[str, ...]
    answer_queue: str
    language: str = "en"
    authorities: Mapping[str, tuple[Period, ...]] = field(default_factory=dict)
    contrl: bool = False
    active: bool = True
    user: str = ""
    agreement: Agreement = Agreement()
    csa_periods: Mapping[str, str] = field(default_factory=dict)

    def csa_period(self, declaration: Declaration) -> str | None:
        """Return the period that a declaration's importer has chosen, None if it is not known."""
        return self.csa_periods.get(declaration.text("importer_bn") or "")
