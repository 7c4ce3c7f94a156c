"""The API of checks as an OpenAPI document describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.web.api import FORM, FORMATS, MESSAGES
from gateway.web.site import LANGUAGES, PROBLEM_REF
from gateway.web.upload import ASSUMED_WORDS

_WHY = {
    404: "There is no such thing.",
    406: "None of the media types that Accept names.",
    408: "The body came too slowly.",
    413: "The body is larger than a request may be.",
    415: "Another media type than those of a message, or a content coding.",
    422: "A parameter, or a form, that cannot be; or the message needs too much time or memory to be judged.",
    429: "Too many requests of one client; Retry-After says when to come again.",
    503: "Too much is being judged; Retry-After says when to come again.",
}
_LANG = {
    "name": "lang",
    "in": "query",
    "description": "The language of what is not given in both; without it that of Accept-Language, else English.",
    "schema": {"enum": list(LANGUAGES)},
}
_BILINGUAL = {
    "type": "object",
    "required": ["en", "fr"],
    "properties": {"en": {"type": "string"}, "fr": {"type": "string"}},
}
_TEXT, _MAYBE, _COUNT = {"type": "string"}, {"type": ["string", "null"]}, {"type": ["integer", "null"]}
_FINDING = {
    "code": _TEXT,
    "severity": {"enum": ["refuse", "warn"]},
    "text": _BILINGUAL,
    "remedy": {"anyOf": [_BILINGUAL, {"type": "null"}]},
    "place": {
        "type": "object",
        "description": "Line, column, segment, element, XPath and WCO pointer; null where not.",
    },
    "value": _MAYBE,
    "expected": _MAYBE,
    "source": _TEXT,
}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


_MESSAGE = {
    "file": _TEXT,
    "syntax": {"enum": ["edifact", "xml", "unknown"]},
    "type": {"enum": ["declaration", "correction", "withdraw", "unknown"]},
    "sender": _MAYBE,
    "identified": {"const": False, "description": "Nobody's registration is looked into here."},
    "reference": _MAYBE,
    "transaction_number": _MAYBE,
    "version": _MAYBE,
    "verdict": {"enum": ["accepted", "refused"]},
    "findings": {"type": "array", "items": _object(_FINDING)},
}
_RULE = {
    "id": _TEXT,
    "severity": {"enum": ["refuse", "warn"]},
    "text": _BILINGUAL,
    "remedy": _BILINGUAL,
    "source": _TEXT,
    "confidence": {"enum": ["high", "medium", "low"]},
    "place": {"type": ["object", "null"]},
}
_LIST = {"id": _TEXT, "name": _BILINGUAL, "confidence": {"enum": ["high", "medium", "low"]}}
_CODE = {
    "code": _TEXT,
    "name": _BILINGUAL,
    "valid_from": {"type": ["string", "null"], "format": "date"},
    "valid_until": {"type": ["string", "null"], "format": "date"},
    "source": _TEXT,
    "confidence": {"enum": ["high", "medium", "low"]},
}
_EXPLAINED = {"id": _TEXT, "engine": {"type": "boolean"}, "text": _BILINGUAL}


def _answers(description: str, content: Mapping[str, Any], *refusals: int) -> dict[str, Any]:
    """Return the responses of an operation: the good one, and those that refuse."""
    return {
        "200": {"description": description, "content": dict(content)},
        **{str(status): {"description": _WHY[status], "content": PROBLEM_REF} for status in refusals},
    }


def _get(
    id_: str, summary: str, schema: Mapping[str, Any], *refusals: int, of: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    return {
        "get": {
            "operationId": id_,
            "summary": summary,
            "parameters": [*of, _LANG],
            "responses": _answers("As asked for.", {"application/json": {"schema": schema}}, *refusals),
        }
    }


def _named(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


_CHECK = {
    "operationId": "check",
    "summary": "Judge a message, or several files in order",
    "description": "A correction finds its original among the files before it. What is assumed may be a form's fields.",
    "parameters": [
        {
            "name": "format",
            "in": "query",
            "description": "The form of the answer; without it by Accept.",
            "schema": {"enum": list(FORMATS)},
        },
        _LANG,
        *(
            {"name": name, "in": "query", "description": said, "schema": {"enum": list(values)}}
            for name, (said, values) in ASSUMED_WORDS.items()
        ),
        {"name": "name", "in": "query", "description": "What the file is called in the answer.", "schema": _TEXT},
    ],
    "requestBody": {
        "description": "Without one it is an empty transmission, which is refused.",
        "content": {
            **{media_type: {"schema": {}} for media_type in MESSAGES},  # any bytes
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
                        **{name: {"enum": list(values)} for name, (_, values) in ASSUMED_WORDS.items()},
                    },
                    "additionalProperties": False,
                }
            },
        },
    },
    "responses": _answers(
        "The verdict on each message; `application/json` is the document of `gateway check --format json`.",
        {
            "application/json": {"schema": {"type": "array", "items": _object(_MESSAGE)}},
            "application/sarif+json": {"schema": {"type": "object"}},
            "application/xml": {"schema": _TEXT},
            "text/plain": {"schema": _TEXT},
        },
        *(406, 408, 413, 415, 422, 429, 503),
    ),
}

PATHS: Mapping[str, Any] = {
    "/api/check": {"post": _CHECK},
    "/api/rules": _get(
        "rules",
        "All that a declaration and its sender are held to",
        {"type": "array", "items": _object(_RULE)},
        406,
        422,
    ),
    "/api/codes": _get(
        "codeLists",
        "The code lists",
        {"type": "array", "items": _object({**_LIST, "count": {"type": "integer"}, "href": _TEXT})},
        *(406, 422),
    ),
    "/api/codes/{list}": _get(
        "codes",
        "The codes of a list, each with its periods",
        _object({**_LIST, "codes": {"type": "array", "items": _object(_CODE)}}),
        *(404, 406, 422),
        of=[_named("list", "The id of a list.")],
    ),
    "/api/explain/{code}": _get(
        "explain",
        "What a finding means, and what earns it",
        _object(_EXPLAINED),
        *(404, 406, 422, 503),
        of=[_named("code", "The finding's code, in capitals or not.")],
    ),
}
