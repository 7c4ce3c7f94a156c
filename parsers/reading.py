"""Parses a transmission: its messages as declarations with their places; what cannot be read becomes a fault.

Nothing is validated here. Whether a message fits its tables is decided, since reading by levels needs to know it; what
is wrong where it does not is for the validators to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from core import limits
from core.declaration import MessageType
from core.envelope import Envelope, Group, Interchange
from core.errors import Malformed
from core.findings import Address, Fault, Place
from core.specs import Pack, choose_pack
from core.transmission import Document, Message, Parsed, Received, Syntax, Unread
from edifact import reader
from edifact.directory import Directories
from edifact.envelope import check_interchange
from edifact.match import WALKED, Matchers
from edifact.message import decide, is_clean
from edifact.text import MessageText, too_large
from parsers import lookalikes, sniff, xml, xml_finding, xml_schema
from parsers.cad_edifact import EdifactDocument, EdifactReading, read_edifact
from parsers.cad_xml import XmlReading, envelope_of, read_levels, read_xml
from parsers.edifact_plan import function_code_place
from parsers.places import check_edifact_places
from parsers.xml_paths import check_xml_paths

# The faults of a transmission that is perhaps not what its first characters claim: then it is said what it looks like.
UNKNOWN_BEGINNING = {
    Syntax.UNKNOWN: ("GTW-0001",),
    Syntax.EDIFACT: ("EDI-0002", "EDI-0003", "EDI-0004", "EDI-0005"),
    Syntax.XML: ("GTW-0002", "XML-0001", "XML-0002", "XML-0003", "XML-0005"),
}


@dataclass(frozen=True, eq=False)
class Reading:
    """All that parsing needs, compiled: the readings of each pack in both syntaxes, by its key, the
    directories, and the patterns by which messages are decided.

    `xml_ways` are the packs by the tags that lead to their declaration.
    """

    packs: tuple[Pack, ...]
    xml: Mapping[str, XmlReading]
    xml_ways: Mapping[tuple[str, ...], tuple[Pack, ...]]
    edifact: Mapping[str, EdifactReading]
    directories: Directories
    matchers: Matchers


def prepare_reading(packs: tuple[Pack, ...], directories: Directories) -> Reading:
    """Compile what the packs' dictionaries say of both syntaxes; raises SpecError for a place that is not there.

    Patterns are compiled of the packs' own profiles only, and not before it pays.
    """
    by_xml, by_edifact = {}, {}
    for pack in packs:
        by_xml[pack.key] = XmlReading(pack)
        check_xml_paths(pack)
        check_edifact_places(pack, directories)
        found = ((version, directories.structure(pack.edifact_message, version)) for version in ("3", "4"))
        by_edifact[pack.key] = EdifactReading(pack, {version: table for version, table in found if table})
    profiles = [profile for each in by_edifact.values() for profile in each.profiles.values()]
    ways = {way: tuple(pack for pack in packs if pack.document.way == way) for way in [p.document.way for p in packs]}
    return Reading(packs, by_xml, ways, by_edifact, directories, Matchers(profiles, spared=WALKED))


def parse(syntax: Syntax, received: Received, reading: Reading) -> Parsed:
    """Read every message of a transmission of this syntax; what cannot be read is a message with its fault."""
    try:
        if not received.body:
            raise Malformed("GTW-0008", "nothing was sent")
        if (size := len(received.body)) > (most := limits.TRANSMISSION_BYTES):
            raise Malformed("GTW-0007", f"{size} bytes, at most {most}", reason_fr=f"{size} octets, au plus {most}")
        if syntax is Syntax.EDIFACT:
            return _parse_edifact(received, reading)
        if syntax is Syntax.XML:
            return Parsed(received, syntax, (_parse_xml(received, reading),))
        raise Malformed("GTW-0001", "neither EDIFACT nor XML", place=Place(line=1, column=1))
    except Malformed as error:
        details = {"reason": error.reason, "reason_fr": error.reason_fr}
        fault = Fault(error.code, place=error.place, value=error.value, expected=error.expected, details=details)
        if error.code in UNKNOWN_BEGINNING[syntax] and (look := lookalikes.named(received.body, _roots(reading))):
            if look.code == lookalikes.HTML:
                syntax = Syntax.UNKNOWN
            if syntax is not Syntax.XML:
                fault = look
        return Parsed(received, syntax, (nothing(syntax, Envelope(), (fault,), received.body),))


def _roots(reading: Reading) -> frozenset[str]:
    """Return the names of the documents' roots."""
    return frozenset(pack.document.names[0] for pack in reading.packs)


def unreadable(received: Received, faults: Iterable[Fault] = (), said: Envelope | None = None) -> Parsed:
    """Return a transmission as one message of which nothing is read, for those that cannot be handled at all."""
    syntax = sniff.syntax(received.body)
    return Parsed(received, syntax, (nothing(syntax, said or Envelope(), faults, received.body),))


class _WholeText:
    """Stands for a document of which nothing could be read."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def locate(self, address: Address) -> Place:
        """Return the start of the transmission."""
        del address
        return Place(line=1, column=1)

    def text(self) -> str:
        """Return the transmission as text, every byte shown as something."""
        return self._body.decode("utf-8", errors="replace")


def nothing(syntax: Syntax, said: Envelope, faults: Iterable[Fault], body: bytes, ordinal: int = 1) -> Message:
    """Return the message that stands for a transmission or interchange in which none could be read."""
    return Message(ordinal, syntax, MessageType.UNKNOWN, said, None, None, tuple(faults), _WholeText(body))


def _no_such_version(version: str, packs: Iterable[Pack], code: str | None, place: Place) -> Fault:
    """Return the fault of a message that declares a version of the specification which is not here."""
    known = ", ".join(pack.version for pack in packs if code in pack.types)
    return Fault("GTW-0011", place=place, value=version, expected=known)


# ------------------------------------------------------------------------------------------------ XML


def _parse_xml(received: Received, reading: Reading) -> Message:
    """Read an XML transmission; raises Malformed."""
    known = read_levels(received.body, reading.xml.values())
    root = xml.parse(received.body, known.text.named if known else received.body)
    found = ((xml_finding.inside(root, way), packs) for way, packs in reading.xml_ways.items())
    node, packs = next((each for each in found if each[0] is not None), (None, ()))
    if node is None:
        raise xml.not_ours(root, received.body, reading.packs)
    plans = [reading.xml[pack.key] for pack in packs]
    said = {find: find(root) for find in dict.fromkeys(plan.said for plan in plans)}
    code = next(filter(None, (each["function_code"] for each in said.values())), None)
    version = next(filter(None, (each.get("version") for each in said.values())), None)
    pack = choose_pack(packs, code, version, received.day)
    plan = reading.xml[(pack or packs[0]).key]
    envelope = envelope_of(said[plan.said])
    if "reference" not in plan.pack.document.envelope:
        envelope = replace(envelope, reference=received.digest)  # as the receipt has it: sent again, it is known again
    if pack is None:
        fault = Fault("GTW-0002", address=Address("function_code"), value=code, expected=_function_codes(packs))
        whole = xml.XmlDocument(received.body, root, plan.pack, envelope)
        return Message(1, Syntax.XML, MessageType.UNKNOWN, envelope, None, None, (fault,), whole)
    other_version = version not in (None, pack.version)
    fits = not other_version and xml_schema.fits(root, plan.schema, received.body)
    document = xml.XmlDocument(received.body, root, pack, envelope, fits=fits)
    declaration, unread = read_xml(node, plan, said[plan.said], known)
    faults: tuple[Fault, ...] = ()
    if other_version:
        place = xml.place_in_envelope(root, pack.document.envelope["version"], document)
        faults = (_no_such_version(version or "", packs, code, place),)
    return Message(
        ordinal=1,
        syntax=Syntax.XML,
        type=pack.types[code or ""],
        envelope=envelope,
        pack=pack.key,
        declaration=plan.settle(declaration),
        faults=faults,
        document=document,
        unread=partial(document.unread_faults, unread) if fits else tuple,
    )


def _function_codes(packs: Iterable[Pack]) -> str:
    """Return the function codes that packs take."""
    return ", ".join(dict.fromkeys(code for pack in packs for code in pack.types))


# ------------------------------------------------------------------------------------------------ EDIFACT


def _parse_edifact(received: Received, reading: Reading) -> Parsed:
    """Read every interchange of an EDIFACT transmission; raises Malformed when not even its first header is one."""
    messages: list[Message] = []
    interchanges: list[Interchange] = []
    for found in reader.read(received.body, reading.directories):
        if isinstance(found, MessageText):
            messages.append(_edifact_message(found, received, reading))
        else:
            interchanges.append(check_interchange(found, reading.matchers))
    interchanges = [_stood_for(interchange, messages, received.body) for interchange in interchanges]
    return Parsed(received, Syntax.EDIFACT, tuple(messages), tuple(interchanges))


def _stood_for(interchange: Interchange, messages: list[Message], body: bytes) -> Interchange:
    """Add a message that stands for an interchange, or a group in it, that holds none: a fault needs one to be told."""

    def stand_in(group: Group | None = None) -> int:
        sender = next(filter(None, interchange.sender), None)
        reference = group.reference if group else None
        said = Envelope(sender, None, interchange.reference, reference, test=interchange.test)
        messages.append(nothing(Syntax.EDIFACT, said, (), body, len(messages) + 1))
        return messages[-1].ordinal

    if not interchange.headers:
        return replace(interchange, stand_in=stand_in())
    if all(group.messages for group in interchange.groups):
        return interchange
    groups = [each if each.messages else replace(each, stand_in=stand_in(each)) for each in interchange.groups]
    return replace(interchange, groups=tuple(groups))


def _edifact_message(text: MessageText, received: Received, reading: Reading) -> Message:
    """Read one message of an interchange, by the pack that knows its type and function code."""
    if len(text.text) > limits.LARGE and (fault := too_large(text)):
        # Taking it apart would cost hundreds of megabytes, only to say more about what is refused anyway.
        return _edifact_alone(text, (fault,), _WholeText(received.body))
    syntax_version = "4" if text.interchange.syntax_version == "4" else "3"
    table = reading.directories.structure(text.identifier, syntax_version)
    ours = [pack for pack in reading.packs if _is_of(text, pack)]
    places = dict.fromkeys(reading.edifact[pack.key].function_code for pack in ours)  # of all packs one and the same
    code = next(filter(None, (text.first(*place) for place in places)), None)
    version = text.first("UNH", 3) or None
    pack = choose_pack(ours, code, version, received.day)
    plan = reading.edifact[pack.key] if pack else None
    document = EdifactDocument(received.body, text, table, plan)
    other_version = pack is not None and version not in (None, pack.version)
    if plan and not other_version:
        document.profile = plan.profiles[syntax_version]
    checked = document.profile or table
    document.fits = text.interchange.supported and checked is not None and decide(text, checked, reading.matchers)
    if pack is None or plan is None:
        return _edifact_alone(text, (), document, unread=partial(_not_ours, text, ours, reading.packs, code))
    # What is refused for its syntax is read as far as it goes: the sender's number belongs into the journal.
    clean = document.fits or (not text.flaws and is_clean(text))
    declaration, document.unread = read_edifact(text, syntax_version, plan, clean=clean)
    unread = document.unread_faults if text.interchange.supported and not other_version else tuple
    faults = (_no_such_version(version or "", ours, code, text.place(1, 4, 1)),) if other_version else ()
    return Message(
        ordinal=text.ordinal,
        syntax=Syntax.EDIFACT,
        type=pack.types[code or ""],
        envelope=text.envelope,
        pack=pack.key,
        declaration=plan.settle(declaration),
        faults=faults,
        document=document,
        unread=unread,
    )


def _is_of(text: MessageText, pack: Pack) -> bool:
    """Tell whether a message's identification is the pack's; whether it may lack 0057 is for the agreement to say."""
    return text.identifier[:5] == pack.edifact_message[:5] or (
        text.identifier[:4] == pack.edifact_message[:4] and not any(text.identifier[4:5])
    )


def _edifact_alone(text: MessageText, faults: tuple[Fault, ...], document: Document, unread: Unread = tuple) -> Message:
    """Return a message of which no declaration is read."""
    unknown = MessageType.UNKNOWN
    return Message(text.ordinal, Syntax.EDIFACT, unknown, text.envelope, None, None, faults, document, unread)


def _not_ours(text: MessageText, ours: Sequence[Pack], packs: Iterable[Pack], code: str | None) -> tuple[Fault, ...]:
    """Return the fault of a good UN message that no pack reads; none of a CONTRL, or of what was cut off in UNH."""
    if len(text.tags) == 1 and text.flaws:
        return ()
    if ours:
        place = _place_of_function(text, ours[0])
        return (Fault("GTW-0002", place=place, value=code, expected=_function_codes(ours)),)
    if text.is_contrl:
        return ()
    return (_not_agreed(text, packs),)


def _not_agreed(text: MessageText, packs: Iterable[Pack]) -> Fault:
    """Return the fault of a message whose identification is none of ours: no agreement (0085 code 17) to receive it."""
    value = ":".join(text.identifier)
    expected = ", ".join(dict.fromkeys(":".join(pack.edifact_message) for pack in packs))
    return Fault("GTW-0002", None, text.place(1, 3, 1), value, expected, syntax_error="17", service_segment="UNH")


def not_ours(document: EdifactDocument) -> Message:
    """Return a message that was read by a pack as one that no pack reads: its identification is not agreed on."""
    text, packs = document.message, [document.reading.pack] if document.reading else []
    whole = EdifactDocument(document.body, text, document.table, None)
    return _edifact_alone(text, (), whole, unread=lambda: (_not_agreed(text, packs),))


def _place_of_function(text: MessageText, pack: Pack) -> Place:
    """Return the place of a message's function code, where it stands or should."""
    tag, element, component = function_code_place(pack)
    place = text.place(text.tags.index(tag) + 1, element + 1, component) if tag in text.tags else text.place(1)
    return replace(place, pointer=pack.pointer(Address("function_code")))
