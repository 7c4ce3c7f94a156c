"""Whether the answers that a pack's codes make are valid in the UN message that the pack names for them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from core.assessment import Amounts, AssessedLine, AssessmentResult, Reason
from core.calendar import EASTERN
from core.findings import Bilingual
from core.specs import Pack
from edifact.directory import Directories
from edifact.message import explain
from edifact.reader import MessageText, read
from responses.business import AnswerItem, Business, Remark, pointer_steps
from responses.business_edifact import write

WORDS = "what it says"
AMOUNTS = Amounts(*[Decimal("1.00")] * len(Amounts._fields))
RESULT = AssessmentResult(
    message_id="0" * 32,
    transaction_number="12345000000012",
    version="00001",
    outcome="approved",
    lines=(AssessedLine(1, 1, AMOUNTS, "51"), AssessedLine(2, 1, AMOUNTS)),
    totals=AMOUNTS,
    payment_due=date(2026, 12, 1),
    reasons=(Reason("ENG-0001", Bilingual(WORDS, WORDS), 1, 1),),
)


def misfit(pack: Pack, directories: Directories) -> Bilingual | None:
    """Return what first does not fit in an answer that says all there is to say, or in one that says the least."""
    structure = directories.structure(pack.edifact_answer)
    name = ":".join(pack.edifact_answer)
    if structure is None:
        return Bilingual(f"no directory holds the answer's message {name}", f"aucun répertoire n'a le message {name}")
    for full in (True, False):
        for item in read(write(_answer(pack, full), ["GATEWAY"], ["PARTNER"]), directories):
            for fault in explain(item, structure) if isinstance(item, MessageText) else ():
                at = fault.place.segment if fault.place else None
                return Bilingual(
                    f"answers as they are written do not fit {name}: {fault.code} in segment {at}",
                    f"les réponses telles qu'elles s'écrivent ne vont pas avec {name} : {fault.code} au segment {at}",
                )
    return None


def _answer(pack: Pack, full: bool) -> Business:
    """Return an answer with a finding, a remark and duties, or one with nothing but its kind."""
    pointer = pointer_steps("42A/67A[1]/68A[1]/D014")
    item = AnswerItem("CAD-0001", "refuse", WORDS, (WORDS,), pointer)
    said = WORDS if full else ""
    return Business(
        id="0" * 32,
        kind=next(iter(pack.answers.kinds.values())),
        language="en",
        pack=pack,
        issued=datetime(2026, 11, 23, 15, tzinfo=UTC).astimezone(EASTERN),
        transmission=said,
        message=said,
        reference=said,
        test=full,
        transaction_number=said and "12345000000012",
        version=said and "00001",
        items=(item, item) if full else (),
        total=2 if full else 0,
        remarks=(Remark(1, 1, WORDS),) if full else (),
        result=RESULT if full else None,
        called={(1, 1): 1, (2, 1): 1},
    )
