"""`gateway backup` and `gateway restore`: journal and embedded queue as of one moment, verified."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import ExitStack, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from core.calendar import eastern
from core.errors import GatewayError, JournalUnavailable, cause_of
from core.findings import Bilingual
from core.urls import mask
from gateway.cli.shared import LANGUAGE, OPERATOR, open_journal, saying
from gateway.cli.terminal import echo
from gateway.files import hold, queue_file
from gateway.journal import Journal, file_of
from gateway.journal.backup import FILE, put, set_aside
from gateway.queues.store import settle, still
from gateway.service import now
from gateway.settings import Settings, from_environment

# What a backup says of itself; written last, so that one that broke off has none.
MANIFEST = "backup.json"
SAID = ("taken", "kind", "schema", "head", "rows", "columns", "queue")

# The embedded queue's copy.
QUEUE = "queue.sqlite3"

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@LANGUAGE
def backup(folder: Path, lang: str) -> None:
    """Copy journal and embedded queue into a new folder.

    Both as of one moment, while the gateway runs; only the owner may read them, and the partners' file goes along. The
    copy's audit chain is verified and its rows are counted. RabbitMQ's queues are not copied: docs/operations.md says
    why they need not be.

    Exit code: 0, or 2 when something cannot be read or written, or the copy is not whole.
    """
    settings = from_environment()
    with open_journal(settings) as journal:
        try:
            _back_up(settings, journal, folder, lang)
        except GatewayError as error:
            with suppress(JournalUnavailable):
                journal.note_chore("backup", now(), str(error))
            raise
        journal.note_chore("backup", now())
    echo(saying(lang)(f"in {folder}, verified", f"dans {folder}, vérifiée"))


def _back_up(settings: Settings, journal: Journal, folder: Path, lang: str) -> None:
    """Write a backup into a new folder."""
    _new(folder)
    taken = now()
    with ExitStack() as stack:
        queue = stack.enter_context(still(path)) if (path := queue_file(settings)) else None
        source = stack.enter_context(journal.snapshot())
        if queue:
            queue.go_on()
        facts = source.facts()
        source.write(folder)
        messages = queue.copy(folder / QUEUE) if queue else None
    _verify_copy(folder, facts)
    try:
        shutil.copyfile(settings.partners, folder / "partners.toml")
    except OSError as error:
        raise GatewayError(f"{settings.partners}: {cause_of(error)}") from error
    files = {each.name: _digest(each) for each in sorted(folder.iterdir())}
    manifest = {"taken": taken.isoformat(timespec="seconds"), "program": version("cad-gateway"), **facts}
    manifest |= {"queue": messages, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    for each in folder.iterdir():
        each.chmod(0o600)
    _tell(manifest, lang)


@click.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@OPERATOR
@LANGUAGE
def restore(folder: Path, operator: str, lang: str) -> None:
    """Put a backup into the place of journal and queue.

    With the gateway stopped. What is there as files is set aside under another name, with all that belongs to it; a
    PostgreSQL database must be empty. The audit chain records the restore, and is verified.

    Exit code: 0, or 2 when the gateway runs, the backup is not whole, or something cannot be written.
    """
    settings = from_environment()
    manifest = _read(folder)
    moment = now()
    journal = Journal.open(settings.database_url)
    try:
        with hold(settings):
            queue = queue_file(settings)
            for path in (file_of(settings.database_url), queue):
                if path and path.exists() and not settle(path):
                    raise GatewayError(f"{path} is open in another program: stop it first")
            if (manifest["queue"] is None) != (queue is None):
                kinds = "the embedded queue" if queue is None else "no embedded queue"
                raise GatewayError(f"{folder} is of a gateway with {kinds}; this one's is {mask(settings.broker_url)}")
            mark = f"before-{moment:%Y%m%dT%H%M%S}"
            aside = journal.restore(folder, manifest, mark, operator, moment)
            if queue:
                aside += _restore_queue(folder / QUEUE, queue, mark)
    finally:
        journal.close()
    for each in aside:
        echo(saying(lang)(f"set aside: {each}", f"mis de côté : {each}"))
    _tell(manifest, lang)
    n = manifest["head"]["n"]
    echo(AFTER.speak(lang).format(n=n, next=n + 1, taken=_taken(manifest, lang)))


# What an operator must know after a restore, and do.
AFTER = Bilingual(
    """restored and verified: row {next} of the audit chain records it. What comes now:
1. What was received after {taken} is gone, though it had a receipt. Tell the partners to send again whatever has
   a receipt that is younger: the same bytes; what the journal does know is answered as before.
2. Numbers of transmissions and rows of the audit chain after {n} are given out again. `gateway verify-audit --heads`
   takes heads that were exported after the backup, and before now, as explained by row {next}.
3. Answers and requests that went out after the backup may go out again, with their ids: receivers know them by those.
4. The engine's results about declarations that are gone are parked or have no effect.
5. If the program is newer than the backup: `gateway migrate`. Then `gateway verify-audit`, `gateway doctor`, and
   start.""",
    """restauré et vérifié : la ligne {next} de la piste de vérification l'atteste. Ce qui vient maintenant :
1. Ce qui a été reçu après le {taken} n'est plus là, malgré son accusé. Dites aux partenaires de renvoyer tout ce
   dont l'accusé est plus récent : les mêmes octets; ce que le journal connaît reçoit la même réponse qu'avant.
2. Les numéros de transmissions et les lignes de la piste après {n} servent de nouveau. `gateway verify-audit --heads`
   tient les têtes exportées après la sauvegarde, et avant maintenant, pour expliquées par la ligne {next}.
3. Les réponses et demandes parties après la sauvegarde peuvent repartir, avec leurs identifiants : les destinataires
   les reconnaissent à ceux-ci.
4. Les résultats du moteur sur des déclarations disparues sont garés ou sans effet.
5. Si le programme est plus récent que la sauvegarde : `gateway migrate`. Puis `gateway verify-audit`, `gateway doctor`,
   et démarrez.""",
)


def _restore_queue(copy: Path, path: Path, mark: str) -> list[Path]:
    """Put the queue's copy to its place; return what was set aside."""
    aside = set_aside(path, mark)
    put(copy, path)
    return aside


def _new(folder: Path) -> None:
    """Make a folder for its owner only; raises GatewayError where it is there and not empty."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if any(folder.iterdir()):
            raise GatewayError(f"{folder} is not empty: each backup has a folder of its own")
    except OSError as error:
        raise GatewayError(f"{folder}: {cause_of(error)}") from error


def _verify_copy(folder: Path, facts: dict[str, Any]) -> None:
    """Raise GatewayError unless a copy that is a journal's file holds what the journal held."""
    if facts["kind"] == "sqlite":
        copy = Journal.open(f"sqlite:///{(folder / FILE).resolve()}")
        try:
            report = copy.walk((facts["head"]["n"], facts["head"]["hash"]))
        finally:
            copy.close()
        if report.reason:
            raise GatewayError(f"{folder}: the audit chain does not hold at row {report.bad}: {report.reason.en}")


def _read(folder: Path) -> dict[str, Any]:
    """Return what a backup says of itself, each file as it was written."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        wrong = [name for name, digest in manifest["files"].items() if _digest(folder / name) != digest]
        wrong += [
            name for name in ("kind", "schema", "head", "rows", "columns", "taken", "queue") if name not in manifest
        ]
    except (OSError, ValueError) as error:
        raise GatewayError(f"{folder} is no whole backup: {cause_of(error)}") from error
    except (KeyError, TypeError, AttributeError):  # JSON of another form
        wrong = [MANIFEST]
    if wrong:
        raise GatewayError(f"{folder} is no whole backup: {', '.join(wrong)} is not as it was written")
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _taken(manifest: dict[str, Any], lang: str) -> str:
    return eastern(datetime.fromisoformat(manifest["taken"]), lang)


def _tell(manifest: dict[str, Any], lang: str) -> None:
    """Say what a backup holds."""
    say, taken = saying(lang), _taken(manifest, lang)
    rows, queue, head, schema = manifest["rows"], manifest["queue"], manifest["head"]["n"], manifest["schema"]
    waiting = say(f"{queue} messages in the queue", f"{queue} messages dans la file")
    if queue is None:
        waiting = say("no embedded queue", "pas de file intégrée")
    echo(
        say(
            f"backup of {taken}: {rows['inbox']} transmissions, {rows['outbox']} answers and requests, audit head"
            f" {head}, schema {schema}; {waiting}",
            f"sauvegarde du {taken} : {rows['inbox']} transmissions, {rows['outbox']} réponses et demandes, tête de la"
            f" piste {head}, schéma {schema}; {waiting}",
        )
    )
