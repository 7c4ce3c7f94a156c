"""The one entry to business answers: in the sender's syntax and the partner's language."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from core.assessment import AssessmentResult
from core.envelope import Interchange
from core.partner import Partner
from core.specs import Pack
from core.transmission import Judged, Syntax
from responses import business_edifact, business_xml, receipt
from responses.addresses import addresses
from responses.business import business


def answer(
    kind: str,
    judged: Judged,
    *,
    answer_id: str,
    partner: Partner | None,
    now: datetime,
    packs: Sequence[Pack],
    result: AssessmentResult | None = None,
    interchange: Interchange | None = None,
) -> tuple[str, bytes]:
    """Return content type and bytes of the answer to one message; the same input always gives the same bytes.

    `kind` is refused, accepted, assessed, pending, engine-refused or technical; the three of the assessment need its
    `result`. `answer_id` is the Outgoing's stable id, from which control references come. `interchange`, the subject's
    own, gives an EDIFACT answer its syntax version, character set and qualified addresses. At most
    limits.FINDINGS_LISTED findings are listed, the total is always told. Raises GatewayError for a wrong kind.
    """
    content = business(kind, judged, answer_id=answer_id, partner=partner, now=now, packs=packs, result=result)
    ours, theirs = addresses(partner, judged.message.envelope, interchange)
    if judged.message.syntax is Syntax.EDIFACT:
        return business_edifact.CONTENT_TYPE, business_edifact.write(content, ours, theirs, interchange)
    if judged.message.syntax is Syntax.XML:
        return business_xml.CONTENT_TYPE, business_xml.write(content, ours, theirs)
    return receipt.CONTENT_TYPE, receipt.refusal(content)
