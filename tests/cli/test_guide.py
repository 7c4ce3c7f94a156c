from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from lxml import html

from core.declaration import Commodity, Declaration, Invoice, MessageType, Value
from core.specs import Element, Specs
from gateway.cli.main import main
from gateway.plans import Plans, prepare
from gateway.trade.guide import build
from parsers.places import edifact_steps
from routing.partners import load_partners
from tests.support.packs import HOME, ROOT, copy, rewrite
from validators.elements import Dictionary, check_elements

LANGUAGES = ("en", "fr")

NAMED = re.compile(r"<([A-Z]\w+)[ >/]")


@pytest.fixture(scope="module")
def plans() -> Plans:
    return prepare(ROOT)


@pytest.fixture(scope="module")
def specs(plans: Plans) -> Specs:
    return plans.specs


@pytest.fixture(scope="module")
def site(plans: Plans, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    build(plans, folder, HOME / "samples", load_partners(HOME / "samples/partners.toml"))
    return folder


def pages(site: Path) -> Iterator[tuple[Path, html.HtmlElement]]:
    for path in sorted(site.rglob("*.html")):
        yield path, html.document_fromstring(path.read_text(encoding="utf-8"))


def page(site: Path, language: str, file: str) -> html.HtmlElement:
    return html.document_fromstring((site / language / file).read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------ it is what is done


def test_a_rule_is_listed_under_every_element_that_it_reads(plans: Plans, site: Path) -> None:
    for pack in plans.specs.packs:
        shown = page(site, "en", f"message-{pack.id}-{pack.version}.html")
        for bound in plans.checks.packs[pack.key].rulebook.bound:
            for name in bound.reads:
                row = shown.get_element_by_id(name)
                assert bound.rule.id in row.text_content(), (bound.rule.id, name)


def some(element: Element, specs: Specs) -> Value:
    """Return any value of the element's format, a code of its list if it has one."""
    if element.code_list:
        codes = specs.code_lists[element.code_list].codes
        return next(code for code in codes if element.format.pattern.fullmatch(code))
    if element.format.kind == "date":
        return date(2026, 11, 20)
    text = "1" * element.format.min if element.format.notation.startswith("n") else "A" * element.format.min
    return element.format.read(text)


def verdict(element: Element, column: str, dictionary: Dictionary) -> str:
    """Return M, O or X as the validator treats a declaration with and without the element."""
    pack, specs = dictionary.pack, dictionary.specs
    types = set(pack.types.values())
    withdraw = column == "withdraw"
    kind = MessageType.WITHDRAW if withdraw else next(iter(types - {MessageType.WITHDRAW}))
    found = []
    for given in (False, True):
        levels: dict[str, dict[str, Value]] = {"declaration": {}, "invoice": {}, "commodity": {}}
        if not withdraw:
            levels["declaration"]["cad_type"] = column
        if given:
            levels[element.level].setdefault(element.name, some(element, specs))
        elif not (element.name == "cad_type" and not withdraw):
            levels[element.level].pop(element.name, None)
        lines = (Commodity(levels["commodity"]),)
        declaration = Declaration(levels["declaration"], invoices=(Invoice(levels["invoice"], commodities=lines),))
        faults = check_elements(declaration, kind, dictionary)
        found.append({fault.code for fault in faults if fault.address and fault.address.element == element.name})
    without, having = found
    return "M" if "CAD-0001" in without else "X" if "CAD-0005" in having else "O"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_usage_shown_is_the_usage_that_is_checked(site: Path, specs: Specs, language: str) -> None:
    for pack in specs.packs:
        dictionary = Dictionary(pack, specs)
        cells = page(site, language, f"message-{pack.id}-{pack.version}.html").xpath("//td[@data-element]")
        shown = {(cell.get("data-element"), cell.get("data-column")): cell.text for cell in cells}
        elements = [element for element in pack.elements.values() if element.direction == "in"]
        columns = {column for _, column in shown}
        assert set(specs.code_lists["cad_type"].codes) <= columns
        for element in elements:
            for column in columns:
                if element.name == "cad_type" and column != "withdraw":
                    continue  # the type itself names the column
                found = verdict(element, column, dictionary)
                assert shown[element.name, column] == found, (pack.key, element.name, column)


def test_every_place_shown_is_the_dictionarys(site: Path, specs: Specs) -> None:
    for pack in specs.packs:
        shown = page(site, "fr", f"message-{pack.id}-{pack.version}.html")
        for element in pack.elements.values():
            if element.direction == "in":
                (row,) = shown.xpath(f"//tr[@id='{element.name}']")
                xml, edifact = row.xpath(".//code[@class='place']")
                assert (xml.text_content(), edifact.text_content()) == (element.xml_path, element.edifact_place or "—")
                assert element.title.fr in row.text_content()


def test_every_code_shown_is_accepted_in_its_period(site: Path, specs: Specs) -> None:
    for language in LANGUAGES:
        rows = page(site, language, "codes.html").xpath("//tr[@data-list]")
        shown = {(row.get("data-list"), row.get("data-code")) for row in rows}
        assert shown == {(id_, code) for id_, codes in specs.code_lists.items() for code in codes.codes}
        for row in rows:
            start, end = (row.xpath("./td")[n].text for n in (2, 3))
            codes = specs.code_lists[row.get("data-list")]
            for day in filter(None, (start, end)):
                assert codes.find(row.get("data-code"), date.fromisoformat(day)), (codes.id, row.get("data-code"))
            assert codes.find(row.get("data-code"), None if start or end else date(2026, 11, 23))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_finding_has_its_anchor_and_both_its_words(site: Path, specs: Specs, language: str) -> None:
    shown = page(site, language, "findings.html")
    codes = {*specs.findings, *(rule.id for pack in specs.packs for rule in pack.rules)}
    for code in codes:
        (row,) = shown.xpath(f"//tr[@id='{code}']")
        severity = row.xpath(".//span[contains(@class, 'tag')]")[0].get("class")
        finding = specs.findings.get(code) or next(
            rule.finding for pack in specs.packs for rule in pack.rules if rule.id == code
        )
        assert severity == f"tag {finding.severity}"
        longest = max(re.split(r"\{\w+\}", finding.text.speak(language)), key=len)
        assert longest in row.text_content()


def test_rules_and_segments_are_shown(site: Path, specs: Specs) -> None:
    rules = page(site, "en", "rules.html")
    for pack in specs.packs:
        for rule in pack.rules:
            assert rules.xpath(f"//tr[@id='{rule.id}']"), rule.id
    segments = page(site, "en", "segments.html").xpath("//table[@class='segments']/tbody/tr")
    assert [row.xpath("./td")[0].text_content().strip() for row in segments] == [r.tag for r in specs.packs[0].profile]


def test_examples_are_shown_with_their_answers(site: Path) -> None:
    shown = page(site, "en", "examples.html")
    with (HOME / "samples/run.csv").open(encoding="utf-8", newline="") as table:
        files = {row["file"] for row in csv.DictReader(table)}
    assert len(files) > 20
    for file in files:
        (example,) = shown.xpath(f"//details[@id='{file.replace('/', '-')}']")
        assert example.xpath(".//pre"), file
        assert example.xpath(".//pre[@class='answer']"), file


# ------------------------------------------------------------------------------------------------ it is a good site


def test_every_element_of_a_response_is_explained(site: Path) -> None:
    examples = "".join(page(site, "en", "examples.html").xpath("//pre/text()"))
    written = {
        name
        for response in examples.split("<Response ")[1:]
        for name in NAMED.findall(response.split("</Response>")[0])
    }
    explained = " ".join(page(site, "en", "answers.html").itertext())
    assert {"Declaration", "EffectiveDateTime"} < written
    assert {name for name in written if not re.search(rf"\b{name}\b", explained)} == set()


def test_every_element_of_a_govcbr_answer_is_explained(site: Path, specs: Specs) -> None:
    """Each stands in the table of places, counted with the tag, or by its UN number in the table of codes."""
    shown = page(site, "en", "answers.html")
    explained = set()
    for code in shown.xpath("//table[@id='govcbr-places']//code"):
        place = code.text_content()
        notation = place if place[0].isdigit() else f"0/{place}"
        steps = edifact_steps(notation, ("answers.html", None))
        explained |= {(steps.tag, at.element) for at in (steps.position, *(each.position for each in steps.conditions))}
        explained |= {(group.trigger, each.position.element) for group in steps.groups for each in group.conditions}
    codes = " ".join(shown.xpath("//h2[@id='edifact']/following::table[1]//td[1]//text()"))
    with (ROOT / "edifact/d13a/segments.csv").open(encoding="utf-8") as table:
        by_number = {(row["tag"], row["element"]): int(row["position"]) for row in csv.DictReader(table)}
    explained |= {
        (tag, by_number[tag, composite or element])
        for tag, composite, element in re.findall(r"([A-Z]{3}) (?:(C\d{3})/)?(\d{4})", codes)
    }
    written = set()
    for text in page(site, "en", "examples.html").xpath("//pre[@class='answer']/text()"):
        if "\nBGM+" in text:
            for segment in text.replace("?'", "").split("'\n"):
                tag, *elements = re.split(r"(?<!\?)\+", segment.strip())
                written |= {(tag, number) for number, element in enumerate(elements, 1) if element}
    ours = {(tag, number) for tag, number in written if tag not in ("UNA:", "UNT", "UNZ")}
    assert len(ours) > 30
    envelope = {("UNB", number) for number in range(1, 6)} | {("UNH", 2)}
    assert ours - explained - envelope == set()
    assert specs.packs[0].edifact_answer[0] == "GOVCBR"


def test_every_place_is_counted_with_the_tag(site: Path) -> None:
    """The place that an answer gives of a fault is the one that the element's own page has."""
    row = page(site, "en", "message-chapter24-1.00.html").get_element_by_id("transaction_number")
    (place,) = row.xpath("./td[@data-place='edifact']/code")
    answers = "".join(page(site, "en", "examples.html").xpath("//pre[@class='answer']/text()"))
    assert place.text_content() == "0/BGM/3.1"
    assert "segment 2, element 3, component 1" in answers
    (segments,) = page(site, "en", "segments.html").xpath(
        "//a[@href='message-chapter24-1.00.html#transaction_number']/.."
    )
    assert "3.1" in segments.text_content()


@pytest.mark.parametrize("language", LANGUAGES)
def test_rules_of_one_message_alone_are_told_in_words(site: Path, specs: Specs, language: str) -> None:
    declaration, change = (page(site, language, f"message-{pack.id}-{pack.version}.html") for pack in specs.packs)
    assert not declaration.xpath("//h2[@id='own-rules']")
    links = change.xpath("//h2[@id='own-rules']/following::table[1]//a/text()")
    assert sorted(links) == sorted({rule.id for rule in specs.packs[1].rules} - {r.id for r in specs.packs[0].rules})


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_usage_to_download_is_the_usage_shown(site: Path, specs: Specs, language: str) -> None:
    with (site / "downloads/usage.csv").open(encoding="utf-8") as file:
        given = {(row["pack"], row["element"], row["cad_type"]): row["use"] for row in csv.DictReader(file)}
    shown = {
        (pack.key, cell.get("data-element"), cell.get("data-column")): cell.text
        for pack in specs.packs
        for cell in page(site, language, f"message-{pack.id}-{pack.version}.html").xpath("//td[@data-column]")
    }
    assert given == shown


def test_each_page_says_that_it_is_reconstructed(specs: Specs, site: Path) -> None:
    for path, tree in pages(site):
        french = path.parent.name == "fr"
        said = "reconstituée à partir de sources publiques" if french else "reconstructed from public sources"
        assert said in tree.text_content(), path
        for pack in specs.packs:
            assert (pack.statement.fr if french else pack.statement.en) in tree.text_content(), path


def test_what_the_guide_says_of_itself_is_the_packs_word(tmp_path: Path) -> None:
    """Whoever puts the real chapter in says so in its manifest, and no page contradicts it."""
    root = copy(tmp_path)
    for chapter in ("24", "26"):
        manifest = root / f"chapter{chapter}/manifest.toml"
        text = re.sub(r'statement = "[^"]*"', 'statement = "the real chapter"', manifest.read_text("utf-8"))
        text = re.sub(r'statement_fr = "[^"]*"', 'statement_fr = "le vrai chapitre"', text)
        manifest.write_text(re.sub(r'edifact = "low: [^"]*"', 'edifact = "high: its chapter 3"', text), "utf-8")
    build(prepare(root), tmp_path / "site", HOME / "samples", load_partners(HOME / "samples/partners.toml"))
    for path, tree in pages(tmp_path / "site"):
        said = tree.text_content()
        assert "reconstructed from public" not in said, path
        assert "reconstituée à partir" not in said, path
        assert ("le vrai chapitre" if path.parent.name == "fr" else "the real chapter") in said, path
        if tree.xpath("//td[@data-place='edifact']"):
            assert set(tree.xpath("//td[@data-place='edifact']//span[starts-with(@class, 'sure')]/@class")) == {
                "sure high"
            }


def test_each_statement_has_its_own_confidence(specs: Specs, site: Path) -> None:
    """An EDIFACT place is low, since that the CAD exists in EDIFACT is assumed, whatever the element's own."""
    for pack in specs.packs:
        tree = page(site, "en", f"message-{pack.id}-{pack.version}.html")
        for name, element in pack.elements.items():
            if element.direction != "in":
                continue
            row = tree.get_element_by_id(name)

            def sure(cell: str, row: html.HtmlElement = row) -> list[str]:
                return list(row.xpath(f"./td[{cell}]//span[starts-with(@class, 'sure')]/@class"))

            assert sure("@class='name'") == [f"sure {element.confidence}"]
            assert sure("@data-place='edifact'") == ["sure low"] * bool(element.edifact_place), name
            assert sure("@data-place='xml'") == [f"sure {element.xml_confidence or 'medium'}"], name
        for kind, said in pack.confidence.items():
            assert f"{pack.key} {kind}" in " ".join(tree.text_content().split()), kind
            assert said.words.en in tree.text_content()


def test_every_link_leads_somewhere_and_nothing_comes_from_outside(site: Path) -> None:
    known = dict(pages(site))
    ids = {path: Counter(node.get("id") for node in tree.xpath("//*[@id]")) for path, tree in known.items()}
    for path, tree in known.items():
        doubled = [one for one, count in ids[path].items() if count > 1]
        assert not doubled, (path, doubled)
        for node in tree.xpath("//*[@href or @src]"):
            link = node.get("href") or node.get("src")
            if link == "data:,":
                continue
            assert not re.match(r"[a-z]+:|//", link), (path, link)
            file, _, anchor = link.partition("#")
            there = (path.parent / file).resolve() if file else path
            assert there.is_file(), (path, link)
            assert not anchor or anchor in ids[there], (path, link)


def test_search_leads_to_real_places(site: Path) -> None:
    for language in LANGUAGES:
        text = (site / language / "index.js").read_text(encoding="utf-8")
        index = json.loads(text.removeprefix("window.INDEX=").rstrip(";\n"))
        assert len(index) > 900
        ids: dict[str, set[str]] = {}
        for _, title, link, _ in index:
            file, _, anchor = link.partition("#")
            if file not in ids:
                ids[file] = {node.get("id") for node in page(site, language, file).xpath("//*[@id]")}
            assert title
            assert not anchor or anchor in ids[file], link


def test_the_same_specification_gives_the_same_guide(site: Path, plans: Plans, tmp_path: Path) -> None:
    build(plans, tmp_path, HOME / "samples", load_partners(HOME / "samples/partners.toml"))
    for path in site.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(site)).read_bytes() == path.read_bytes(), path


def test_the_guide_follows_a_changed_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copy(tmp_path)

    def change(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        new = {**rows[0], "code": "zz", "name_en": "<b>Ship & rail</b>", "name_fr": "Bateau", "confidence": "high"}
        return [*rows, new]

    rewrite(root / "codes/transport_mode.csv", change)
    monkeypatch.setenv("GATEWAY_SPECS", str(root))
    result = CliRunner().invoke(main, ["guide", "--out", str(tmp_path / "site")])
    assert result.exit_code == 0, result.output
    (row,) = page(tmp_path / "site", "en", "codes.html").xpath("//tr[@id='transport_mode.zz']")
    assert "<b>Ship & rail</b>" in row.text_content()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = CliRunner().invoke(main, ["guide", "--out", str(tmp_path / "file" / "site")])
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert len(result.stderr.splitlines()) == 1
