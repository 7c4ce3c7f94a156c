"""The partners' file as it stands: its tables and keys, their schema, and one clear line for what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.errors import GatewayError
from core.partner import ACCOUNT_SECURITY_DIGITS

# A type's title says what is allowed, in errors, schema and reference page; a key's description what it means.
# A partner's id becomes part of a queue's name, here and on every broker.
PartnerId = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z", title="1 to 32 of a-z, 0-9 and -, the first of them a letter")
]
Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=70,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z",
        title="text of 1 to 70 characters, none of them a control character",
    ),
]
BrokerUser = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z",
        title="1 to 64 of letters, digits and . _ @ -, the first of them a letter or digit",
    ),
]
AnswerQueue = Annotated[str, Meta(pattern=r"^out\.[a-z0-9.-]+\Z", title="out. and then some of a-z, 0-9, . and -")]
TokenHash = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}\Z", title="a hash as `gateway partner token` prints it: 64 of 0-9 and a-f")
]
EXCHANGE_USER = "exchange"
BN15_WORDS = "an importer's BN15: nine digits with their check digit, RM, four digits"
Bn15 = Annotated[str, Meta(title=BN15_WORDS)]
Account = Annotated[
    str, Meta(pattern=rf"^[0-9]{{{ACCOUNT_SECURITY_DIGITS}}}\Z", title=f"{ACCOUNT_SECURITY_DIGITS} digits in quotes")
]
Days = Annotated[int, Meta(ge=0, le=36_500)]
Picture = Literal["YYMMDD", "CCYYMMDD"]


def _says(description: str) -> Meta:
    return Meta(description=description)


class AuthorityTable(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """An importer that the partner may act for, and when; one importer may have several, each with its days."""

    bn: Annotated[Bn15, _says("The importer's account.")]
    account_security: Annotated[
        list[Account],
        _says("The importer's own account security numbers, which its brokers use for it and nobody else."),
    ] = []
    start: Annotated[date | None, _says("The first day of the delegation; open if missing.")] = None
    end: Annotated[date | None, _says("The last day of the delegation; open if missing.")] = None


class PartnerTable(msgspec.Struct, forbid_unknown_fields=True):
    """A sender that the gateway knows, its queues and what it may do."""

    id: Annotated[PartnerId, _says("Its name here and in commands; it sends to the queue `in.ID`.")]
    name: Annotated[Text, _says("Its name for people.")]
    envelopes: Annotated[
        list[Text],
        Meta(min_length=1),
        _says("How it names itself as the sender (UNB S002, the XML metadata's Sender); nobody else may."),
    ]
    answer_queue: Annotated[AnswerQueue, _says("The queue of its answers.")]
    user: Annotated[BrokerUser | None, _says("Its user at the broker; its id if missing.")] = None
    token_hashes: Annotated[
        list[TokenHash],
        _says("The SHA-256 of each of its tokens for HTTP, as `gateway partner token` makes them."),
    ] = []
    language: Annotated[Literal["en", "fr"], _says("The language of refusals in EDIFACT and XML.")] = "en"
    contrl: Annotated[bool, _says("Whether CONTRL is agreed, both ways; only in EDIFACT.")] = False
    active: Annotated[bool, _says("Whether what it sends is taken; else it is refused.")] = True
    profile: Annotated[
        str, _says("What form its EDIFACT envelopes may have: a shipped profile's name, or a [[profile]]'s.")
    ] = "un"
    tests: Annotated[
        bool | None, _says("Whether its messages marked as tests are taken; as [gateway] says if missing.")
    ] = None
    account_security: Annotated[
        list[Account], _says("The account security numbers that its transaction numbers begin with; nobody else's may.")
    ] = []
    authority: Annotated[list[AuthorityTable], _says("The importers that it may act for.")] = []


class ProfileTable(msgspec.Struct, forbid_unknown_fields=True):
    """A form of EDIFACT envelopes that is agreed with some partner and not shipped."""

    name: Annotated[Text, _says("What a partner's `profile` names.")]
    groups: Annotated[Literal["optional", "required", "refused"], _says("Functional groups (UNG).")] = "optional"
    association: Annotated[Literal["expected", "optional"], _says("The association code in UNH (0057).")] = "expected"
    interchange_date: Annotated[
        list[Picture], _says("Forms of the date in UNB S004; none: as the syntax version has it.")
    ] = []
    group_date: Annotated[
        list[Picture], _says("Forms of the date in UNG S004; none: as the syntax version has it.")
    ] = []


class GatewayTable(msgspec.Struct, forbid_unknown_fields=True):
    """What is agreed with every partner about envelopes."""

    # A missing id or age is not checked: a default would refuse somebody's good traffic (DECISIONS D29). Test messages
    # alone must be asked for (D68).
    ids: Annotated[
        list[Text],
        _says(
            "How partners name this gateway as the recipient (UNB S003, the XML metadata's Recipient); answers to what"
            " names none of them come from the first. Not checked if missing."
        ),
    ] = []
    tests: Annotated[bool, _says("Whether messages marked as tests are taken.")] = False
    max_age_days: Annotated[
        Days | None,
        _says("How many days ago an EDIFACT interchange may have been prepared (UNB S004). Not checked if missing."),
    ] = None
    exchange_user: Annotated[
        BrokerUser,
        _says("The broker's user of `gateway web --exchange`; it vouches for partners that have a token."),
    ] = EXCHANGE_USER


class ImporterTable(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of an importer whoever declares for it."""

    bn: Annotated[Bn15, _says("The importer's account.")]
    csa_period: Annotated[
        Literal["month", "billing"] | None,
        _says(
            "By what an importer in Customs Self Assessment accounts (SOR/86-1062, s. 10.3(2)): the calendar month of"
            " release, or the 18th to the 17th. Either this or the next."
        ),
    ] = None
    interim_accounting: Annotated[
        bool, _says("Whether its goods are released on an interim accounting (SOR/86-1062, s. 13).")
    ] = False


class PartnersFile(msgspec.Struct, forbid_unknown_fields=True):
    """Who may send what for whom: the partners' file of a CAD gateway."""

    partner: Annotated[list[PartnerTable], _says("The partners.")]
    gateway: Annotated[GatewayTable, _says("What is agreed with all of them.")] = msgspec.field(
        default_factory=GatewayTable
    )
    importer: Annotated[list[ImporterTable], _says("What is known of importers.")] = []
    profile: Annotated[list[ProfileTable], _says("Envelope profiles of one's own.")] = []


def decode(data: bytes, name: object) -> PartnersFile:
    """Return the tables of a file's bytes; raises GatewayError, one line with the file, the key and what is allowed."""
    try:
        raw = msgspec.toml.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(f"{name}: {error}") from error
    try:
        return msgspec.convert(raw, PartnersFile, builtin_types=(datetime, date, time), str_keys=True)
    except msgspec.ValidationError as error:
        raise GatewayError(f"{name}: {_explained(str(error), raw)}") from error


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors and other tools that read TOML."""
    made = msgspec.json.schema(PartnersFile)
    # \Z is Python's alone; in JSON Schema `$` is the end of the whole text.
    plain = msgspec.json.decode(msgspec.json.encode(made).replace(rb"\\Z", rb"$"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **plain}


def reference() -> str:
    """Return every table and key of the file, in Markdown."""
    definitions = schema()["$defs"]
    tables = definitions["PartnersFile"]["properties"]
    lines = []
    for key, heading in (
        ("gateway", "[gateway]"),
        ("partner", "[[partner]]"),
        ("authority", "[[partner.authority]]"),
        ("importer", "[[importer]]"),
        ("profile", "[[profile]]"),
    ):
        node = tables.get(key) or definitions["PartnerTable"]["properties"][key]
        table = _table(node, definitions)
        lines += [f"## {heading}", "", table["description"], "", "| key | allowed | if missing | meaning |"]
        lines.append("|---|---|---|---|")
        for name, each in table["properties"].items():
            if not _is_table(each):
                missing = "an error" if name in table["required"] else _default(each)
                lines.append(f"| `{name}` | {allowed(each)} | {missing} | {each['description']} |")
        lines.append("")
    return "\n".join(lines)


def allowed(node: Mapping[str, Any]) -> str:
    """Return in words what a node of the schema allows."""
    if "anyOf" in node:
        return allowed(node["anyOf"][0])
    if "title" in node:
        return str(node["title"])
    if "enum" in node:
        return " or ".join(node["enum"])
    if node.get("type") == "array":
        return "a list of tables" if _is_table(node) else f"a list{_least(node)}, each {allowed(node['items'])}"
    if "minimum" in node:
        return f"a whole number from {node['minimum']} to {node['maximum']}"
    if node.get("format") == "date":
        return "a day, as 2026-01-31 without quotes"
    return {"boolean": "true or false", "string": "text"}.get(node.get("type", ""), "a table")


def _least(node: Mapping[str, Any]) -> str:
    return " of at least one" if node.get("minItems") else ""


def _is_table(node: Mapping[str, Any]) -> bool:
    return "$ref" in node or "allOf" in node or "$ref" in node.get("items", {})


def _table(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition of the table, or list of tables, that a node is."""
    target = node.get("items", node)
    for each in (target, *target.get("allOf", ())):
        if "$ref" in each:
            return _definition(each["$ref"], definitions)
    return node


def _definition(ref: str, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = definitions[ref.rpartition("/")[2]]
    return {"required": [], **found}


def _default(node: Mapping[str, Any]) -> str:
    default = node["default"]
    return "" if default is None or default == [] else f"`{_shown(default)}`".replace("'", "")


def _explained(told: str, raw: Any) -> str:
    """Return where a file does not fit and what would, from the library's message (`... - at `$.partner[0].id``)."""
    path = re.search(r" - at `\$(.*)`\Z", told)
    definitions = schema()["$defs"]
    node, value, labels = _definition("PartnersFile", definitions), raw, []
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path[1] if path else ""):
        if key:
            labels.append(key)
            node, value = node["properties"][key], value[key]
        else:
            node, value = node["items"], value[int(index)]
            labels[-1] += f" {_named(value, int(index))}"
        if isinstance(value, dict) and "items" not in node and _is_table(node):
            node = _table(node, definitions)
    where = "".join(f"{label}: " for label in labels)
    if unknown := re.match(r"Object contains unknown field `(.*?)`(?: - at|\Z)", told, re.DOTALL):
        near = get_close_matches(unknown[1], node["properties"], 1)
        meant = f", {near[0]} may be meant" if near else ""
        return f"{where}there is no key {unknown[1]!r}{meant}; allowed: {', '.join(node['properties'])}"
    if missing := re.match(r"Object missing required field `(\w+)`", told):
        wanted = node["properties"][missing[1]]
        return f"{where}{missing[1]} is missing: {allowed(wanted)}"
    # In place of a token's hash the token itself may stand, and errors are logged.
    what = "what stands there" if "token_hashes" in told else _shown(value)
    return f"{where}must be {allowed(node)}, not {what}"


def _named(value: Any, index: int) -> str:
    """Return what a table of a list is called: by its id, name or BN, else by its number from 1."""
    names = (value.get(key) for key in ("id", "name", "bn")) if isinstance(value, dict) else ()
    return next((each[:70] for each in names if isinstance(each, str) and each.isprintable()), str(index + 1))


def _shown(value: Any) -> str:
    """Return a value as TOML would have it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else f"a list of {len(value)}"
    return (repr(value) if isinstance(value, str) else str(value))[:80]
