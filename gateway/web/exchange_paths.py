"""The exchange as an OpenAPI document describes it: its paths, and how partners sign in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import limits
from gateway.web.site import PROBLEM_REF

SECURITY: Mapping[str, Any] = {
    "partner": {"type": "http", "scheme": "bearer", "description": "A token that `gateway partner token` made."}
}
_SIGNED = [{"partner": list[str]()}]

_WHY = {
    400: "the request cannot be understood",
    401: "no token of a partner",
    404: "no such answer waits for this partner",
    409: "a cursor of a reading that has ended; nothing was acknowledged",
    413: "larger than a transmission may be",
    415: "coded bytes, or the parts of a form",
    422: "an Idempotency-Key that was used for other bytes",
    429: "too much at one time; Retry-After says when to come again",
    503: "not now; Retry-After says when to come again",
}
_CURSOR = {"type": "string", "pattern": r"^[0-9a-f]{32}\.[0-9]{1,15}$"}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_ANSWER = {
    "type": "object",
    "required": ["id", "kind", "in_reply_to", "correlation_id", "content_type", "bytes", "href"],
    "properties": {
        "id": {"type": "string", "description": "the same each time that this answer is delivered"},
        "kind": {"type": ["string", "null"]},
        "in_reply_to": {"type": ["string", "null"], "description": "the `id` that POST /api/messages gave"},
        "correlation_id": {"type": ["string", "null"], "description": "its `message_id`"},
        "content_type": {"type": "string"},
        "bytes": {"type": "integer"},
        "href": {"type": "string", "description": "the answer's bytes"},
        "text": {"type": "string", "description": "the answer, where its bytes are UTF-8"},
        "base64": {"type": "string", "description": "the answer, where they are not"},
    },
}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _answers(good: int, description: str, content: Mapping[str, Any] | None, *refusals: int) -> dict[str, Any]:
    """Return the responses of an operation: the good one, and those that refuse."""
    said: dict[str, Any] = {str(good): {"description": description, **({"content": content} if content else {})}}
    for status in (401, 429, *refusals, 503):
        said[str(status)] = {"description": _WHY[status], "content": PROBLEM_REF}
    return said


def _object(**properties: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "properties": {k: {"type": v} for k, v in properties.items()},
    }


PATHS: Mapping[str, Any] = {
    "/api/messages": {
        "post": {
            "operationId": "sendMessage",
            "summary": "Send a transmission: EDIFACT interchanges or one XML document",
            "security": _SIGNED,
            "parameters": [
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "New for each transmission, the same when it is sent again; else its bytes are it.",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
                }
            ],
            "requestBody": {
                "required": True,
                "description": f"The bytes of one transmission, at most {limits.TRANSMISSION_BYTES:,}.",
                "content": {"application/octet-stream": {"schema": {"type": "string", "minLength": 1}}},
            },
            "responses": _answers(
                202,
                "The broker has it. The receipt and all answers name `id`.",
                _json(_object(id="string", receipt="string", message_id="string", sha256="string", bytes="integer")),
                *(400, 413, 415, 422),
            ),
        }
    },
    "/api/answers": {
        "get": {
            "operationId": "listAnswers",
            "summary": "Your answers that are not acknowledged, the oldest first",
            "security": _SIGNED,
            "parameters": [
                {
                    "name": "after",
                    "in": "query",
                    "description": "Only those behind this cursor; one of an ended reading counts as none.",
                    "schema": _CURSOR,
                },
                {
                    "name": "wait",
                    "in": "query",
                    "description": "How many seconds to wait for an answer.",
                    "schema": {"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
                },
            ],
            "responses": _answers(
                200,
                "They come again until they are acknowledged.",
                _json(
                    {
                        "type": "object",
                        "required": ["answers", "cursor"],
                        "properties": {"answers": {"type": "array", "items": _ANSWER}, "cursor": _CURSOR},
                    }
                ),
                400,
            ),
        }
    },
    "/api/answers/ack": {
        "post": {
            "operationId": "acknowledgeAnswers",
            "summary": "Acknowledge all answers up to a cursor",
            "security": _SIGNED,
            "requestBody": {
                "required": True,
                "content": _json(
                    {
                        "type": "object",
                        "required": ["cursor"],
                        "properties": {"cursor": _CURSOR},
                        "additionalProperties": False,
                    }
                ),
            },
            "responses": _answers(200, "How many that were.", _json(_object(acknowledged="integer")), 400, 409),
        }
    },
    "/api/answers/{id}": {
        "get": {
            "operationId": "getAnswer",
            "summary": "The bytes of one answer that is not acknowledged",
            "security": _SIGNED,
            "parameters": [_ID],
            "responses": _answers(200, "Its bytes, under its own media type.", {"*/*": {"schema": {}}}, 404),
        },
        "delete": {
            "operationId": "acknowledgeAnswer",
            "summary": "Acknowledge one answer",
            "security": _SIGNED,
            "parameters": [_ID],
            "responses": _answers(204, "It is acknowledged.", None, 404),
        },
    },
}
