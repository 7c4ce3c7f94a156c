"""Scenarios of the smoke test: what is sent and what must come back, as TOML.

The same steps hold for both roles (DECISIONS D14).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from core.errors import GatewayError
from core.findings import Bilingual
from core.transmission import digest_of
from gateway.settings import SAMPLES

KIT = SAMPLES / "conformance" / "kit.toml"

Send = Literal["declaration", "correction", "withdraw", "mended", "again", "many", "file"]
AnswerKind = Literal["receipt", "accepted", "refused", "assessed", "pending", "engine-refused", "technical"]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence in both official languages."""

    en: str
    fr: str

    def both(self) -> Bilingual:
        """Return the sentence as the rest of the gateway knows it."""
        return Bilingual(self.en, self.fr)

    def speak(self, language: str) -> str:
        """Return the French text for "fr", the English one otherwise."""
        return self.both().speak(language)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message and its answers.

    `send`: declaration, correction, withdraw; `mended`: what step `of` sent, put right, under the same transaction
    number; `again`: the same bytes as step `of`; `many`: `count` declarations, of which the share `good` must be free
    of faults; `file`: a file beside the scenario, in which {transaction} and {reference} are filled in.
    `of` is the step whose declaration it is about. `codes` must all be found; each is a finding's code or the
    beginning of one, alternatives divided by "|". `outcome` is written into the sender's reference as TEST-outcome.
    `carries` are elements that must arrive with these values; `wrong`, `without` and `damaged` are how our own sender
    makes its message faulty. `versions_ahead` skips versions; `accounted_days_ago` sets the accounting date.
    `within` are seconds.
    """

    id: str
    title: Words
    send: Send
    expect: Annotated[list[AnswerKind], msgspec.Meta(min_length=1)]
    codes: list[str] = []
    of: str | None = None
    cad_type: str | None = None
    nature: Literal["correction", "adjustment"] | None = None
    outcome: Annotated[str, msgspec.Meta(pattern=r"^(APPROVE|REFUSE|PENDING|SILENT|LATE-\d{1,4})$")] | None = None
    carries: dict[str, str] = {}
    wrong: dict[str, str] = {}
    without: list[str] = []
    damaged: bool = False
    versions_ahead: Annotated[int, msgspec.Meta(ge=0, le=9)] = 0
    accounted_days_ago: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    count: Count | None = None
    good: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    file: str | None = None
    within: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps that a partner must have done before the next stage begins."""

    title: Words
    step: Annotated[list[Step], msgspec.Meta(min_length=1)]


class Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a finding, unlooked-for, says of the system that sent the message."""

    codes: list[str]
    text: Words


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole scenario; `digest` is the SHA-256 of its file."""

    title: Words
    stage: Annotated[list[Stage], msgspec.Meta(min_length=1)]
    remark: list[Hint] = []
    digest: str = ""
    folder: str = ""

    def steps(self) -> Iterable[Step]:
        """Yield every step in order."""
        for stage in self.stage:
            yield from stage.step


def load_scenario(path: Path, many: int | None = None) -> Scenario:
    """Return the scenario of a TOML file; `many` replaces the number of messages in steps that send many.

    Raises GatewayError, one line with the file and the place, for what cannot be used.
    """
    try:
        body = path.read_bytes()
        scenario = msgspec.toml.decode(body, type=Scenario)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise GatewayError(f"{path}: {error}") from error
    stages = scenario.stage
    if many:
        stages = [
            msgspec.structs.replace(
                stage, step=[msgspec.structs.replace(s, count=many) if s.send == "many" else s for s in stage.step]
            )
            for stage in stages
        ]
    scenario = msgspec.structs.replace(
        scenario, stage=stages, digest=digest_of(body), folder=str(path.resolve().parent)
    )
    if problem := _problem(scenario):
        raise GatewayError(f"{path}: {problem}")
    return scenario


def _problem(scenario: Scenario) -> str | None:
    """Return what is wrong with a scenario beyond its form, None if nothing is."""
    before: dict[str, Step] = {}
    for step in scenario.steps():
        needs_of = step.send in ("correction", "withdraw", "mended", "again")
        if step.id in before:
            return f"step {step.id}: the id is used twice"
        if needs_of and step.of not in before:
            return f"step {step.id}: `of` must name an earlier step, not {step.of!r}"
        if step.send == "many" and step.count is None:
            return f"step {step.id}: `many` needs `count`"
        if step.send == "file" and not (Path(scenario.folder) / (step.file or "")).is_file():
            return f"step {step.id}: there is no file {step.file!r} beside the scenario"
        if step.send in ("declaration", "many") and not step.cad_type and step.send == "declaration":
            return f"step {step.id}: a declaration needs its `cad_type`"
        before[step.id] = step
    return None


def unmet_codes(wanted: Iterable[str], found: Iterable[str]) -> list[str]:
    """Return the wanted codes (alternatives divided by "|", each a code or its beginning) that were not found."""
    codes = list(found)
    return [each for each in wanted if not any(code.startswith(tuple(each.split("|"))) for code in codes)]


def remark_on(codes: Iterable[str], scenario: Scenario) -> Bilingual | None:
    """Return the scenario's remark on the first of the codes that it speaks of."""
    by_code: Mapping[str, Hint] = {code: remark for remark in scenario.remark for code in remark.codes}
    return next((by_code[code].text.both() for code in codes if code in by_code), None)
