"""Validates a message: its syntax, and where that is good its content, its sender and the rules; findings come of it.

One cause gives one finding: where a fault makes what follows its echo, what follows is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from core import limits
from core.declaration import Declaration, MessageType
from core.findings import Address, Fault, Finding
from core.register import Facts
from core.specs import Pack, Specs
from core.transmission import Acknowledgement, Message, Received, Syntax
from edifact.contrl import REJECTED, acknowledged
from edifact.match import Matchers
from edifact.message import explain as explain_edifact
from parsers import xml
from parsers.cad_edifact import EdifactDocument
from parsers.xml_names import Schema
from parsers.xml_schema import misfits
from validators import schema
from validators.causes import one_each, without_echo
from validators.elements import Dictionary, check_elements
from validators.rulebook import Rulebook, apply_rules
from validators.sender import NO_TESTS, OTHER_ENVELOPE, OTHER_RECIPIENT, check_sender
from validators.words import Texts, refuses, texts_of, to_findings

NO_SUCH_TYPE = "EDI-0305"
# What the envelope says of sender, recipient and test, by the finding that it is not what was agreed.
IN_ENVELOPE = {OTHER_ENVELOPE: "sender", OTHER_RECIPIENT: "recipient", NO_TESTS: "test"}
# A message that ends without UNT, or within it: what is around it then has no end for the same reason.
CUT_OFF, ENDLESS = ("EDI-0301", "EDI-0309"), ("EDI-0103", "EDI-0201")


@dataclass(frozen=True, eq=False)
class PackChecks:
    """A pack with all that is checked by it, compiled; `versions` are all packs of its id."""

    pack: Pack
    dictionary: Dictionary
    rulebook: Rulebook
    xml_schema: Schema
    explainer: schema.Explainer
    texts: Texts
    versions: tuple[Pack, ...]


@dataclass(frozen=True, eq=False)
class Checks:
    """All that validating needs, compiled: by the key of the pack that read a message, the words of all
    findings, and the patterns that EDIFACT is decided by.
    """

    packs: Mapping[str, PackChecks]
    texts: Texts
    matchers: Matchers


def prepare_checks(specs: Specs, schemas: Mapping[str, Schema], matchers: Matchers) -> Checks:
    """Compile what the packs check, with the schemas by pack key; raises SpecError for a rule that cannot be run."""
    packs = {
        pack.key: PackChecks(
            pack=pack,
            dictionary=Dictionary(pack, specs),
            rulebook=Rulebook(pack, specs),
            xml_schema=schemas[pack.key],
            explainer=schema.Explainer(pack),
            texts=texts_of(specs, pack),
            versions=tuple(each for each in specs.packs if each.id == pack.id),
        )
        for pack in specs.packs
    }
    return Checks(packs, texts_of(specs, None), matchers)


def validate(
    message: Message, around: Iterable[Fault], received: Received, facts: Facts, checks: Checks, told: int = 0
) -> tuple[Finding, ...]:
    """Return the findings of one message of a transmission, those that an answer lists first.

    `around` are the faults of the envelopes around it (see `validators.agreement`): when they refuse it, its syntax is
    still checked, its content not. Who the transport does not prove to be the sender is told nothing of what is right
    or wrong or on file. `told` are the faults of EDIFACT in the messages before it, whose number is limited
    (`edifact.message.counted`).
    """
    own = checks.packs[message.pack] if message.pack else None
    if facts.unproven:
        faults = [Fault(facts.unproven, address=Address(""))]
    else:
        syntax = _syntax(message, own, checks, told)
        cut_off = any(fault.code in CUT_OFF for fault in syntax)
        faults = [*(fault for fault in around if not cut_off or fault.code not in ENDLESS), *syntax]
        if own and message.declaration and not _stopped(faults, checks):
            faults += _content(message, message.declaration, own, facts, received)
            faults = without_echo(faults) if faults else faults
    return to_findings(faults, message, own.pack if own else None, own.texts if own else checks.texts)


def acknowledgement(message: Message, checks: Checks) -> Acknowledgement | None:
    """Return what a good CONTRL says of an interchange of ours; one rejected message in it rejects the whole."""
    document = message.document
    if not isinstance(document, EdifactDocument) or not document.message.is_contrl:
        return None
    if not document.fits and _stopped(_edifact(document, checks), checks):
        return None
    found = acknowledged(document.message.meant)
    if found is None:
        return None
    error = next(filter(None, (found.error, *(each.error for each in found.messages))), None)
    return Acknowledgement(found.reference, REJECTED if found.rejected else found.action, error)


def _stopped(faults: Iterable[Fault], checks: Checks) -> bool:
    """Tell whether faults of syntax make judging the content pointless: what follows would be their echo."""
    return any(refuses(fault, checks.texts) for fault in faults)


# ------------------------------------------------------------------------------------------------ syntax


def _syntax(message: Message, own: PackChecks | None, checks: Checks, told: int) -> list[Fault]:
    """Return the faults of a message's syntax, and where it has none, what its dictionary has not."""
    faults = [*_structure(message, own, checks, told), *message.faults]
    if not any(fault.syntax_error or refuses(fault, checks.texts) for fault in faults):
        faults += message.unread()
    return faults


def _structure(message: Message, own: PackChecks | None, checks: Checks, told: int) -> Iterable[Fault]:
    """Return what is wrong with a message's structure; nothing is looked for in one that fits."""
    document = message.document
    if isinstance(document, EdifactDocument):
        return _edifact(document, checks, told) if own or not _others(document, checks) else ()
    if own and isinstance(document, xml.XmlDocument) and not document.fits and not message.faults:
        return _xml(message, document, own)
    return ()


def _edifact(document: EdifactDocument, checks: Checks, told: int = 0) -> Iterable[Fault]:
    """Return what is wrong with an EDIFACT message; of one whose syntax cannot be read nothing can be told."""
    text = document.message
    if document.fits or not text.interchange.supported:
        return ()
    faults = explain_edifact(text, document.profile or document.table, checks.matchers, told=told)
    accepted = ", ".join(dict.fromkeys(":".join(each.pack.edifact_message) for each in checks.packs.values()))
    return [replace(fault, expected=accepted) if fault.code == NO_SUCH_TYPE else fault for fault in faults]


def _others(document: EdifactDocument, checks: Checks) -> bool:
    """Tell whether a message is one of the UN's that no pack reads: it is refused for that, whatever is in it."""
    text = document.message
    known = (each.pack.edifact_message[:5] for each in checks.packs.values())
    return document.table is not None and not text.is_contrl and text.identifier[:5] not in known


def _xml(message: Message, document: xml.XmlDocument, own: PackChecks) -> list[Fault]:
    """Return what the schema refuses, but for what the dictionary is sure to find.

    What the schema refuses is never accepted, even where nothing else can say what is wrong with it.
    """
    wrong = misfits(document.root, own.xml_schema, limits.FINDINGS_LISTED) or [document.root]
    faults = schema.explain(document.root, own.explainer, document.place_of, wrong)
    declaration = message.declaration
    if faults or declaration is None or check_elements(declaration, message.type, own.dictionary):
        return faults
    return [schema.unexplained(next(iter(wrong), document.root), document.place_of)]


# ------------------------------------------------------------------------------------------------ content


def _content(
    message: Message, declaration: Declaration, own: PackChecks, facts: Facts, received: Received
) -> Iterator[Fault]:
    """Yield what is wrong with a message whose syntax is good."""
    reference, world = message.envelope.reference, facts.register.of(message.envelope.test)
    if message.syntax is Syntax.XML and world.taken(received.partner, message.number, received.digest):
        yield Fault("GTW-0009", address=Address(""), value=reference)  # in EDIFACT a fault of the interchange
    if not own.pack.valid.covers(received.day):
        in_force = (each.version for each in own.versions if each.valid.covers(received.day))
        yield Fault("GTW-0011", address=Address(""), value=own.pack.version, expected=", ".join(in_force) or None)
    number = declaration.transaction_number
    known = world.known_to(facts.partner, number, received.day)  # the rules see nothing else that is on file
    choice = facts.partner.choice_of(declaration) if facts.partner else None
    content = [
        *check_elements(declaration, message.type, own.dictionary),
        *apply_rules(message.type, declaration, known, received, own.rulebook, choice),
    ]
    if content:
        in_xml = message.syntax is Syntax.XML
        content = one_each(
            content, declaration, own.pack, in_xml=in_xml, refuses=lambda fault: refuses(fault, own.texts)
        )
    yield from content
    # A number that is no business number has no authority either: that is one mistake, not two.
    wrong = {fault.address for fault in content if fault.address and refuses(fault, own.texts)}
    withheld = bool(world.attempts(number)) and not known.versions
    begins = message.type is MessageType.DECLARATION or not known.history(number)
    faults = check_sender(message.envelope, declaration, facts.partner, received.day, begins=begins, withheld=withheld)
    for fault in faults:
        said, document = own.pack.document.envelope.get(IN_ENVELOPE.get(fault.code, "")), message.document
        if said and isinstance(document, xml.XmlDocument):
            yield replace(fault, place=xml.place_in_envelope(document.root, said, document))
        elif fault.address is None or not fault.address.element or fault.address not in wrong:
            yield fault
