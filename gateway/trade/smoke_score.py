"""The score of the smoke test as customs: the message that meets a step, or why the nearest does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.declaration import MessageType
from core.findings import Bilingual
from core.transmission import Message, Verdict
from gateway.trade.replies import in_words
from gateway.trade.scenario import Scenario, Step, remark_on, unmet_codes
from gateway.trade.smoke import SeenMessage, StepResult
from responses.business import printable

TYPES = {
    "declaration": (MessageType.DECLARATION,),
    "many": (MessageType.DECLARATION,),
    "correction": (MessageType.CORRECTION,),
    "withdraw": (MessageType.WITHDRAW,),
    "mended": (MessageType.DECLARATION, MessageType.CORRECTION),
}

# Types of messages and natures of changes in French.
FRENCH = {
    "declaration": "déclaration",
    "correction": "correction",
    "adjustment": "rajustement",
    "withdraw": "demande de retrait",
    "withdrawal": "retrait",
    "original": "déclaration originale",
    "unknown": "message inconnu",
    "": "inconnu",
}


@dataclass
class Arrived:
    """One message of the partner's, judged; `taken` is how many answers had been taken when it came."""

    id: str
    digest: str
    message: Message
    verdict: str
    codes: tuple[str, ...]
    texts: tuple[Bilingual, ...]
    nature: str | None
    taken: int

    @property
    def number(self) -> str:
        """Return the transaction number, empty if there is none to be read."""
        return (self.message.declaration and self.message.declaration.transaction_number) or ""

    @property
    def subject(self) -> str:
        """Return transaction number and version."""
        declaration = self.message.declaration
        return f"{self.number or '?'}:{(declaration and declaration.version) or '?'}"

    @property
    def reference(self) -> str:
        """Return the sender's reference, in which the outcome is chosen."""
        return (self.message.declaration and self.message.declaration.text("functional_reference")) or ""


@dataclass
class Score:
    """What has come of one step: the message that meets it, or the nearest one that did not, and why."""

    step: Step
    line: StepResult
    claim: Arrived | None = None
    after: int = 0  # answers sent before the claim: a repeat is answered from here on
    near: tuple[int, Bilingual] = (-1, Bilingual("", ""))
    volume: list[Arrived] = field(default_factory=list)


Unfit = tuple[int, Bilingual]


def seen(arrived: Arrived) -> SeenMessage:
    """Return a message as the report lists it."""
    return SeenMessage(
        arrived.subject, str(arrived.message.type), str(arrived.verdict), list(arrived.codes), arrived.digest
    )


def unfit(
    step: Step, arrived: Arrived, subject: Arrived | None, scenario: Scenario, was_read: Callable[[Arrived], bool]
) -> Unfit | None:
    """Return how near a message comes to a step without meeting it, and why; None when it meets it.

    `subject` is the message that the step is about; `was_read` tells whether its refusal had been read when this came.
    """
    message = arrived.message
    if step.send == "again":
        return 0, Bilingual("Other bytes came.", "D'autres octets sont venus.")
    types = TYPES.get(step.send, tuple(MessageType))
    if message.type not in types and not (message.type is MessageType.UNKNOWN and arrived.codes):
        return 0, Bilingual(f"A {message.type} came.", f"Venu : {FRENCH[message.type]}.")
    if message.envelope.test is False and message.type in types:
        return 4, Bilingual(
            f"{arrived.subject} is not marked as a test; it went to no engine and does not count.",
            f"{arrived.subject} ne porte pas l'indicateur de test; aucun moteur ne l'a reçu et il ne compte pas.",
        )
    if step.send == "many":
        return None
    return (
        _of_another(step, arrived, subject, was_read)
        or _wrongly_judged(step, arrived, scenario)
        or _not_as_asked(step, arrived)
    )


def _of_another(
    step: Step, arrived: Arrived, subject: Arrived | None, was_read: Callable[[Arrived], bool]
) -> Unfit | None:
    """Return why a message is not about the declaration that a step asks for, or came too early."""
    declaration = arrived.message.declaration
    cad_type = declaration.text("cad_type") if declaration else None
    if step.cad_type and cad_type and cad_type != step.cad_type:
        return 1, Bilingual(f"A CAD type {cad_type} came.", f"Un type de DDC {cad_type} est venu.")
    if subject and subject.number and arrived.number != subject.number:
        return 2, Bilingual(
            f"{arrived.subject} came, which is another declaration than {subject.subject}.",
            f"{arrived.subject} est venu, une autre déclaration que {subject.subject}.",
        )
    if step.send == "mended" and subject and not was_read(subject):
        return 3, Bilingual(
            f"{arrived.subject} came again before the refusal was read.",
            f"{arrived.subject} est revenu avant que le refus ne soit lu.",
        )
    return None


def _wrongly_judged(step: Step, arrived: Arrived, scenario: Scenario) -> Unfit | None:
    """Return why a message's verdict, or what it carries, is not what a step asks for."""
    refusal, refused = "refused" in step.expect, arrived.verdict == Verdict.REFUSED
    carried = _carried_wrongly(step, arrived)
    if carried and (arrived.verdict == Verdict.ACCEPTED or _misread(step, arrived)):
        return 7, carried
    if refused and not refusal:
        return 6, _refused(arrived, scenario)
    if refusal and not refused:
        return 5, Bilingual(
            f"{arrived.subject} is free of faults; this step needs a faulty one.",
            f"{arrived.subject} est sans faute; cette étape en demande un fautif.",
        )
    if lacking := unmet_codes(step.codes, arrived.codes):
        return 6, Bilingual(
            f"The refusal of {arrived.subject} shows {' '.join(arrived.codes)}, not {', '.join(lacking)}.",
            f"Le refus de {arrived.subject} montre {' '.join(arrived.codes)}, non {', '.join(lacking)}.",
        )
    return None


def _not_as_asked(step: Step, arrived: Arrived) -> Unfit | None:
    """Return why a message does not ask the engine for a step's outcome, or is a change of another nature."""
    if step.outcome and f"TEST-{step.outcome}" not in arrived.reference:
        return 7, Bilingual(
            f"The reference of {arrived.subject} does not hold TEST-{step.outcome}.",
            f"La référence de {arrived.subject} ne contient pas TEST-{step.outcome}.",
        )
    if step.nature and arrived.nature != step.nature:
        nature, wanted = FRENCH[arrived.nature or ""], FRENCH[step.nature]
        return 7, Bilingual(
            f"{arrived.subject} counts as {arrived.nature}, not as {step.nature}: the payment due date decides.",
            f"{arrived.subject} compte comme {nature}, non comme {wanted} : l'échéance en décide.",
        )
    return None


def repeated_refusal(subject: Arrived) -> Unfit:
    """Return how near the same refused bytes come to a step that wants them put right, and why that is not it."""
    return 9, Bilingual(
        f"The refused bytes of {subject.subject} came again: the refusal was not understood.",
        f"Les octets refusés de {subject.subject} sont revenus : le refus n'a pas été compris.",
    )


def faults_of_volume(step: Step, volume: Sequence[Arrived]) -> Bilingual | None:
    """Return why too many of a step's declarations are faulty, None if few enough are."""
    count, good = step.count or 1, sum(each.verdict == Verdict.ACCEPTED for each in volume)
    if good >= step.good * count:
        return None
    codes = Counter(code for each in volume for code in set(each.codes))
    shown = ", ".join(f"{code} ({number})" for code, number in codes.most_common(5))
    return Bilingual(
        f"{good} of {count} declarations ({good / count:.0%}) were free of faults; at least "
        f"{step.good:.0%} must be: {shown}.",
        f"{good} déclarations sur {count} ({_percent(good / count)}) étaient sans faute; il en faut au "
        f"moins {_percent(step.good)} : {shown}.",
    )


def lack(score: Score, subject: Arrived | None, unread: int, queue: str) -> Bilingual:
    """Return what a step that was not met lacks, with so many answers unread in the partner's queue."""
    step = score.step
    if score.claim and unread:
        return Bilingual(
            f"The answers to {score.claim.subject} were sent, but {unread} answers lie unread in {queue}.",
            f"Les réponses à {score.claim.subject} ont été envoyées, mais {unread} réponses restent non lues dans "
            f"{queue}.",
        )
    if score.claim:
        lacking = in_words(kind for kind in step.expect if kind not in score.line.answers)
        return Bilingual(f"Still to be sent: {lacking.en}.", f"Reste à envoyer : {lacking.fr}.")
    if step.send == "many":
        return Bilingual(
            f"{len(score.volume)} of {step.count} declarations came. {score.near[1].en}".strip(),
            f"{len(score.volume)} déclarations sur {step.count} sont venues. {score.near[1].fr}".strip(),
        )
    if step.send == "mended" and subject and score.near[0] < 3:
        return Bilingual(
            f"The refusal of {subject.subject} ({' '.join(subject.codes)}) was read and ignored: it never came "
            f"put right. {score.near[1].en}".strip(),
            f"Le refus de {subject.subject} ({' '.join(subject.codes)}) a été lu et ignoré : il n'est jamais "
            f"revenu corrigé. {score.near[1].fr}".strip(),
        )
    if score.near[0] >= 2:
        return score.near[1]
    return Bilingual("No such message came.", "Aucun message de ce genre n'est venu.")


def not_reached() -> Bilingual:
    """Return why a step of a later stage was not met."""
    return Bilingual("Not reached: an earlier stage is not done.", "Non atteint : un palier antérieur n'est pas fait.")


def progress(score: Score, language: str) -> str:
    """Return a step that is not yet met, in few words."""
    french = language == "fr"
    title = score.step.title.fr if french else score.step.title.en
    if score.step.send == "many":
        return f"{title} ({len(score.volume)}/{score.step.count})"
    if score.claim:
        return f"{title} ({'réponses non lues' if french else 'answers not read'})"
    return title


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _refused(arrived: Arrived, scenario: Scenario) -> Bilingual:
    """Return why a message was refused that should not have been, and what that tells of the partner's system."""
    remark = remark_on(arrived.codes, scenario) or Bilingual("", "")
    first = arrived.texts[0] if arrived.texts else Bilingual("", "")
    codes = " ".join(dict.fromkeys(arrived.codes))
    return Bilingual(
        f"{arrived.subject} was refused. {remark.en} ({codes}: {first.en})".replace("  ", " "),
        f"{arrived.subject} a été refusé. {remark.fr} ({codes} : {first.fr})".replace("  ", " "),
    )


def _carried_wrongly(step: Step, arrived: Arrived) -> Bilingual | None:
    """Return which element did not arrive as it should have, None if all did."""
    misread = _misread(step, arrived)
    en = " The bytes are UTF-8, but the message declares another character set." if misread else ""
    fr = " Les octets sont en UTF-8, mais le message déclare un autre jeu de caractères." if misread else ""
    for name, wanted in step.carries.items():
        found = _found(name, arrived)
        if wanted not in found:
            came = printable(found[0])[:60] if found else "—"
            return Bilingual(
                f'{arrived.subject}: {name} arrived as "{came}", not as "{wanted}".{en}',
                f"{arrived.subject} : {name} est arrivé comme « {came} », non comme « {wanted} ».{fr}",
            )
    return None


def _found(name: str, arrived: Arrived) -> list[str]:
    """Return an element's values wherever they stand."""
    declaration = arrived.message.declaration
    levels = declaration.levels() if declaration else ()
    return [str(value) for _, _, level in levels for value in level.all(name)]


def _misread(step: Step, arrived: Arrived) -> bool:
    """Tell whether UTF-8 was read as ISO 8859-1, because the message declares that."""
    return any(_repaired(text) == wanted for name, wanted in step.carries.items() for text in _found(name, arrived))


def _repaired(text: str) -> str | None:
    """Return what a text was before its UTF-8 was read as ISO 8859-1, None if it was not."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None
