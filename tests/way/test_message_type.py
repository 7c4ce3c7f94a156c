"""A new message type takes the places that docs/house.md names, and no other; without them it is told at load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.declaration import NATURES, MessageType, Nature
from core.errors import SpecError
from gateway.catalogue import TYPE_WORDS
from gateway.plans import check_routes, prepare
from routing.routes import load_routes
from tests.support.packs import HOME, copy, edit

ROOMS = ("core", "eccrd_specs", "edifact", "gateway", "parsers", "responses", "routing", "samples")

# Sends a message of the new type, and asks every command that shows one.
SCRIPT = """
import os
import sys
from pathlib import Path
from click.testing import CliRunner
from gateway.cli.main import main
from tests.support.house import house, settings_in
from tests.support.way import SAMPLES

folder = Path(sys.argv[1])
body = (SAMPLES / "originals/ex-warehouse.xml").read_bytes()
body = body.replace(b"<FunctionCode>9<", b"<FunctionCode>5<")
file = folder / "inquiry.xml"
file.write_bytes(body)
with house(folder) as gateway:
    gateway.send("erable", body)
    gateway.settle_down()
    (row,) = gateway.journal.list_messages(verdict="accepted")
os.environ["GATEWAY_DATABASE_URL"] = settings_in(folder).database_url

def run(*arguments):
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result.output

assert "inquiry 24680" in run("check", "--as", "erable", file)
assert "an inquiry" in run("explain", "--as", "erable", file)
assert "une demande d'information" in run("explain", row["id"], "--lang", "fr")
assert "inquiry" in run("list")
assert "inquiry" in run("show", row["id"])
run("explain", file, "--html", folder / "page.html")
run("guide", "--out", folder / "guide")
assert "inquiry of what is on file" in next((folder / "guide/en").glob("message-chapter24*")).read_text()
run("samples", "make", "--count", "3", "--out", folder / "made")
"""


WORDS = """    MessageType.INQUIRY: TypeWords(
        title=Bilingual("inquiry of what is on file", "demande sur ce qui est au dossier"),
        sentence=Bilingual("an inquiry", "une demande d'information"),
        short=Bilingual("inquiry", "demande"),
        feminine=True,
    ),
"""


def places() -> str:
    """Return the row of docs/house.md that says what a new message type takes."""
    (row,) = re.findall(r"^\| a message type \|.*$", (HOME / "docs/house.md").read_text("utf-8"), re.MULTILINE)
    return row


@pytest.mark.slow
def test_a_new_message_type_takes_the_places_that_the_house_names(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for room in (*ROOMS, "tests", "validators"):
        shutil.copytree(HOME / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "hostile"))
    changes = {
        "core/declaration.py": (
            ('    UNKNOWN = "unknown"\n', '    UNKNOWN = "unknown"\n    INQUIRY = "inquiry"\n'),
            ("NATURES = {\n", "NATURES = {\n    MessageType.INQUIRY: (Nature.ORIGINAL,),\n"),
        ),
        "gateway/catalogue.py": (
            (
                "TYPE_WORDS: Mapping[MessageType, TypeWords] = {\n",
                "TYPE_WORDS: Mapping[MessageType, TypeWords] = {\n" + WORDS,
            ),
        ),
        "routing/routes.csv": (
            ("declaration,original,no", "inquiry,original,no,assessment.requests\ndeclaration,original,no"),
        ),
        "routing/assessment_request.schema.json": (
            ('        "withdraw"\n', '        "withdraw",\n        "inquiry"\n'),
        ),
        "eccrd_specs/chapter24/manifest.toml": (('9 = "declaration"', '9 = "declaration"\n5 = "inquiry"'),),
    }
    for file, edits in changes.items():
        assert f"`{file}`" in places() or Path(file).name in places(), file
        for old, new in edits:
            edit(tree / file, old, new)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], cwd=tree, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("inquiry", "known are correction, declaration, withdraw, and a new one needs the places that docs/house.md"),
        ("unknown", "unknown is no message type that a sender may send"),
    ],
)
def test_a_message_type_that_only_data_knows_is_told_at_load(tmp_path: Path, type_: str, reason: str) -> None:
    """The manifest alone ended in a traceback of `check` and `explain`."""
    folder = copy(tmp_path)
    edit(folder / "chapter24/manifest.toml", '9 = "declaration"', f'9 = "declaration"\n5 = "{type_}"')
    with pytest.raises(SpecError, match=reason) as caught:
        prepare(folder)
    assert caught.value.file == "chapter24/manifest.toml"
    assert len(str(caught.value).splitlines()) == 1


def test_a_message_type_without_a_route_is_told_at_load() -> None:
    specs = prepare(HOME / "eccrd_specs").specs
    routes = {key: queue for key, queue in load_routes().items() if key[1] is not Nature.ADJUSTMENT}
    with pytest.raises(SpecError, match=r"chapter26 1\.00 reads a correction, and no row routes it as adjustment"):
        check_routes(specs, routes)


def test_every_message_type_has_its_words_its_natures_and_its_routes() -> None:
    assert set(TYPE_WORDS) == set(MessageType)
    assert set(NATURES) == set(MessageType) - {MessageType.UNKNOWN}
    assert {nature for natures in NATURES.values() for nature in natures} == set(Nature)
    routed = {(type_, nature) for type_, nature, _ in load_routes()}
    assert {(type_, nature) for type_, natures in NATURES.items() for nature in natures} == routed
