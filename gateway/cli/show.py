"""The command that shows the whole life of a recorded message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from core.calendar import eastern
from core.findings import Bilingual, Place, Severity
from gateway.cli.shared import FORMAT, LANGUAGE, SEVERITIES, open_journal, plain, saying
from gateway.cli.terminal import Console, echo_json
from gateway.desk.explain import visible, where
from gateway.desk.in_place import decoded
from gateway.desk.replay import unknown
from gateway.desk.words import (
    ACKNOWLEDGEMENTS,
    EVENTS,
    NATURE_NAMES,
    STATES,
    STATUSES,
    TYPES,
    VERDICTS,
    french,
    noted,
    sent_in_words,
)  # fmt: skip
from gateway.settings import from_environment
from gateway.trade.replies import ANSWERS
from validators.words import shown

# How many characters of a text are shown.
TEXT = 1_000

out = Console(soft_wrap=True)

# What the audit notes of an event that people want to read at once; the JSON has all of it.
TOLD = ("operator", "why", "error", "execution")


@click.command()
@click.argument("id_", metavar="ID")
@FORMAT
@LANGUAGE
def show(id_: str, form: str, lang: str) -> None:
    """Show the whole life of a message.

    ID is its id or the start of it. Shown are what it is, verdict and findings, what happened when, answers, replays,
    and last the bytes of the answers and its own; the JSON has every fact that is kept.

    Exit code: 0 shown, 2 unknown.
    """
    with open_journal(from_environment()) as journal, journal.telling():
        life, replay = journal.show(id_), None
        if life is None:
            replay = journal.execution(id_)
        if form == "json" and (life or replay):
            echo_json(_for_programs(life) if life else replay, plain)
        elif life:
            _print_life(life, lang)
        elif replay:
            _print_replay(replay, lang)
            _print_bodies(replay["answers"])
        else:
            raise unknown(id_)


def _for_programs(life: Mapping[str, Any]) -> dict[str, Any]:
    """Return a life with what is not intact of it in English."""
    return {**life, "altered": life["altered"] and life["altered"].en}


def _print_life(life: Mapping[str, Any], lang: str) -> None:
    """Print a transmission as an operator reads it: what it is first, its bytes last."""
    say = saying(lang)
    sender = life["partner"] or say("a sender that is not known", "un expéditeur inconnu")
    whose = sender if life["channel"] == "partner" else say("the assessment engine", "le moteur de cotisation")
    received, state = eastern(life["received_at"], lang), STATES[life["state"]].speak(lang)
    out.print(
        Text(life["id"], "bold").append(
            say(f" from {whose}, received {received}: {state}", f" de {whose}, reçu {received} : {state}")
        )
    )
    altered = life["altered"] and life["altered"].speak(lang)
    same = say(f"; NOT INTACT: {altered}", f"; ALTÉRÉ : {altered}") if altered else ""
    size = f"  {len(life['body'])} {say('bytes', 'octets')}, SHA-256 {life['digest']}{same}"
    out.print(Text(size, "" if life["intact"] else "bold red"))
    if life["headers"]:
        came = (f"{shown(name)} {shown(str(said), TEXT)}" for name, said in life["headers"].items())
        out.print(Text(f"  {say('came with', 'accompagné de')} {', '.join(came)}"))
    if told := life["unproven"]:
        user = told["user"] or say("none", "aucun")
        en = f"sender not proven: {told['code']}, queue {told['queue']}, user {user}"
        fr = f"expéditeur non prouvé : {told['code']}, file {told['queue']}, utilisateur {user}"
        out.print(Text(f"  {say(en, fr)}", "yellow"))
    if life["note"]:
        out.print(Text(f"  {shown(noted(life['note'], lang), TEXT)}", "yellow"))
    for one in life["messages"]:
        _print_verdict(one, lang)
    for one in life["declarations"]:
        out.print(Text(f"  {_on_file(one, lang)}"))
    _heading(say("What happened", "Ce qui s'est passé"), life["audit"])
    answers = {each["id"]: _whom(each, lang) for each in life["outbox"]}
    for link in life["audit"]:
        out.print(Text(f"  {_event(link, answers, lang)}".rstrip()))
    _heading(say("Answers", "Réponses"), life["outbox"])
    for each in life["outbox"]:
        _print_answer(each, lang)
    _heading(say("Replays", "Rejeux"), life["executions"])
    for each in life["executions"]:
        _print_replay(each, lang)
    _print_bodies(life["outbox"])
    _print_body(say("the message", "le message"), life["body"])


def _on_file(one: Mapping[str, Any], lang: str) -> str:
    """Return the line about what is on file of a message."""
    number = f"{one['transaction_number']} version {one['version']:05}"
    if one["attempt"] > one["version"]:  # one before it was refused by the engine
        number += saying(lang)(f", attempt {one['attempt']}", f", essai {one['attempt']}")
    due = one["payment_due"]
    nature, status = NATURE_NAMES[one["nature"]], STATUSES[one["status"]]
    en = f"on file{', of tests' if one['test'] else ''}: {number} ({nature.en}): {status.en}"
    fr = f"au dossier{', des essais' if one['test'] else ''} : {number} ({nature.fr}) : {status.fr}"
    return saying(lang)(
        en + (f", payment due {due}" if due else ""), fr + (f", paiement exigible le {due}" if due else "")
    )


def _event(link: Mapping[str, Any], answers: Mapping[str, str], lang: str) -> str:
    """Return the line about an event of the audit; one without words of its own is told as it is kept."""
    detail, event = link["detail"], link["event"]
    colon = Bilingual(": ", " : ").speak(lang)
    about = [detail.get("id"), *(id_ for id_, _ in detail.get("sent", ()))]
    facts = [
        *(answers.get(each, "") for each in about),
        *(f"{name}{colon}{detail[name]}" for name in TOLD if detail.get(name)),
    ]
    said = EVENTS[event].speak(lang) if event in EVENTS else event
    return f"{eastern(datetime.fromisoformat(link['at']), lang)}  {said}  {', '.join(filter(None, facts))}"


def _print_verdict(one: Mapping[str, Any], lang: str) -> None:
    """Print what a message is, its verdict and its findings, as `gateway check` does."""
    say = saying(lang)
    known = (
        one["syntax"],
        say("test", "essai") if one["test"] else "",
        french(one["type"], TYPES) if lang == "fr" else one["type"],
        one["transaction_number"],
        one["version"] and f"version {one['version']}",
    )
    facts = shown(" ".join(filter(None, known)), TEXT) if one["syntax"] != "unknown" else say("unreadable", "illisible")
    reference = one["message_reference"] or one["reference"]
    nature = f" ({NATURE_NAMES[one['nature']].speak(lang)})" if one["nature"] else ""
    named = f", {say('reference', 'référence')} {shown(reference, TEXT)}" if reference else ""
    heading = Text(f"\n{one['ordinal']}. {facts}{named}{say(': ', ' : ')}")
    style = "green" if one["verdict"] == "accepted" else "bold red"
    out.print(heading.append(VERDICTS[one["verdict"]].speak(lang), style).append(nature))
    for finding in one["findings"]:
        style = "red" if finding["severity"] == "refuse" else "yellow"
        severity = SEVERITIES[Severity(finding["severity"])].speak(lang)
        out.print(Text(f"  {severity} {finding['code']}", style).append(f"  {finding[f'text_{lang}']}", "default"))
        place = Place(**finding["place"])
        if at := ", ".join(filter(None, (where(place, lang), place.pointer))):
            out.print(Text(f"    {say('at ', '')}{at}", "dim"))
        if finding["expected"]:
            out.print(Text(f"    {say('expected: ', 'attendu : ')}{finding['expected']}", "dim"))


def _print_answer(each: Mapping[str, Any], lang: str) -> None:
    """Print when an answer was sent, and what its partner said to it."""
    say, stands = saying(lang), sent_in_words(each).speak(lang)
    moment = each["closed_at"] or each["parked_at"] or each["sent_at"]
    told = [f"{stands} {eastern(moment, lang)}" if moment else stands]
    if each["acknowledgement"]:
        at = f" {eastern(each['acknowledged_at'], lang)}" if each["acknowledged_at"] else ""
        said = ACKNOWLEDGEMENTS.get(each["acknowledgement"], ACKNOWLEDGEMENTS["7"])
        told.append(f"{said.speak(lang)}{at}")
    error = f" ({shown(each['error'], TEXT)})" if each["error"] else ""
    out.print(Text(f"  {_whom(each, lang)}, {each['id']}{say(': ', ' : ')}{', '.join(told)}{error}"))


def _whom(each: Mapping[str, Any], lang: str) -> str:
    """Return what an answer is, or a request, and for whom."""
    kind = french(each["kind"], ANSWERS) if lang == "fr" else each["kind"]
    return f"{kind} {saying(lang)('to', 'à')} {each['destination']}"


def _print_replay(each: Mapping[str, Any], lang: str) -> None:
    """Print a replay: who asked for it, and what came of it."""
    say, at, sent = saying(lang), eastern(each["at"], lang), ""
    if each["sent_at"]:
        when = eastern(each["sent_at"], lang)
        sent = say(f"; its answers were sent {when}", f"; ses réponses ont été envoyées {when}")
    whose = say(f"by {each['operator']}, of {each['source']}", f"par {each['operator']}, de {each['source']}")
    out.print(Text(f"  {each['id']}, {at}, {whose}{sent}"))
    for one in each["messages"]:
        codes = " ".join(finding["code"] for finding in one["findings"])
        out.print(Text(f"    {VERDICTS[one['verdict']].speak(lang)} {codes}".rstrip()))


def _heading(title: str, items: Iterable[Any]) -> None:
    if items:
        out.print(Text(f"\n{title}", "bold"))


def _print_bodies(answers: Iterable[Mapping[str, Any]]) -> None:
    for each in answers:
        _print_body(f"{each['kind']} ({each['content_type']})", each["body"])


def _print_body(title: str, body: bytes) -> None:
    """Print bytes as text that a terminal does not obey."""
    out.print(Text(f"\n--- {title}", "bold"))
    for line in decoded(body).splitlines():
        out.print(Text(f"  | {visible(line.expandtabs())}"))
