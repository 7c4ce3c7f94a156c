"""Guide, explain and diff in French use the agency's words: those of the forms BSF945 and BSF946 and of its notices."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import html

from core.declaration import MessageType
from core.transmission import Syntax
from gateway.trade.guide import build
from gateway.trade.samples import Sample, SampleMessage, write
from tests.support.builders import valid_change, valid_declaration
from tests.support.desk import Run, runner
from tests.support.packs import BOTH, DAY, HOME, PARTNER
from tests.support.way import PARTNERS, PLANS, SPECS

# Element -> its label on the French form, as BSF946-FR prints it (case apart).
LABELS = {
    "transaction_number": "DDC n° de transaction",
    "release_prior_to_payment": "PMAP",
    "unloading_port": "port de débarquement",
    "us_port_of_exit": "bureau de sortie",
    "freight_charges": "frais de fret",
    "notes": "remarques",
    "purchaser_name": "acheteur",
}
TOTALS = {"total_safeguards": "mesures de sauvegarde"}
# What the form has not, in the words that it has for the same.
AKIN = {"safeguard_subject": "mesure de sauvegarde", "safeguard_code": "mesure de sauvegarde"}
GIVEN = {
    "release_prior_to_payment": "Y",
    "unloading_port": "0497",
    "us_port_of_exit": "3004",
    "freight_charges": Decimal(20),
    "notes": "Fragile",
    "purchaser_name": "Ateliers Érable ltée",
    "safeguard_subject": "Y",
    "safeguard_code": "SF10",
}

# What stood in their place once, and no French text may say again.
WRONG = re.compile(
    r"DDMC|avis des douanes|déclaration en détail des marchandises|\bMAP\b|port de déchargement|port de sortie|"
    r"frais de transport|sauvegardes",
    re.IGNORECASE,
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    build(PLANS, folder, HOME / "samples", PARTNERS)
    return folder / "fr"


def shown(path: Path) -> str:
    return " ".join(html.document_fromstring(path.read_text(encoding="utf-8")).text_content().split())


def files(folder: Path, syntax: Syntax) -> list[str]:
    """Write an original and a correction in which every labelled element is given, and changed."""
    first = valid_declaration(**GIVEN, transaction_number="12345000000012")
    second = valid_change(**dict.fromkeys(GIVEN), transaction_number="12345000000012")
    steps = (SampleMessage(MessageType.DECLARATION, first), SampleMessage(MessageType.CORRECTION, second))
    paths = []
    for number, body in enumerate(write(Sample(steps, None, SPECS, PARTNER, PARTNER), syntax, DAY, "S")):
        path = folder / f"{number}.{syntax}"
        path.write_bytes(body)
        paths.append(str(path))
    return paths


def test_each_labelled_element_is_named_as_on_the_form() -> None:
    elements = SPECS.packs[-1].elements
    for name, label in {**LABELS, **TOTALS, **AKIN}.items():
        assert label.lower() in elements[name].title.fr.lower()


def test_the_guide_has_the_forms_labels(guide: Path) -> None:
    said = " ".join(shown(path) for path in sorted(guide.glob("*.html"))).lower()
    for label in (*LABELS.values(), *TOTALS.values(), "déclaration en détail commerciale", "DDC", "avis de douanes"):
        assert label.lower() in said, label
    for abbreviation in ("PCG", "PCC", "PAD"):
        assert f"({abbreviation.lower()})" in said


def test_no_page_of_the_guide_has_a_word_that_is_not_the_agencys(guide: Path) -> None:
    for path in sorted(guide.glob("*")):
        assert not WRONG.search(path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("syntax", BOTH)
def test_explain_and_diff_have_the_forms_labels(syntax: Syntax, run: Run, tmp_path: Path) -> None:
    first, second = files(tmp_path, syntax)
    page = tmp_path / "page.html"
    assert run("explain", first, "--as", "maple", "--lang", "fr", "--html", str(page)).exit_code == 0
    explained = shown(page)
    differing = " ".join(run("diff", first, second, "--lang", "fr").stdout.split())
    for said in (explained, differing):
        assert not WRONG.search(said)
        for name, label in {**LABELS, **AKIN}.items():
            if name in GIVEN:
                assert label.lower() in said.lower(), label
                assert SPECS.packs[-1].elements[name].title.fr.lower() in said.lower(), name
    assert "DDC 12345000000012" in explained
    assert "DDC 12345000000012" in differing


def test_no_table_has_a_word_that_is_not_the_agencys() -> None:
    for path in sorted((HOME / "eccrd_specs").rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for column, text in row.items():
                    if column.endswith("_fr"):
                        assert not WRONG.search(text), (path.name, text)
