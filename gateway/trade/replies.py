"""Reads the gateway's answers as a partner's system does: from their bytes alone, in either syntax."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.answers import Answers
from core.errors import GatewayError
from core.findings import Bilingual
from core.specs import Pack
from edifact import reader as edifact
from edifact.contrl import acknowledged
from edifact.directory import Directories
from edifact.text import MessageText
from parsers import xml, xml_finding

# The kinds of answers in words.
ANSWERS: Mapping[str, Bilingual] = {
    "contrl": Bilingual("CONTRL", "CONTRL"),
    "acknowledged": Bilingual("acknowledged", "accepté par CONTRL"),
    "receipt": Bilingual("receipt", "accusé de réception"),
    "accepted": Bilingual("accepted", "accepté"),
    "refused": Bilingual("refused", "refusé"),
    "assessed": Bilingual("assessed", "cotisé"),
    "pending": Bilingual("pending", "en attente"),
    "engine-refused": Bilingual("refused on assessment", "refusé à la cotisation"),
    "technical": Bilingual("kept, technical fault", "conservé, défaut technique"),
}


def in_words(kinds: Iterable[str]) -> Bilingual:
    """Return kinds of answers as people read them."""
    named = [ANSWERS[kind] for kind in kinds]
    return Bilingual(", ".join(each.en for each in named), ", ".join(each.fr for each in named))


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer says; texts that it lacks are empty.

    `kind` is receipt, acknowledged (a CONTRL without error) or a kind of business answer; a CONTRL that rejects is
    `refused`, as its message is. `reference` is the sender's interchange or metadata reference that it answers; for a
    receipt the message id on the queue. `codes` are finding codes, for CONTRL none: it has its own (UN 0085).
    """

    kind: str
    reference: str = ""
    transaction_number: str = ""
    version: str = ""
    codes: tuple[str, ...] = ()
    contrl: bool = False


def read_reply(content_type: str, body: bytes, directories: Directories, packs: Sequence[Pack]) -> Reply:
    """Return what an answer says, by the first pack that it can be an answer of.

    Raises GatewayError, one line, for bytes that are no answer of the gateway's.
    """
    readers = {"application/json": _json, "application/xml": _xml}
    reason: Exception | None = None
    for pack in packs:
        try:
            if content_type == "application/edifact":
                return _edifact(body, directories, pack.answers)
            return readers[content_type](body, pack)
        except (KeyError, ValueError, StopIteration, IndexError) as error:
            reason = reason or error
    raise GatewayError(f"an answer of type {content_type!r} cannot be read: {reason!r}") from reason


def _json(body: bytes, pack: Pack) -> Reply:
    content: Any = json.loads(body)
    if "receipt" in content:
        return Reply("receipt", content["reference"] or "")
    return Reply(pack.answers.kind_of(content["status"]), codes=tuple(each["code"] for each in content["findings"]))


def _xml(body: bytes, pack: Pack) -> Reply:
    answers, root = pack.answers, xml_finding.inside(xml.parse(body), pack.response.way)
    if root is None:
        raise ValueError(f"no {'/'.join(pack.response.names)}")
    statements = [node for node in root if _name(node) == "AdditionalInformation"]
    declaration = next((node for node in root if _name(node) == "Declaration"), None)
    told = {xml_finding.text_at(node, "StatementTypeCode"): node for node in statements}
    return Reply(
        answers.kind_of(xml_finding.text_at(root, "Status/NameCode") or ""),
        xml_finding.text_at(told.get(answers.xml.transmission_reference), "StatementDescription") or "",
        xml_finding.text_at(declaration, "ID") or "",
        xml_finding.text_at(declaration, "VersionID") or "",
        tuple(xml_finding.text_at(node, "ValidationCode") or "" for node in root if _name(node) == "Error"),
    )


def _name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]


def _edifact(body: bytes, directories: Directories, answers: Answers) -> Reply:
    message = next(each for each in edifact.read(body, directories) if isinstance(each, MessageText))
    segments: Sequence[Sequence[Sequence[str]]] = message.segments
    if message.is_contrl:
        subject = acknowledged(segments)
        if subject is None:
            raise ValueError("CONTRL without UCI")
        return Reply("refused" if subject.rejected else "acknowledged", subject.reference, contrl=True)
    opening = next(segment for segment in segments if segment[0][0] == "BGM")
    status = next(segment for segment in segments if segment[0][0] == "STS")
    references = {segment[1][0]: segment[1][1] for segment in segments if segment[0][0] == "RFF"}
    number = [*opening[2], "", ""]
    codes = tuple(segment[1][0] for segment in segments if segment[0][0] == "ERC")
    return Reply(
        answers.kind_of(status[2][0]),
        references.get(answers.edifact.transmission_reference, ""),
        number[0],
        number[1],
        codes,
    )
