"""The queues as an AsyncAPI 3.0 document: channels from the route table, messages from the tables of answers."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import responses
import routing
from core.answers import Answers
from core.limits import TRANSMISSION_BYTES
from gateway.queues import DEAD_QUEUE
from gateway.queues.rabbitmq import INTAKE_EXCHANGE
from routing.partners import inbound_queue
from routing.routes import RESULTS, load_routes

HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
PARTNER = {"partner": {"description": "The partner's id in the partners' file."}}
SYNTAXES = ("application/edifact", "application/xml", "application/json")

ONCE = (
    "Declarations and corrections over AMQP 0-9-1. Delivery is at least once: whoever reads ignores a message_id that"
    " it has seen."
)
SENDING = (
    "One or several interchanges in EDIFACT, or one document in XML, as bytes. Properties: message_id (the sender's,"
    " and the same when the same bytes are sent again), user_id (the partner's own user), delivery_mode 2; publish"
    " with mandatory and publisher confirms."
)

# The published schemas of what is JSON.
SCHEMAS = {
    "receipt": Path(str(responses.__file__)).with_name("receipt.schema.json"),
    "answer": Path(str(responses.__file__)).with_name("answer.schema.json"),
    "assessmentRequest": Path(str(routing.__file__)).with_name("assessment_request.schema.json"),
    "assessmentResult": Path(str(routing.__file__)).with_name("assessment_result.schema.json"),
}


# What may be said of a transmission that is neither EDIFACT nor XML.
IN_JSON = ("refused", "technical")


def document(answers: Answers) -> dict[str, Any]:
    """Return the document as it is written in JSON; operations are the gateway's own point of view."""
    requests = sorted(set(load_routes().values()))
    told = {name: kind.when.en for name, kind in answers.kinds.items()}
    kinds = ["receipt", "contrl", *told]
    channels = {
        "transmissions": _channel(
            inbound_queue("{partner}"), "What a partner sends.", ["transmission"], _from_exchange(), PARTNER
        ),
        "answers": _channel("out.{partner}", "What a partner reads.", kinds, _queue("out.{partner}"), PARTNER),
        **{
            _name(queue): _channel(queue, "What the assessment engine reads.", ["assessmentRequest"], _queue(queue))
            for queue in requests
        },
        "results": _channel(RESULTS, "What the assessment engine sends.", ["assessmentResult"], _queue(RESULTS)),
        "dead": _channel(
            DEAD_QUEUE, "What no loop could take; an operator looks.", ["transmission"], _queue(DEAD_QUEUE)
        ),
    }
    operations = {
        "receiveTransmission": _operation("receive", "transmissions", channels),
        "sendAnswer": _operation("send", "answers", channels),
        **{f"send-{queue}": _operation("send", _name(queue), channels) for queue in requests},
        "receiveResult": _operation("receive", "results", channels),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CAD gateway",
            "version": importlib.metadata.version("cad-gateway"),
            "description": ONCE,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/octet-stream",
        "channels": channels,
        "operations": operations,
        "components": {"messages": {**_of_partners(told), **_of_the_engine()}},
    }


def _name(queue: str) -> str:
    """Return a queue's name as a channel's: `assessment.requests.test` is assessmentRequestsTest."""
    first, *rest = queue.split(".")
    return first + "".join(word.capitalize() for word in rest)


def _channel(
    address: str,
    description: str,
    messages: list[str],
    binding: dict[str, Any],
    parameters: dict[str, Any] | None = None,
) -> dict[str, Any]:
    channel = {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"amqp": binding},
    }
    return channel | ({"parameters": parameters} if parameters else {})


def _from_exchange() -> dict[str, Any]:
    exchange = {"name": INTAKE_EXCHANGE, "type": "topic", "durable": True, "autoDelete": False}
    return {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}


def _queue(name: str) -> dict[str, Any]:
    queue = {"name": name, "durable": True, "exclusive": False, "autoDelete": False}
    return {"is": "queue", "queue": queue, "bindingVersion": "0.3.0"}


def _operation(action: str, channel: str, channels: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in channels[channel]["messages"]],
    }


def _of_partners(told: dict[str, str]) -> dict[str, Any]:
    """Return what partners send and read."""
    return {
        "transmission": {
            "title": "A transmission",
            "summary": SENDING,
            "contentType": "application/octet-stream",
            "payload": {"type": "string", "format": "binary", "maxLength": TRANSMISSION_BYTES},
        },
        "receipt": _answer("receipt", "It is in the journal; no verdict.", "application/json", _schema("receipt")),
        "contrl": _answer("contrl", "CONTRL: what is wrong in the syntax, or that nothing is.", "application/edifact"),
        **{name: _answer(name, said[:1].upper() + said[1:] + ".", None) for name, said in told.items()},
    }


def _answer(kind: str, summary: str, content_type: str | None, payload: dict[str, Any] | None = None) -> dict[str, Any]:
    of_none = "; application/json of what has none (answer.schema.json)" if kind in IN_JSON else ""
    types = "" if content_type else f" Content types: {', '.join(SYNTAXES)}, as the sender's syntax is{of_none}."
    return {
        "title": kind,
        "summary": f"{summary} Properties: message_id (the answer's own), correlation_id (the message_id of what is"
        f" answered), user_id (the gateway's).{types}",
        "contentType": content_type or "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["kind", "in-reply-to"],
            "properties": {
                "kind": {"const": kind},
                "in-reply-to": {
                    **HEX,
                    "description": "The gateway's id of the transmission: `received` of its receipt.",
                },
            },
        },
        "payload": payload or {"type": "string", "format": "binary"},
    }


def _of_the_engine() -> dict[str, Any]:
    """Return what the assessment engine reads and sends."""
    return {
        name: {"title": name, "contentType": "application/json", "payload": _schema(name)}
        for name in ("assessmentRequest", "assessmentResult")
    }


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMAS[name].read_text("utf-8"))
    return found
