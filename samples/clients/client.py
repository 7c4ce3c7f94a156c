"""Sends one message as a partner and prints its answers: python client.py amqp://maple:password@host/ maple FILE."""

import sys
import uuid
from pathlib import Path

import pika  # pip install pika

url, partner, file = sys.argv[1:]
parameters = pika.URLParameters(url)
channel = pika.BlockingConnection(parameters).channel()
channel.confirm_delivery()  # without the broker's confirm nothing is certain: send the same bytes again
sent = uuid.uuid4().hex
channel.basic_publish(  # raises UnroutableError or NackError where the broker does not take it
    "customs.in",
    f"in.{partner}",
    Path(file).read_bytes(),
    pika.BasicProperties(message_id=sent, user_id=parameters.credentials.username, delivery_mode=2),
    mandatory=True,
)
seen = set()  # at least once: keep these ids where a restart does not lose them
for method, properties, body in channel.consume(f"out.{partner}", inactivity_timeout=30):
    if method is None:
        sys.exit("no further answer within 30 seconds")
    kind = properties.headers["kind"]
    if properties.correlation_id == sent and properties.message_id not in seen:
        seen.add(properties.message_id)
        print(f"{kind}: {body.decode('latin-1')}")
    channel.basic_ack(method.delivery_tag)  # only now, when it is kept on your side
    if properties.correlation_id == sent and kind not in {"receipt", "accepted", "contrl"}:
        break  # refused, or the assessment engine's word; a CONTRL that refuses is the last word, too: see UCI action 4
