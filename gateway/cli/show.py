"""The command that shows the whole life of a recorded message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from core.calendar import eastern
from core.errors import GatewayError
from core.findings import Place
from gateway.cli.shared import FORMAT, open_journal, plain
from gateway.cli.terminal import Console, echo_json
from gateway.desk.explain import visible, where
from gateway.settings import from_environment
from validators.words import shown

# How many characters of a text are shown.
TEXT = 1_000

out = Console(soft_wrap=True)

# What the audit notes of an event that people want to read at once; the JSON has all of it.
TOLD = ("operator", "why", "error", "execution")


@click.command()
@click.argument("id_", metavar="ID")
@FORMAT
def show(id_: str, form: str) -> None:
    """Show the whole life of a message.

    ID is its id or the start of it. Shown are what it is, verdict and findings, what happened when, answers, replays,
    and last the bytes of the answers and its own; the JSON has every fact that is kept.

    Exit code: 0 shown, 2 unknown.
    """
    with open_journal(from_environment()) as journal:
        life, replay = journal.show(id_), None
        if life is None:
            replay = journal.execution(id_)
    if form == "json" and (life or replay):
        echo_json(life or replay, plain)
    elif life:
        _print_life(life)
    elif replay:
        _print_replay(replay)
        _print_bodies(replay["answers"])
    else:
        raise GatewayError(f"no message has an id that starts with {id_!r}")


def _print_life(life: Mapping[str, Any]) -> None:
    """Print a transmission as an operator reads it: what it is first, its bytes last."""
    sender = life["partner"] or "a sender that is not known"
    whose = sender if life["channel"] == "partner" else "the assessment engine"
    out.print(
        Text(life["id"], "bold").append(f" from {whose}, received {eastern(life['received_at'])}: {life['state']}")
    )
    same = "" if life["intact"] else f"; NOT INTACT: {life['altered']}"
    out.print(
        Text(f"  {len(life['body'])} bytes, SHA-256 {life['digest']}{same}", "" if life["intact"] else "bold red")
    )
    if life["headers"]:
        out.print(
            Text(
                "  came with "
                + ", ".join(f"{shown(name)} {shown(str(said), TEXT)}" for name, said in life["headers"].items())
            )
        )
    if told := life["unproven"]:
        user = f"user {told['user']}" if told["user"] else "no user"
        out.print(Text(f"  sender not proven: {told['code']}, queue {told['queue']}, {user}", "yellow"))
    if life["note"]:
        out.print(Text(f"  {shown(life['note'], TEXT)}", "yellow"))
    for one in life["messages"]:
        _print_verdict(one)
    for one in life["declarations"]:
        due = f", payment due {one['payment_due']}" if one["payment_due"] else ""
        number = f"{one['transaction_number']} version {one['version']:05}"
        if one["attempt"] > one["version"]:  # one before it was refused by the engine
            number += f", attempt {one['attempt']}"
        world = ", of tests" if one["test"] else ""
        out.print(Text(f"  on file{world}: {number} ({one['nature']}): {one['status']}{due}"))
    answers = {each["id"]: f"{each['kind']} to {each['destination']}" for each in life["outbox"]}
    _heading("What happened", life["audit"])
    for link in life["audit"]:
        detail = link["detail"]
        facts = [answers.get(detail.get("id"), ""), *(f"{name}: {detail[name]}" for name in TOLD if detail.get(name))]
        at = eastern(datetime.fromisoformat(link["at"]))
        out.print(Text(f"  {at}  {link['event']}  {', '.join(filter(None, facts))}".rstrip()))
    _heading("Answers", life["outbox"])
    for each in life["outbox"]:
        _print_answer(each)
    _heading("Replays", life["executions"])
    for each in life["executions"]:
        _print_replay(each)
    _print_bodies(life["outbox"])
    _print_body("the message", life["body"])


def _print_verdict(one: Mapping[str, Any]) -> None:
    """Print what a message is, its verdict and its findings, as `gateway check` does."""
    known = (
        one["syntax"],
        "test" if one["test"] else "",
        one["type"],
        one["transaction_number"],
        one["version"] and f"version {one['version']}",
    )
    facts = shown(" ".join(filter(None, known)), TEXT) if one["syntax"] != "unknown" else "unreadable"
    reference = one["message_reference"] or one["reference"]
    nature = f" ({one['nature']})" if one["nature"] else ""
    heading = Text(f"\n{one['ordinal']}. {facts}{f', reference {shown(reference, TEXT)}' if reference else ''}: ")
    out.print(heading.append(one["verdict"], "green" if one["verdict"] == "accepted" else "bold red").append(nature))
    for finding in one["findings"]:
        style = "red" if finding["severity"] == "refuse" else "yellow"
        said = Text(f"  {finding['severity']} {finding['code']}", style)
        out.print(said.append(f"  {finding['text_en']}", "default"))
        place = Place(**finding["place"])
        if at := ", ".join(filter(None, (where(place, "en"), place.pointer))):
            out.print(Text(f"    at {at}", "dim"))
        if finding["expected"]:
            out.print(Text(f"    expected: {finding['expected']}", "dim"))


def _print_answer(each: Mapping[str, Any]) -> None:
    """Print when an answer was sent, and what its partner said to it."""
    sent = f"sent {eastern(each['sent_at'])}" if each["sent_at"] else f"not sent yet, {each['attempts']} attempts"
    if each["closed_at"]:
        sent = f"closed by an operator {eastern(each['closed_at'])}, not sent"
    elif each["parked_at"]:
        sent = f"parked {eastern(each['parked_at'])}: {each['error']}"
    acknowledged = {"awaited": "CONTRL awaited", "4": "REJECTED by CONTRL", "closed": "closed by an operator"}
    if each["acknowledgement"]:
        sent += f", {acknowledged.get(each['acknowledgement'], 'acknowledged by CONTRL')}"
    if each["acknowledged_at"]:
        sent += f" {eastern(each['acknowledged_at'])}"
    error = f" ({each['error']})" if each["error"] else ""
    out.print(Text(f"  {each['kind']} to {each['destination']}, {each['id']}: {sent}{error}"))


def _print_replay(each: Mapping[str, Any]) -> None:
    """Print a replay: who asked for it, and what came of it."""
    sent = f"; its answers were sent {eastern(each['sent_at'])}" if each["sent_at"] else ""
    out.print(Text(f"  {each['id']}, {eastern(each['at'])}, by {each['operator']}, of {each['source']}{sent}"))
    for one in each["messages"]:
        codes = " ".join(finding["code"] for finding in one["findings"])
        out.print(Text(f"    {one['verdict']} {codes}".rstrip()))


def _heading(title: str, items: Iterable[Any]) -> None:
    if items:
        out.print(Text(f"\n{title}", "bold"))


def _print_bodies(answers: Iterable[Mapping[str, Any]]) -> None:
    for each in answers:
        _print_body(f"{each['kind']} ({each['content_type']})", each["body"])


def _print_body(title: str, body: bytes) -> None:
    """Print bytes as text that a terminal does not obey."""
    out.print(Text(f"\n--- {title}", "bold"))
    for line in str(plain(body)).splitlines():
        out.print(Text(f"  | {visible(line.expandtabs())}"))
