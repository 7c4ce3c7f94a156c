"""Partners: who may send, for whom, in which language, and where its answers go; deployment data in TOML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from core.calendar import Period
from core.errors import GatewayError
from core.partner import ACCOUNT_SECURITY_DIGITS, Agreement, EnvelopeProfile, Partner
from routing.agreements import load_profiles

# A partner's id becomes part of a queue's name, here and on every broker.
PartnerId = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=70, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
BrokerUser = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")]
BN15 = re.compile(r"(\d{9})RM(\d{4})")
Account = Annotated[str, msgspec.Meta(pattern=rf"^[0-9]{{{ACCOUNT_SECURITY_DIGITS}}}\Z")]


class _Authority(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """One delegation: an importer's BN15 and its days, both included; a missing day is open.

    `account_security` are the importer's own account security numbers, which its brokers use for it and nobody else.
    """

    bn: str
    account_security: list[Account] = []
    start: date | None = None
    end: date | None = None


class _Partner(msgspec.Struct, forbid_unknown_fields=True):
    """A `[[partner]]` table as it stands in the file; `tests` None is what the `[gateway]` table says."""

    id: PartnerId
    name: Text
    envelopes: Annotated[list[Text], msgspec.Meta(min_length=1)]
    answer_queue: Text
    user: BrokerUser | None = None
    language: Literal["en", "fr"] = "en"
    contrl: bool = False
    active: bool = True
    profile: str = "un"
    tests: bool | None = None
    account_security: list[Account] = []
    authority: list[_Authority] = []


class _Profile(msgspec.Struct, forbid_unknown_fields=True):
    """A `[[profile]]` table: a form of EDIFACT envelopes that is agreed with some partner and not shipped."""

    name: Text
    groups: Literal["optional", "required", "refused"] = "optional"
    association: Literal["expected", "optional"] = "expected"
    interchange_date: list[Literal["YYMMDD", "CCYYMMDD"]] = []
    group_date: list[Literal["YYMMDD", "CCYYMMDD"]] = []


class _Gateway(msgspec.Struct, forbid_unknown_fields=True):
    """The `[gateway]` table: what is agreed with every partner about envelopes; a missing id or age is not checked.

    A default would refuse somebody's good traffic (DECISIONS D29); test messages alone must be asked for (D68).
    """

    ids: list[Text] = []
    tests: bool = False
    max_age_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] | None = None


class _Importer(msgspec.Struct, forbid_unknown_fields=True):
    """An `[[importer]]` table: what is known of an importer whoever declares for it."""

    bn: str
    csa_period: Literal["month", "billing"] | None = None
    interim_accounting: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    partner: list[_Partner]
    gateway: _Gateway = msgspec.field(default_factory=_Gateway)
    importer: list[_Importer] = []
    profile: list[_Profile] = []


def load_partners(path: Path) -> dict[str, Partner]:
    """Return the partners of a TOML file by their id.

    Raises GatewayError, one line with the file and the key, for a file that cannot be read, a key that is missing,
    unknown or of the wrong kind, a BN15 that cannot be one, an id, envelope or answer queue used twice, and an account
    security number of two owners.
    """
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise GatewayError(f"{path}: {error}") from error
    for key, values in (
        ("id", [row.id for row in file.partner]),
        ("answer_queue", [row.answer_queue for row in file.partner]),
        ("envelopes", [envelope for row in file.partner for envelope in row.envelopes]),
        ("importer: bn", [row.bn for row in file.importer]),
    ):
        if twice := _first_repeated(values):
            raise GatewayError(f"{path}: {key}: {twice!r} is used twice")
    claimed = frozenset(_owners(path, file.partner))
    agreement = Agreement(tuple(file.gateway.ids), file.gateway.tests, file.gateway.max_age_days)
    if odd := next((row.bn for row in file.importer if not _is_importer(row.bn)), None):
        raise GatewayError(f"{path}: importer: bn: {odd!r} is not an importer's BN15")
    choices = {row.bn: _choice(path, row) for row in file.importer}
    profiles = {**load_profiles(), **{row.name: _profile(row) for row in file.profile}}
    for row in file.partner:
        if row.profile not in profiles:
            raise GatewayError(f"{path}: partner {row.id}: profile: {row.profile!r} is none of {', '.join(profiles)}")
    return {
        row.id: _partner(path, row, replace(agreement, profile=profiles[row.profile]), choices, claimed)
        for row in file.partner
    }


def _choice(path: Path, row: _Importer) -> str:
    """Return how an importer accounts; raises GatewayError where the table says neither or both of the two."""
    if (row.csa_period is None) is not row.interim_accounting:
        raise GatewayError(f"{path}: importer: {row.bn}: either a csa_period or interim_accounting = true")
    return row.csa_period or "interim"


def _profile(row: _Profile) -> EnvelopeProfile:
    """Return a profile that the file has."""
    dates = frozenset(row.interchange_date), frozenset(row.group_date)
    return EnvelopeProfile(row.name, row.groups, row.association == "expected", *dates)


def unnumbered(partners: Iterable[Partner]) -> list[str]:
    """Return the ids of the partners, still active, whose transaction numbers others can take: none is registered."""
    return [partner.id for partner in partners if partner.active and not partner.accounts]


def _owners(path: Path, rows: Iterable[_Partner]) -> dict[str, str]:
    """Return whose each account security number is; raises GatewayError for one of two owners.

    It is a partner's, who uses it for any importer, or that of an importer (all accounts of its nine digits).
    """
    owners: dict[str, str] = {}
    for row in rows:
        given = [(account, f"partner {row.id}") for account in row.account_security]
        for authority in row.authority:
            given += [(account, f"importer {authority.bn[:9]}") for account in authority.account_security]
        for account, owner in given:
            if owners.setdefault(account, owner) != owner:
                raise GatewayError(f"{path}: account_security: {account!r} is of {owners[account]} and of {owner}")
    return owners


def not_ours(partners: Iterable[Partner], ours: Iterable[str]) -> None:
    """Raise GatewayError if a partner logs in as one of our own users, whose messages are believed."""
    for partner in partners:
        if partner.user in set(ours):
            raise GatewayError(f"partner {partner.id}: user: {partner.user!r} is the gateway's own or the engine's")


def inbound_queue(partner_id: str) -> str:
    """Return the queue that the partner sends to; the transport lets nobody else write there."""
    return f"in.{partner_id}"


def _partner(
    path: Path, row: _Partner, agreement: Agreement, choices: Mapping[str, str], claimed: frozenset[str]
) -> Partner:
    """Turn a checked table into a Partner."""
    if not re.fullmatch(r"out\.[a-z0-9.-]+", row.answer_queue):
        raise GatewayError(f"{path}: partner {row.id}: answer_queue: {row.answer_queue!r} does not begin with 'out.'")
    authorities: dict[str, tuple[Period, ...]] = {}
    accounts: dict[str, frozenset[str]] = dict.fromkeys(row.account_security, frozenset())
    for authority in row.authority:
        if not _is_importer(authority.bn):
            raise GatewayError(f"{path}: partner {row.id}: authority: bn: {authority.bn!r} is not an importer's BN15")
        if authority.start and authority.end and authority.start > authority.end:
            raise GatewayError(f"{path}: partner {row.id}: authority: {authority.bn}: 'from' is later than 'to'")
        period = Period(authority.start, authority.end)
        authorities[authority.bn] = (*authorities.get(authority.bn, ()), period)
        for account in authority.account_security:
            accounts[account] = accounts.get(account, frozenset()) | {authority.bn}
    if row.tests is not None:
        agreement = replace(agreement, tests=row.tests)
    return Partner(
        id=row.id,
        name=row.name,
        envelopes=tuple(row.envelopes),
        answer_queue=row.answer_queue,
        language=row.language,
        authorities=authorities,
        contrl=row.contrl,
        active=row.active,
        user=row.user or row.id,
        agreement=agreement,
        choices=choices,
        accounts=accounts,
        others=claimed - accounts.keys(),
    )


def _is_importer(bn: str) -> bool:
    """Tell whether the text is a BN15 of an importer's account: nine digits that pass Luhn, RM, four digits."""
    match = BN15.fullmatch(bn)
    if not match or match[1] == "000000000" or match[2] == "0000":
        return False
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(match[1])))
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _first_repeated(values: Iterable[str]) -> str | None:
    """Return the first value that came before, else None."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
