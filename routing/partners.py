"""Partners: who may send, for whom, in which language, and where its answers go; deployment data in TOML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from core.calendar import Period
from core.errors import GatewayError
from core.partner import Agreement, EnvelopeProfile, Partner
from core.transmission import digest_of
from routing.agreements import load_profiles
from routing.partner_file import BN15_WORDS, ImporterTable, PartnerTable, ProfileTable, decode

BN15 = re.compile(r"(\d{9})RM(\d{4})")


def load_partners(path: Path) -> dict[str, Partner]:
    """Return the partners of a TOML file by their id.

    Raises GatewayError, one line with the file, the key and what is allowed, for a file that cannot be read, and for
    what `read_partners` refuses.
    """
    try:
        return read_partners(path.read_bytes(), path)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror}") from error


def read_partners(data: bytes, path: Path) -> dict[str, Partner]:
    """Return the partners in the bytes of a file that is called `path`.

    Raises GatewayError for a key that is missing, unknown or of the wrong kind, a BN15 that cannot be one, an id,
    envelope, answer queue or token used twice, an account security number of two owners, and a profile that is not
    there.
    """
    file = decode(data, path)
    for key, values in (
        ("id", [row.id for row in file.partner]),
        ("answer_queue", [row.answer_queue for row in file.partner]),
        ("envelopes", [envelope for row in file.partner for envelope in row.envelopes]),
        ("token_hashes", [each for row in file.partner for each in row.token_hashes]),
        ("importer: bn", [row.bn for row in file.importer]),
    ):
        if twice := _first_repeated(values):
            raise GatewayError(f"{path}: {key}: {twice!r} is used twice")
    claimed = frozenset(_owners(path, file.partner))
    agreement = Agreement(tuple(file.gateway.ids), file.gateway.tests, file.gateway.max_age_days)
    if odd := next((row.bn for row in file.importer if not _is_importer(row.bn)), None):
        raise GatewayError(f"{path}: importer: bn: {odd!r} is not {BN15_WORDS}")
    choices = {row.bn: _choice(path, row) for row in file.importer}
    profiles = {**load_profiles(), **{row.name: _profile(row) for row in file.profile}}
    for row in file.partner:
        if row.profile not in profiles:
            raise GatewayError(f"{path}: partner {row.id}: profile: {row.profile!r} is none of {', '.join(profiles)}")
    door = file.gateway.exchange_user
    return {
        row.id: replace(
            _partner(path, row, replace(agreement, profile=profiles[row.profile]), choices, claimed),
            token_hashes=tuple(row.token_hashes),
            door=door if row.token_hashes else "",
        )
        for row in file.partner
    }


def _choice(path: Path, row: ImporterTable) -> str:
    """Return how an importer accounts; raises GatewayError where the table says neither or both of the two."""
    if (row.csa_period is None) is not row.interim_accounting:
        raise GatewayError(f"{path}: importer: {row.bn}: either a csa_period or interim_accounting = true")
    return row.csa_period or "interim"


def _profile(row: ProfileTable) -> EnvelopeProfile:
    """Return a profile that the file has."""
    dates = frozenset(row.interchange_date), frozenset(row.group_date)
    return EnvelopeProfile(row.name, row.groups, row.association == "expected", *dates)


def unnumbered(partners: Iterable[Partner]) -> list[str]:
    """Return the ids of the partners, still active, whose transaction numbers others can take: none is registered."""
    return [partner.id for partner in partners if partner.active and not partner.accounts]


def _owners(path: Path, rows: Iterable[PartnerTable]) -> dict[str, str]:
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
    """Raise GatewayError if a partner or the exchange logs in as one of our own users, whose messages are believed."""
    known = list(partners)
    doors, taken = {partner.door for partner in known if partner.door}, set(ours)
    for partner in known:
        if partner.user in taken:
            raise GatewayError(f"partner {partner.id}: user: {partner.user!r} is the gateway's own or the engine's")
        if partner.user in doors:
            raise GatewayError(f"partner {partner.id}: user: {partner.user!r} is the exchange's own (exchange_user)")
    if twice := doors & taken:
        raise GatewayError(f"gateway: exchange_user: {min(twice)!r} is the gateway's own or the engine's")


def token_hash(token: str) -> str:
    """Return what the partners' file keeps of a token: its SHA-256 (DECISIONS D-WEBDOOR-1)."""
    return digest_of(token.encode())


def inbound_queue(partner_id: str) -> str:
    """Return the queue that the partner sends to; the transport lets nobody else write there."""
    return f"in.{partner_id}"


def _partner(
    path: Path, row: PartnerTable, agreement: Agreement, choices: Mapping[str, str], claimed: frozenset[str]
) -> Partner:
    """Turn a checked table into a Partner."""
    authorities: dict[str, tuple[Period, ...]] = {}
    accounts: dict[str, frozenset[str]] = dict.fromkeys(row.account_security, frozenset())
    for authority in row.authority:
        if not _is_importer(authority.bn):
            raise GatewayError(f"{path}: partner {row.id}: authority: bn: {authority.bn!r} is not {BN15_WORDS}")
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
