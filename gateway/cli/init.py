"""`gateway init`: a folder to start a deployment of one's own from."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from string import Template

import click

from core.errors import GatewayError
from gateway.cli.shared import LANGUAGE, saying
from gateway.cli.terminal import echo
from gateway.pages import TEMPLATES
from gateway.queues.store import store_of
from gateway.settings import SPECS

PARTNERS_FILE, SETTINGS_FILE, SPECS_FOLDER = "partners.toml", "gateway.env", "eccrd_specs"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@LANGUAGE
def init(folder: Path, lang: str) -> None:
    """Write the files that a gateway of your own needs.

    Into a new or empty FOLDER: a settings file (gateway.env) with every variable, a partners' file with one example,
    and a copy of the specification packs to edit. What to run next is printed.

    Exit code: 0 written, 2 the folder is not empty or cannot be written.
    """
    home = folder.resolve()
    settings = _settings(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            raise GatewayError(f"{folder} is not empty: init writes into a new or an empty folder, over nothing")
        _write(home, settings)
    except OSError as error:
        raise GatewayError(f"{folder}: cannot be written: {error.strerror}") from error
    echo(_told(home, lang))


def _settings(home: Path) -> str:
    """Return the text of the settings file; raises GatewayError where no URL can name a file in the folder."""
    queue = home / "run" / "queue.db"
    broker = f"sqlite:///{queue}"
    if store_of(broker).path != queue:
        raise GatewayError(f"{home}: a '?' in the path would end a database's URL: choose another folder")
    values = {
        "file": home / SETTINGS_FILE,
        "broker": broker,
        "database": f"sqlite:///{home}/run/gateway.sqlite3",
        "partners": home / PARTNERS_FILE,
        "specs": home / SPECS_FOLDER,
    }
    template = Template((TEMPLATES / SETTINGS_FILE).read_text("utf-8"))
    return template.substitute({name: shlex.quote(str(value)) for name, value in values.items()})


def _write(home: Path, settings: str) -> None:
    """Write everything, or leave the folder as empty as it was; raises OSError."""
    try:
        # Bytes alone: an installation's files may be read-only, these are to be edited.
        for source in (path for path in SPECS.rglob("*") if path.is_file()):
            target = home / SPECS_FOLDER / source.relative_to(SPECS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
        (home / PARTNERS_FILE).write_bytes((TEMPLATES / PARTNERS_FILE).read_bytes())
        # Only for its owner from its first moment: passwords of broker and database will stand in it.
        descriptor = os.open(home / SETTINGS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(settings)
    except OSError:
        shutil.rmtree(home / SPECS_FOLDER, ignore_errors=True)
        for name in (PARTNERS_FILE, SETTINGS_FILE):
            (home / name).unlink(missing_ok=True)
        raise


def _told(home: Path, lang: str) -> str:
    """Return what was written, and the commands to run next."""
    say = saying(lang)
    messages = shlex.quote(str(home / "messages"))
    return "\n".join(
        (
            say(f"Written into {home}:", f"Écrit dans {home} :"),
            f"  {SETTINGS_FILE:16}" + say("the settings, each explained", "les paramètres, chacun expliqué"),
            f"  {PARTNERS_FILE:16}"
            + say("who may send for whom: one example, made up", "qui peut envoyer pour qui : un exemple inventé"),
            f"  {SPECS_FOLDER + '/':16}"
            + say("the specification packs, a copy to edit", "les ensembles de spécifications, une copie à modifier"),
            "",
            say("Next:", "Ensuite :"),
            f"  set -a; . {shlex.quote(str(home / SETTINGS_FILE))}; set +a",
            "  gateway doctor --declare",
            f"  gateway samples make --count 1 --out {messages}",
            f"  gateway check {messages}",
            "  gateway serve --with-reference-engine",
        )
    )
