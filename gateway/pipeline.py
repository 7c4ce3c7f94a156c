"""The way of a message: identify, parse, validate, route, respond; pure, bytes and facts in, an `Outcome` out."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from core import calendar, limits
from core.assessment import AssessmentResult
from core.declaration import MessageType, Nature
from core.envelope import Envelope, Interchange
from core.errors import Malformed
from core.findings import Address, Fault, Finding, Place, Severity
from core.loading import load
from core.partner import Partner
from core.register import Facts, VersionFact
from core.specs import Pack, Specs, choose_pack
from core.transmission import (
    Acknowledgement,
    Judged,
    Locator,
    Message,
    Outcome,
    Outgoing,
    Parsed,
    Received,
    Syntax,
    Verdict,
    stable_id,
)
from edifact import message as structure
from edifact import reader as edifact
from edifact.contrl import REJECTED, acknowledged, contrl
from edifact.directory import Structure
from edifact.match import matcher
from parsers import cad_edifact, cad_xml, sniff, xml
from parsers.places import check_edifact_places
from parsers.xml_paths import check_xml_paths
from responses.answers import answer
from routing.assessment import build_request
from routing.routes import destination, load_routes
from validators import schema
from validators.agreement import agreed, envelope_faults, messages_inside
from validators.elements import check_elements
from validators.explain import to_finding, to_findings
from validators.rulebook import apply_rules, check_rules, nature_of
from validators.sender import check_sender


def handle(received: Received, facts: Facts, specs: Specs) -> Outcome:
    """Carry one transmission from bytes to verdicts and answers.

    No clock, no queue, no database: all of that is in `facts`. Same arguments, same outcome, byte for byte.
    """
    return judge(parse(received, specs), facts, specs)


def prepare(root: Path) -> Specs:
    """Load the specification and compile all that reads it; raises SpecError for whatever cannot be used."""
    loaded = load(root)
    for pack in loaded.packs:
        xml.schema(pack.schema)
        check_xml_paths(pack)
        cad_xml.xml_plan(pack)
        check_edifact_places(pack, loaded.directories)
        cad_edifact.edifact_plan(pack)
        check_rules(pack, loaded)
    return loaded


def warm(specs: Specs) -> Iterator[bool]:
    """Compile, one a step, the patterns that the packs' first EDIFACT messages would wait for, half a second each.

    Of syntax 3 with and without UNA, and of syntax 4. A program that judges a few messages compiles what these need.
    """
    for pack in specs.packs:
        for syntax, decimal in (("3", "."), ("3", ".,"), ("4", ".,")):
            if table := specs.directories.structure(pack.edifact_message, syntax):
                for letters in ("ASCII", "any"):
                    matcher(_profile(pack, table), syntax, letters, decimal)
                    yield True


# ------------------------------------------------------------------------------------------------ identify, parse


def parse(received: Received, specs: Specs) -> Parsed:
    """Identify the syntax and read every message of the transmission; what cannot be read becomes a fault."""
    syntax = sniff.syntax(received.body)
    try:
        if not received.body:
            raise Malformed("GTW-0008", "nothing was sent")
        if len(received.body) > limits.TRANSMISSION_BYTES:
            size, most = len(received.body), limits.TRANSMISSION_BYTES
            raise Malformed("GTW-0007", f"{size} bytes, at most {most}", reason_fr=f"{size} octets, au plus {most}")
        if syntax is Syntax.EDIFACT:
            return _parse_edifact(received, specs)
        if syntax is Syntax.XML:
            return Parsed(received, syntax, (_parse_xml(received, specs),))
        raise Malformed("GTW-0001", "neither EDIFACT nor XML", place=Place(line=1, column=1))
    except Malformed as error:
        details = {"reason": error.reason, "reason_fr": error.reason_fr}
        fault = Fault(error.code, place=error.place, value=error.value, details=details)
        return Parsed(received, syntax, (_nothing(syntax, Envelope(), (fault,), received.body),))


def _parse_xml(received: Received, specs: Specs) -> Message:
    """Read an XML transmission; raises Malformed."""
    root = xml.parse(received.body)
    node = xml.declaration_of(root)
    known = [
        pack
        for pack in specs.packs
        if root.tag == f"{{{pack.metadata_namespace}}}MetaData"
        and node is not None
        and node.tag == f"{{{pack.namespace}}}Declaration"
    ]
    if not known:
        raise Malformed("GTW-0002", root.tag if node is None else node.tag, place=xml.start_of(root), value=root.tag)
    codes = (xml.text_at(node, xml.path_of(pack, "function_code"), pack.namespace) for pack in known)
    versions = (xml.text_at(root, pack.xml_envelope["version"], pack.metadata_namespace) for pack in known)
    code, version = next(filter(None, codes), None), next(filter(None, versions), None)
    pack = choose_pack(known, code, version, calendar.eastern_day(received.received_at))
    envelope = xml.envelope(root, pack or known[0])
    locator = xml.XmlLocator(received.body, root, pack or known[0], envelope)
    if pack is None:
        fault = Fault("GTW-0002", address=Address("function_code"), value=code)
        return Message(1, Syntax.XML, MessageType.UNKNOWN, envelope, None, None, (fault,), locator)
    other_version = version not in (None, pack.version)
    sound = not other_version and xml.fits(root, pack)
    declaration, unread = cad_xml.read_xml(node, pack, sound=sound)
    faults: list[Fault] = []
    if other_version:
        place = xml.place_in_envelope(root, pack.xml_envelope["version"], locator)
        faults = [_no_such_version(version or "", known, code, place)]
    elif not sound:
        misfits = xml.misfits(root, pack, limits.FINDINGS_LISTED)
        faults = schema.explain(root, pack, locator.place_of, misfits)
        if not faults and not check_elements(declaration, pack, specs, pack.types[code or ""]):
            # What the schema refuses is never accepted, even where nothing else can say what is wrong with it.
            node = next(iter(misfits), root)
            faults = [schema.unexplained(node, locator.place_of)]
    elif unread:
        faults = [Fault("CAD-0007", place=locator.place_of(each), value=each.tag.rpartition("}")[2]) for each in unread]
    return Message(1, Syntax.XML, pack.types[code or ""], envelope, pack.key, declaration, tuple(faults), locator)


def _parse_edifact(received: Received, specs: Specs) -> Parsed:
    """Read every interchange of an EDIFACT transmission; raises Malformed when not even its first header is one."""
    messages: list[Message] = []
    interchanges: list[Interchange] = []
    for found in edifact.read(received.body, specs.directories):
        if isinstance(found, edifact.MessageText):
            messages.append(_edifact_message(found, received, specs))
        else:
            interchanges.append(structure.check_interchange(found))
    for interchange in interchanges:
        if not any(group.messages for group in interchange.groups):
            said = Envelope(next(iter(interchange.sender), None), None, interchange.reference, test=interchange.test)
            messages.append(_nothing(Syntax.EDIFACT, said, (), received.body, len(messages) + 1))
    return Parsed(received, Syntax.EDIFACT, tuple(messages), tuple(interchanges))


def _edifact_message(text: edifact.MessageText, received: Received, specs: Specs) -> Message:
    """Read one message of an interchange: its structure by UN tables and the pack's profile, then its elements."""
    if len(text.text) > limits.LARGE and (fault := structure.too_large(text)):
        # Taking it apart would cost hundreds of megabytes, only to say more about what is refused anyway.
        whole = _WholeText(received.body)
        return Message(text.ordinal, Syntax.EDIFACT, MessageType.UNKNOWN, text.envelope, None, None, (fault,), whole)
    syntax_version = text.interchange.syntax_version
    table = specs.directories.structure(text.identifier, syntax_version)
    ours = [pack for pack in specs.packs if text.identifier[:5] == pack.edifact_message[:5]]
    code = next(filter(None, (_function_code(text, pack) for pack in ours)), None)
    version = text.first("UNH", 3) or None
    pack = choose_pack(ours, code, version, calendar.eastern_day(received.received_at))
    other_version = pack is not None and version not in (None, pack.version)
    profile = _profile(pack, table) if pack and table and not other_version else None
    faults = list(structure.check(text, table, profile=profile))
    good = not any(_stops(fault, specs) for fault in faults)  # but for what is only warned of
    declaration, type_ = None, MessageType.UNKNOWN
    locator: Locator = _WholeText(received.body)
    if pack and table:
        locator = cad_edifact.EdifactLocator(received.body, text.interchange.encoding, text, table, pack)
        # What is refused for its syntax is read as far as it goes: the sender's number belongs into the journal.
        type_ = pack.types[code or ""]
        declaration, unread = cad_edifact.read_edifact(text, table, pack, sound=not faults)
        if other_version:
            faults.append(_no_such_version(version or "", ours, code, text.place(1, 4, 1)))
        elif text.interchange.supported and not any(fault.syntax_error for fault in faults):
            faults += [
                Fault("CAD-0007", place=text.place(i + 1), value="+".join(":".join(e) for e in text.segments[i]))
                for i in unread
            ]
    elif good and ours:
        faults.append(Fault("GTW-0002", place=_place_of_function(text, ours[0]), value=code))
    elif good and text.identifier[:1] != ("CONTRL",):
        # A good UN message, but not one of ours: no agreement (0085 code 17) to receive it.
        where = text.place(1, 3, 1)
        value = ":".join(text.identifier)
        faults.append(Fault("GTW-0002", place=where, value=value, syntax_error="17", service_segment="UNH"))
    pack_key = pack.key if pack else None
    said = _acknowledgement(text) if text.identifier[:1] == ("CONTRL",) and good else None
    return Message(
        text.ordinal, Syntax.EDIFACT, type_, text.envelope, pack_key, declaration, tuple(faults), locator, said
    )


def _acknowledgement(text: edifact.MessageText) -> Acknowledgement | None:
    """Return what a CONTRL says of an interchange of ours; one rejected message in it is enough for a rejection."""
    found = acknowledged(text.segments)
    if found is None:
        return None
    error = next(filter(None, (found.error, *(message.error for message in found.messages))), None)
    return Acknowledgement(found.reference, REJECTED if found.rejected else found.action, error)


def _function_code(text: edifact.MessageText, pack: Pack) -> str | None:
    """Return the function code of a message as the pack's dictionary places it; None if it is not there."""
    tag, element, component = cad_edifact.function_code_place(pack)
    return text.first(tag, element, component)


def _place_of_function(text: edifact.MessageText, pack: Pack) -> Place:
    """Return the place of a message's function code, where it stands or should."""
    tag, element, component = cad_edifact.function_code_place(pack)
    place = text.place(text.tags.index(tag) + 1, element + 1, component) if tag in text.tags else text.place(1)
    return replace(place, pointer=pack.pointer(Address("function_code")))


def _no_such_version(version: str, packs: Iterable[Pack], code: str | None, place: Place) -> Fault:
    """Return the fault of a message that declares a version of the specification which is not here."""
    known = ", ".join(pack.version for pack in packs if code in pack.types)
    return Fault("GTW-0011", place=place, value=version, expected=known)


@functools.cache
def _profile(pack: Pack, table: Structure) -> Structure:
    """Return the pack's subset of a message structure."""
    return table.profile(pack.profile)


class _WholeText:
    """Stands in for a locator where nothing of a declaration could be read."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def locate(self, address: Address) -> Place:
        """Return the start of the transmission."""
        return Place(line=1, column=1)

    def text(self) -> str:
        """Return the transmission as text, every byte shown as something."""
        return self._body.decode("utf-8", errors="replace")


def _nothing(syntax: Syntax, said: Envelope, faults: Iterable[Fault], body: bytes, ordinal: int = 1) -> Message:
    """Return the message that stands for a transmission or interchange in which none could be read."""
    return Message(ordinal, syntax, MessageType.UNKNOWN, said, None, None, tuple(faults), _WholeText(body))


# ------------------------------------------------------------------------------------------------ validate


def repeats(parsed: Parsed, facts: Facts) -> str | None:
    """Return the reference by which the sender sent the same bytes before, None if these are new.

    Such a resend gets the stored answer again: it is never judged twice.
    """
    for message in parsed.messages:
        reference = message.envelope.reference
        if reference and facts.references.get(reference) == parsed.received.digest:
            return reference
    return None


def judge(parsed: Parsed, facts: Facts, specs: Specs) -> Outcome:
    """Validate every message and answer: a message sees what those before it in the transmission have changed."""
    judged: list[Judged] = []
    histories = facts.histories
    packs = {pack.key: pack for pack in specs.packs}
    parsed = agreed(parsed, facts)
    shared = envelope_faults(parsed)
    for message in parsed.messages:
        pack = packs[message.pack] if message.pack else None
        seen = facts if histories is facts.histories else replace(facts, histories=histories)
        if facts.unproven:  # who this is not, is told nothing of what is right or wrong or on file
            faults = [Fault(facts.unproven, address=Address(""))]
        else:
            around = shared.get(message.ordinal, ())
            halted = any(_stops(fault, specs) for fault in around)
            faults = [*around, *(message.faults if halted else _validate(message, pack, seen, parsed, specs))]
        findings = to_findings(faults, message, pack, specs)
        one = _verdict(message, findings, seen, specs)
        if one.effect and (number := one.effect.declaration.transaction_number):
            history = histories.get(number, ())
            if one.nature is Nature.WITHDRAWAL and history:  # it makes no version, it stands in the way of the next
                history = (*history[:-1], replace(history[-1], withdrawal=True))
            else:
                history = (*history, one.effect)
            histories = {**histories, number: history}
        judged.append(one)
    told = tuple(
        replace(one.message.acknowledges, queue=facts.partner.answer_queue)
        for one in judged
        if one.message.acknowledges and one.verdict is Verdict.ACCEPTED and facts.partner
    )
    return Outcome(parsed.received, parsed.syntax, tuple(judged), tuple(_respond(parsed, judged, facts, specs)), told)


def _validate(message: Message, pack: Pack | None, facts: Facts, parsed: Parsed, specs: Specs) -> Iterator[Fault]:
    """Yield every fault of a message: of its syntax alone, or, where that is good, of sender, elements and rules."""
    yield from message.faults
    if message.declaration is None or pack is None or any(_stops(fault, specs) for fault in message.faults):
        return
    reference = message.envelope.reference
    known = facts.references.get(reference) if reference and message.syntax is Syntax.XML else None
    if known is not None and known != parsed.received.digest:  # in EDIFACT a fault of the interchange
        yield Fault("GTW-0009", address=Address(""), value=reference)
    day = calendar.eastern_day(parsed.received.received_at)
    if not pack.valid.covers(day):
        in_force = (each.version for each in specs.packs if each.id == pack.id and each.valid.covers(day))
        yield Fault("GTW-0011", address=Address(""), value=pack.version, expected=", ".join(in_force) or None)
    content = [
        *check_elements(message.declaration, pack, specs, message.type),
        *apply_rules(message.type, message.declaration, facts, pack, specs),
    ]
    yield from content
    # A number that is no business number has no authority either: that is one mistake, not two.
    wrong = {fault.address for fault in content if fault.address}
    yield from (
        fault
        for fault in check_sender(message.envelope, message.declaration, facts, specs)
        if fault.address is None or not fault.address.element or fault.address not in wrong
    )


def _stops(fault: Fault, specs: Specs) -> bool:
    """Tell whether a fault of syntax makes judging the content pointless: what follows would be its echo."""
    known = specs.findings.get(fault.code)
    return known is None or known.severity is Severity.REFUSE


def _verdict(message: Message, findings: tuple[Finding, ...], facts: Facts, specs: Specs) -> Judged:
    """Return the verdict, and what an accepted message makes of its declaration."""
    if any(finding.severity is Severity.REFUSE for finding in findings):
        return Judged(message, Verdict.REFUSED, findings)
    declaration = message.declaration
    if declaration is None or facts.partner is None:
        return Judged(message, Verdict.ACCEPTED, findings)
    history = facts.histories.get(declaration.transaction_number or "", ())
    nature = nature_of(message.type, declaration, facts)
    due = history[0].payment_due if history else None
    if due is None:
        accounted = declaration.day("accounting_date") or calendar.eastern_day(facts.now)
        due = calendar.payment_due(accounted, specs.billing)
    version = history[-1].version if nature is Nature.WITHDRAWAL and history else int(declaration.version or "1")
    effect = VersionFact(version, facts.partner.id, nature, "accepted", declaration, facts.now, due)
    if nature is Nature.WITHDRAWAL:
        effect = replace(effect, withdrawal=True)
    return Judged(message, Verdict.ACCEPTED, findings, nature, effect)


# ------------------------------------------------------------------------------------------------ route, respond


def _respond(parsed: Parsed, judged: list[Judged], facts: Facts, specs: Specs) -> Iterator[Outgoing]:
    """Yield what is to be sent: a CONTRL an interchange where one is due, an answer a message, a request if accepted.

    A sender that the transport does not know has no registered queue, so it gets nothing: the journal has the findings.
    """
    partner = facts.partner
    if partner is None:
        return
    # A CONTRL is never answered, not even a bad one: two machines could go on like that for ever.
    answered = {
        header.ordinal
        for interchange in parsed.interchanges
        for group in interchange.groups
        for header in group.messages
        if header.identifier[:1] == ("CONTRL",)
    }
    for number, (interchange, inside) in enumerate(() if facts.unproven else messages_inside(parsed), 1):
        mine = {one.message.ordinal: one for one in judged if one.message.ordinal in inside}
        syntax_faults = {
            ordinal: [finding for finding in one.findings if finding.syntax_error] for ordinal, one in mine.items()
        }
        faulty = bool(interchange.faults) or any(group.faults for group in interchange.groups)
        if not (faulty or any(syntax_faults.values()) or partner.contrl or interchange.acknowledge):
            continue
        own_id = stable_id(parsed.received.id, str(number), "contrl")
        body = contrl(interchange, syntax_faults, own_id=own_id, reference=own_id[:14], now=facts.now)
        if body is not None:
            yield Outgoing(own_id, "contrl", partner.answer_queue, "application/edifact", body)
            answered |= {ordinal for ordinal, found in syntax_faults.items() if found}
    for one in judged:
        ordinal = str(one.message.ordinal)
        if one.message.ordinal in answered or (one.verdict is Verdict.ACCEPTED and one.effect is None):
            continue
        kind = str(one.verdict)
        answer_id = stable_id(parsed.received.id, ordinal, kind)
        content_type, body = answer(
            kind,
            one,
            answer_id=answer_id,
            partner=partner,
            now=facts.now,
            specs=specs,
            interchange=_interchange_of(parsed, one.message.ordinal),
        )
        awaited = _awaited(content_type, partner)
        yield Outgoing(answer_id, kind, partner.answer_queue, content_type, body, one.message.ordinal, awaited)
        if one.effect and one.nature:
            request_id = stable_id(parsed.received.id, ordinal, "request")
            queue = destination(_routes(), one.message.type, one.nature, one.message.envelope.test)
            body = build_request(one, message_id=request_id, partner=partner.id, requested_at=facts.now)
            yield Outgoing(request_id, "request", queue, "application/json", body, one.message.ordinal)


def respond_assessed(
    parsed: Parsed,
    ordinal: int,
    fact: VersionFact,
    result: AssessmentResult,
    partner: Partner,
    now: datetime,
    specs: Specs,
) -> Outgoing:
    """Return the answer that tells the sender of a message what the assessment engine said of it."""
    message = next(message for message in parsed.messages if message.ordinal == ordinal)
    one = Judged(message, Verdict.ACCEPTED, (), fact.nature, fact)
    kind = ANSWER_TO[result.outcome]
    answer_id = stable_id(parsed.received.id, str(ordinal), "result", result.message_id, kind)
    content_type, body = answer(
        kind,
        one,
        answer_id=answer_id,
        partner=partner,
        now=now,
        specs=specs,
        result=result,
        interchange=_interchange_of(parsed, ordinal),
    )
    return Outgoing(answer_id, kind, partner.answer_queue, content_type, body, ordinal, _awaited(content_type, partner))


def _awaited(content_type: str, partner: Partner) -> bool:
    """Tell whether a partner is to acknowledge an answer: it is EDIFACT, and CONTRL is agreed, in both directions."""
    return partner.contrl and content_type == "application/edifact"


# The kind of answer that passes on the engine's outcome.
ANSWER_TO: Mapping[str, str] = {"approved": "assessed", "pending": "pending", "refused": "engine-refused"}


def status_after(nature: Nature, outcome: str) -> str:
    """Return the status of a declaration's version once the engine has spoken."""
    approved = "withdrawn" if nature is Nature.WITHDRAWAL else "assessed"
    return {"approved": approved, "pending": "pending", "refused": "refused"}[outcome]


def respond_technical(received: Received, partner: Partner, specs: Specs) -> Outgoing:
    """Return the answer to a transmission that could not be handled: it is kept, and an operator looks at it."""
    parsed = Parsed(received, sniff.syntax(received.body), ())
    said = Envelope(sender=next(iter(partner.envelopes), None))
    message = _nothing(parsed.syntax, said, (Fault("GTW-0010", address=Address("")),), received.body)
    finding = to_finding(message.faults[0], message, None, specs)
    answer_id = stable_id(received.id, "technical")
    content_type, body = answer(
        "technical",
        Judged(message, Verdict.REFUSED, (finding,)),
        answer_id=answer_id,
        partner=partner,
        now=received.received_at,
        specs=specs,
    )
    awaited = _awaited(content_type, partner)
    return Outgoing(answer_id, "technical", partner.answer_queue, content_type, body, awaited=awaited)


def refuse(received: Received, partner: Partner | None, reason: str, now: datetime, specs: Specs) -> Outcome:
    """Refuse a transmission in the operator's words: every message that can be read in it, else the whole."""
    fault = Fault("GTW-0014", address=Address(""), details={"reason": reason})
    try:
        parsed = parse(received, specs)
    except Exception:  # what could not be handled may well be what cannot be read
        syntax = sniff.syntax(received.body)
        parsed = Parsed(received, syntax, (_nothing(syntax, Envelope(), (), received.body),))
    packs = {pack.key: pack for pack in specs.packs}
    judged = [
        Judged(message, Verdict.REFUSED, (to_finding(fault, message, packs.get(message.pack or ""), specs),))
        for message in parsed.messages
    ]
    return Outcome(received, parsed.syntax, tuple(judged), tuple(_respond(parsed, judged, Facts(now, partner), specs)))


def _interchange_of(parsed: Parsed, ordinal: int) -> Interchange | None:
    """Return the interchange that a message came in, None for XML."""
    for interchange in parsed.interchanges:
        if any(header.ordinal == ordinal for group in interchange.groups for header in group.messages):
            return interchange
    return None


_routes = functools.cache(load_routes)
