"""Who may send what: the deployment's partners and what is agreed with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

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


# The digits that a transaction number begins with: the account security number of who posted security for it.
ACCOUNT_SECURITY_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Agreement:
    """What this gateway agrees with its partners about envelopes: deployment data; what is empty is not checked.

    `ids` are the gateway's own, as partners name their recipient; `tests` whether test messages are taken; `days` how
    many days ago an EDIFACT interchange may have been prepared; `profile` what form its envelope may have.
    """

    ids: tuple[str, ...] = ()
    tests: bool = False
    days: int | None = None
    profile: EnvelopeProfile = EnvelopeProfile()


@dataclass(frozen=True, slots=True)
class Partner:
    """A sender that the gateway knows: deployment data.

    `envelopes` are the sender ids it may write into UNB or the XML metadata; `authorities` the importers' BN15 that it
    may declare for, each with the periods of its delegation; `contrl` asks for a CONTRL on every interchange; `user` is
    the broker's user that it connects as. `choices` are facts of importers, the same for every partner: the period,
    month or billing, that one in Customs Self Assessment has chosen to account by (SOR/86-1062, s. 10.3), or `interim`
    where goods are released on an interim accounting (s. 13). `accounts` are the account security numbers that its
    transaction numbers may begin with, each with the importers whose own it is (none: the partner's); `others` are
    those of everybody else. `token_hashes` are those of its tokens for HTTP, and `door` is then the broker's user that
    vouches for what it sends so; without a token it is empty, and nobody does.
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
    choices: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    token_hashes: tuple[str, ...] = ()
    door: str = ""

    @property
    def senders(self) -> frozenset[str]:
        """The broker's users whose messages on its queue are its own: its user, and the door's where it has a token."""
        return frozenset({self.user, self.door or self.user})

    def choice_of(self, declaration: Declaration) -> str | None:
        """Return how a declaration's importer accounts (see `choices`), None if it is not known."""
        return self.choices.get(declaration.text("importer_bn") or "")

    def acts_for(self, importer: str, day: date) -> bool:
        """Tell whether the partner may act for an importer (its BN15, exactly) on a day in Eastern Time."""
        return self.active and any(period.covers(day) for period in self.authorities.get(importer, ()))

    @property
    def account(self) -> str | None:
        """The account security number that a partner's next number begins with: one of its own, else an importer's."""
        return min(self.accounts, key=lambda each: len(self.accounts[each]), default=None)

    def may_number(self, number: str, importer: str | None) -> bool:
        """Tell whether a declaration for an importer may have a transaction number, by what that begins with.

        A partner for whom no account security number is registered may use any that is nobody else's.
        """
        account = number[:ACCOUNT_SECURITY_DIGITS]
        if account not in self.accounts:
            return not self.accounts and account not in self.others
        importers = self.accounts[account]
        return not importers or importer in importers
