"""What operators do about parked messages: each deed once, for the command line and the web."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from core.errors import GatewayError
from core.findings import Bilingual
from core.partner import Partner
from gateway import pipeline
from gateway.desk.replay import sequence_of
from gateway.desk.words import STATES
from gateway.journal import Journal, Recorded
from gateway.plans import Plans
from gateway.senders import sender_of

NO_REASON = Bilingual(
    "the reason is empty: it is what the sender will read", "le motif est vide : c'est ce que lira l'expéditeur"
)


def _not_any_more(row: Recorded) -> Bilingual:
    return Bilingual(f"{row.id} is not parked any more", f"{row.id} n'est plus garé")


def parked(journal: Journal, id_: str) -> Recorded:
    """Return a parked message by its id or the start of it; raises GatewayError if it is none."""
    (row,) = journal.recorded([sequence_of(journal, id_)])
    if row.state != "parked":
        state = STATES[row.state]
        raise GatewayError(
            Bilingual(f"{row.id} is not parked but {state.en}", f"{row.id} n'est pas garé; son état : {state.fr}")
        )
    return row


def release(journal: Journal, row: Recorded, operator: str, now: datetime) -> None:
    """Give a parked message to the workers again; raises GatewayError if it is not parked any more."""
    if not journal.release_parked(row.sequence, operator, now):
        raise GatewayError(_not_any_more(row))


def refuse(
    journal: Journal,
    row: Recorded,
    reason: str,
    operator: str,
    now: datetime,
    plans: Plans,
    partners: Mapping[str, Partner],
) -> bool:
    """Refuse a parked message in the operator's words; tell whether its sender is told.

    Raises GatewayError for an empty reason, and if it is not parked any more.
    """
    if not reason.strip():
        raise GatewayError(NO_REASON)
    outcome = None
    if row.channel == "partner":
        sender = sender_of(row.received, partners, journal)
        outcome = pipeline.refuse(row.received, sender, reason, now, plans)
    if not journal.refuse_parked(row, outcome, why=reason, specs=plans.digest, operator=operator, now=now):
        raise GatewayError(_not_any_more(row))
    return bool(outcome and outcome.outgoing)
