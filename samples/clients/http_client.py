"""Sends one message over HTTP and prints its answers: EXCHANGE_TOKEN=... python http_client.py https://host FILE."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

site, file = sys.argv[1:]


def ask(method, path, body=None, **headers):
    headers |= {"Authorization": f"Bearer {os.environ['EXCHANGE_TOKEN']}", "Content-Type": "application/octet-stream"}
    while True:
        try:
            request = urllib.request.Request(site + path, body, headers, method=method)
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            if refusal.code == 409:  # the reading has ended; what was not acknowledged comes again
                return None
            if refusal.code not in {429, 503}:
                sys.exit(f"{refusal}: {refusal.read().decode()}")
        except OSError as error:  # nobody knows whether it arrived: the same again, with the same key
            print(error, file=sys.stderr)
        time.sleep(2)


# Keep the key beside the file until there is an answer: the same key takes effect once, however often it is sent.
sent = ask("POST", "/api/messages", Path(file).read_bytes(), **{"Idempotency-Key": uuid.uuid4().hex})
seen, last = set(), False  # at least once: keep these ids where a restart does not lose them
while not last:
    if not (read := ask("GET", "/api/answers?wait=30"))["answers"]:
        sys.exit("no further answer within 30 seconds")
    for answer in read["answers"]:
        if answer["in_reply_to"] == sent["id"] and answer["id"] not in seen:
            seen.add(answer["id"])
            print(f"{answer['kind']}: {answer.get('text', answer.get('base64'))}")
            last |= answer["kind"] not in {"receipt", "accepted", "contrl"}  # or a CONTRL that refuses
    ask("POST", "/api/answers/ack", json.dumps({"cursor": read["cursor"]}).encode())  # only now, when they are kept
