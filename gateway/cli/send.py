"""`gateway send`: a file sent as a partner, and the answers awaited."""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path

import click

from core.errors import GatewayError
from core.partner import Partner
from core.transmission import digest_of
from core.urls import users_of
from gateway.cli.shared import DECLARE, LANGUAGE, Seconds, check_login, known_partner, read_file
from gateway.cli.terminal import echo
from gateway.journal import inbox_id
from gateway.plans import prepare
from gateway.queues import Broker, Delivery, Letter, open_broker, uid_of
from gateway.settings import from_environment
from gateway.trade.replies import in_words, read_reply
from routing.partners import inbound_queue, load_partners

# How many codes of findings the verdict names.
CODES = 12


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "partner_id", metavar="PARTNER", required=True, help="The partner whose queue it goes to.")
@click.option("--wait", is_flag=True, help="Wait for the answers and print them.")
@click.option("--seconds", type=Seconds(0.1, 3600), default=30.0, show_default=True, help="How long to wait.")
@LANGUAGE
def send(file: Path, partner_id: str, wait: bool, seconds: float, lang: str) -> None:
    """Send a file as a partner.

    With --wait, read the partner's answer queue until the last answer is there; the last line is the verdict.

    On RabbitMQ, log in as the partner's own user (its id, or `user` in the partners' file):
    GATEWAY_BROKER_URL=amqp://maple:password@host/vhost.

    Exit code: 0 sent (with --wait: answered), 1 refused or not answered in time, 2 cannot send.
    """
    settings = from_environment()
    partner = known_partner(partner_id, load_partners(settings.partners))
    letter = Letter(uuid.uuid4().hex, inbound_queue(partner_id), "application/octet-stream", read_file(file))
    with open_broker(settings.broker_url) as broker:
        check_login(settings.broker_url, partner)
        published = broker.publish([letter])
        if why := published.refused.get(letter.id):
            raise GatewayError(why)
        if letter.id in published.unroutable:
            raise GatewayError(f"the queue {letter.queue} does not exist: {DECLARE}")
        if letter.id not in published.confirmed:
            raise GatewayError(
                "the broker did not confirm the message in time: it may or may not have it; send it again"
            )
        echo(f"sent {file} as {letter.id}")
        if not wait:
            return
        last = _await_answers(broker, settings.broker_url, partner, letter, seconds)
    if last is None:
        sys.exit(1)
    echo(_verdict(last, settings.specs, lang))
    sys.exit(_final(last.headers.get("kind", ""), last.body))


def _verdict(last: Delivery, specs: Path, lang: str) -> str:
    """Return in one line what the last answer says: the verdict, what was declared, and the findings' codes."""
    plans = prepare(specs)
    reply = read_reply(last.content_type, last.body, plans.reading.directories, plans.specs.packs)
    told = f"verdict{' ' if lang == 'fr' else ''}: {in_words([reply.kind]).speak(lang)}"
    if reply.transaction_number:
        told += f"; {reply.transaction_number} version {reply.version}"
    codes = list(dict.fromkeys(code for code in reply.codes if code))
    more = f" (+{len(codes) - CODES})" if len(codes) > CODES else ""
    return told + (f"; {', '.join(codes[:CODES])}{more}" if codes else "")


def _await_answers(broker: Broker, url: str, partner: Partner, letter: Letter, seconds: float) -> Delivery | None:
    """Print the answers to a letter until the last is there; return it, None where it did not come in time."""
    # Our answers name our transmission, or that of a receipt with our bytes: the first that had them.
    user = next(iter(users_of(url)), None)
    ours = {inbox_id(uid_of(letter.queue, user, letter.id, letter.body))}
    digest, receipts = digest_of(letter.body), set[str]()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and (answer := broker.take(partner.answer_queue, left)):
        kind = answer.headers.get("kind", "answer")
        if kind == "receipt" and (receipt := json.loads(answer.body))["sha256"] == digest:
            receipts.add(receipt["received"])
        if answer.headers.get("in-reply-to") not in ours | receipts:
            echo(f"--- {kind} to another message, passed over")
            continue
        echo(f"--- {kind} ({answer.content_type})")
        echo(_as_text(answer.body))
        if kind == "receipt":
            echo(f"    its life: gateway show {receipt['received']}")
        if _final(kind, answer.body) is not None:
            return answer
    why = (
        "does an assessment engine answer? see `gateway serve --help`"
        if receipts
        else "and no receipt: does a gateway run (`gateway serve`)? The message waits in its queue"
    )
    echo(f"gateway: no final answer within {seconds:g} s; {why}", err=True)
    return None


def _final(kind: str, body: bytes) -> int | None:
    """Return the exit code that an answer ends the waiting with, None for one after which others come."""
    if kind in ("refused", "technical", "engine-refused") or (kind == "contrl" and _rejects(body)):
        return 1
    return 0 if kind in ("assessed", "pending") else None


def _rejects(control: bytes) -> bool:
    """Tell whether a CONTRL of ours rejects anything (0083 is 4) of what it answers."""
    segments = [segment.split(b"+") for segment in control.split(b"'")]
    action = {b"UCI": 4, b"UCF": 4, b"UCM": 3}
    return any(s[0] in action and s[action[s[0]] : action[s[0]] + 1] == [b"4"] for s in segments)


def _as_text(body: bytes) -> str:
    """Return an answer for the screen: UTF-8, or Latin-1 as EDIFACT's UNOC has it."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("latin-1")
