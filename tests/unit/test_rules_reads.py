"""What rules read is declared: a pack that names an element otherwise is told so at load, or judges as before."""

from __future__ import annotations

import ast
import csv
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.declaration import Declaration, Level, MessageType, Value
from core.dictionary import NEEDED
from core.errors import SpecError
from core.loading import load
from core.register import Register, effect_of
from core.specs import Pack, Specs
from core.transmission import Received, Syntax
from gateway.cli.main import main
from gateway.plans import prepare
from gateway.trade import samples
from gateway.trade.breaking import faults, faulty
from gateway.trade.maker import Maker
from gateway.trade.samples import DRAWS, Sample
from tests.support.packs import (
    DAY,
    PARTNER,
    ROOT,
    add_remedy,
    copy,
    edit,
    judged,
    original,
    rewrite,
    sent,
    set_field,
)
from validators.checks import CHECKS, Role
from validators.elements import Dictionary, check_elements
from validators.rulebook import SUBJECTS, Rulebook, apply_rules

PLANS = prepare(ROOT)
SPECS = PLANS.specs
NAMES = sorted({name for pack in SPECS.packs for name in pack.elements})


# ------------------------------------------------------------------------------------------------ the defect


def test_renaming_an_element_does_not_remove_a_refusing_rule(tmp_path: Path) -> None:
    """The pack was called well, and a wrong invoice total was accepted."""
    folder = copy(tmp_path)
    rename(folder, "vfd_code", "valuation_code")
    with pytest.raises(SpecError) as caught:
        prepare(folder)
    assert (caught.value.file, caught.value.row) == ("chapter24/rules.csv", row_of("CAD-0193"))
    assert "invoice_total reads vfd_code, which is no element of the dictionary" in str(caught.value)
    told = CliRunner().invoke(main, ["rules"], env={"GATEWAY_SPECS": str(folder)})
    assert (told.exit_code, len(told.stderr.splitlines())) == (2, 1)


def test_a_row_maps_what_its_check_reads_to_the_packs_own_name(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    rename(folder, "vfd_code", "valuation_code")
    for rule in ("CAD-0193", "CAD-0194"):
        set_field(folder / "chapter24/rules.csv", rule, "reads", "vfd_code=valuation_code")
    theirs = prepare(folder)
    wrong = original(PLANS, invoice_value=Decimal("1.00"))
    body = sent(wrong, PLANS, Syntax.XML)
    sample = Sample((samples.SampleMessage(MessageType.DECLARATION, wrong),), None, theirs.specs, PARTNER, PARTNER)
    (one,) = samples.play(sample, [body], DAY, theirs)
    assert [finding.code for finding in one.findings] == ["CAD-0194"]


def test_a_new_cad_type_takes_a_row_and_has_its_rules(tmp_path: Path) -> None:
    """The usage table has no column for it, so it is one of all others there; its rules were not asked at all."""
    folder = copy(tmp_path)
    rewrite(folder / "codes/cad_type.csv", lambda rows: [*rows, rows[1] | {"code": "K"}])
    set_field(folder / "chapter24/rules.csv", "CAD-0126", "when", "cad_type = K")
    theirs = prepare(folder)
    body = sent(original(theirs, cad_type="K", importer_bn="999999907RM0001"), theirs, Syntax.EDIFACT)
    assert [code for code, _ in judged(body, theirs)] == ["CAD-0126"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("outside=85-2955-1", "outside=85-2955-4", "85-2955-4 is no code of special_authority"),
        ("places=US MX", "places=USA MX", "USA is no code of country"),
        ("subject=Y", "subject=J", "J is no code of indicator"),
        ("plain=13 23", "plain=13 32", "32 is no code of vfd_code"),
        ("until=2024-10-20; consolidated=TT", "until=2024-10-20; consolidated=T", "T is no code of cad_type"),
        ("reasons=reason_code_1 reason_code_2 reason_code_3", "reasons=reason_code_1", "trade_program_2 with none"),
        ("kind=refund; ranks", "kind=refunds; ranks", "refunds is none of the ranks"),
    ],
)
def test_a_row_by_which_a_check_could_not_run_is_told_at_load(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """Of most nothing was ever heard, one crashed on traffic."""
    folder = copy(tmp_path)
    table = next(path for path in sorted(folder.glob("*/rules.csv")) if old in path.read_text("utf-8"))
    edit(table, old, new)
    with pytest.raises(SpecError, match=reason):
        prepare(folder)


# ------------------------------------------------------------------------------------------------ every element


def rename(folder: Path, old: str, new: str, files: str = "elements usage") -> None:
    """Rename an element as a pack's author would: in the dictionary, and where the dictionary speaks of it."""
    for path in (path for kind in files.split() for path in sorted(folder.glob(f"*/{kind}.csv"))):
        word = re.compile(rf"\b{old}\b")

        def renamed(rows: list[dict[str, str]], word: re.Pattern[str] = word) -> list[dict[str, str]]:
            told = ("element", "list_day", "currency", "when", "parameter", "reads")
            return [row | {column: word.sub(new, row[column]) for column in told if column in row} for row in rows]

        rewrite(path, renamed)


def row_of(rule: str) -> int:
    with (ROOT / "chapter24/rules.csv").open(encoding="utf-8", newline="") as file:
        return next(number for number, row in enumerate(csv.DictReader(file), 2) if row["id"] == rule)


def renamed_level(level: Level, old: str, new: str) -> Level:
    def named(values: dict[str, Value]) -> dict[str, Value]:
        return {new if name == old else name: value for name, value in values.items()}

    return replace(level, values=named(dict(level.values)), more=named(dict(level.more)))


def renamed_declaration(declaration: Declaration, old: str, new: str) -> Declaration:
    invoices = tuple(
        replace(renamed_level(each, old, new), commodities=tuple(renamed_level(j, old, new) for j in each.commodities))
        for each in declaration.invoices
    )
    return replace(renamed_level(declaration, old, new), invoices=invoices)


@cache
def broken() -> list[Sample]:
    """A message for each rule that breaks it alone."""
    rules = {rule.id for pack in SPECS.packs for rule in pack.rules}
    made = (faulty(code, Maker(random.Random(code), SPECS, PARTNER, DAY))[1] for code in faults(SPECS) if code in rules)
    return [sample for sample in made if sample.specs is SPECS]


def found(specs: Specs, old: str, new: str) -> list[set[str]]:
    """What each sample is found to have, by a specification that has renamed an element."""
    packs: dict[MessageType, Pack] = {type_: pack for pack in specs.packs for type_ in pack.types.values()}
    dictionaries = {pack.key: Dictionary(pack, specs) for pack in specs.packs}
    rulebooks = {pack.key: Rulebook(pack, specs) for pack in specs.packs}
    codes = []
    for sample in broken():
        register = Register()
        for step in sample.steps:
            declaration = renamed_declaration(step.declaration, old, new)
            pack, now = packs[step.type], samples.moment_of(DAY)
            faults_ = [
                *check_elements(declaration, step.type, dictionaries[pack.key]),
                *apply_rules(step.type, declaration, register, Received("1", "", b"", now), rulebooks[pack.key]),
            ]
            effect = effect_of(step.type, declaration, PARTNER.id, register, now, specs.calendar)
            register = register.with_effect(effect).with_version(replace(effect, **step.remembered))
        codes.append({fault.code for fault in faults_})
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_element_renamed_is_told_at_load_or_judged_as_before(tmp_path: Path, name: str) -> None:
    folder = copy(tmp_path)
    rename(folder, name, "renamed_element")
    told = None
    try:
        specs = load(folder)
        for pack in specs.packs:
            Rulebook(pack, specs)
    except SpecError as error:
        told = str(error)
    if told:
        assert name in told
        return
    assert name not in NEEDED
    assert found(specs, name, "renamed_element") == found(SPECS, name, name)


def test_what_the_gateway_reads_by_name_is_told_in_one_line(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    for name in ("line_number", "cad_type"):
        rename(folder, name, f"other_{name}", "elements usage rules")
    with pytest.raises(SpecError, match="lacks cad_type, line_number, which the gateway reads by name"):
        load(folder)
    other = copy(tmp_path / "other")
    set_field(other / "chapter24/elements.csv", "line_number", "format", "an..5")
    with pytest.raises(SpecError, match="the gateway reads line_number by name, as a number of level commodity"):
        load(other)


# ------------------------------------------------------------------------------------------------ the code


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("module", SUBJECTS, ids=lambda module: module.__name__)
def test_a_rules_code_gets_at_elements_only_by_what_its_check_declares(module: object) -> None:
    """No element's name stands in a function, and each role that a check uses, itself or by a helper, it declares."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    roles = {name: role for name, role in vars(module).items() if isinstance(role, Role)}
    used: dict[str, set[str]] = {}
    calls: dict[str, set[str]] = {}
    for function in functions(tree):
        inner = [node for part in function.body for node in ast.walk(part)]
        placeholders = {
            key for node in inner if isinstance(node, ast.Dict) for key in node.keys
        }  # of the finding's text
        literals = {node.value for node in inner if isinstance(node, ast.Constant) and node not in placeholders}
        assert not literals & set(NAMES), function.name
        used[function.name] = {node.id for node in inner if isinstance(node, ast.Name)} & set(roles)
        calls[function.name] = {node.id for node in inner if isinstance(node, ast.Name)}
    for name in set(used) & set(CHECKS):
        reached, todo = set[str](), [name]
        while todo:
            each = todo.pop()
            if each not in reached:
                reached.add(each)
                todo += calls[each] & set(used)
        needed = {roles[role] for each in reached for role in used[each]}
        assert needed == set(CHECKS[name].reads), name


def test_every_check_of_the_packs_is_registered_and_every_check_is_used() -> None:
    named = {rule.check for pack in SPECS.packs for rule in pack.rules}
    generic = {"one_of_when", "none_of_when"}  # for rules to come
    assert named <= set(CHECKS)
    assert set(CHECKS) - named <= generic


# ------------------------------------------------------------------------------------------------ breaks.csv


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("CAD-0101,original", "CAD-0999,original", "there is no rule or finding CAD-0999"),
        ("CAD-0102,original", "CAD-0101,original", "CAD-0101 is given twice"),
        ("CAD-0101,original", "CAD-0101,unusual", "kind is one of"),
        ("=@wrong_number", "=@odd_number", "there is no 'odd_number'"),
        ("importer_bn=@wrong_business", "importer=@wrong_business", "there is no element importer"),
        ("late_release", "early_release", "there is no 'early_release'"),
        ("quantity=0", "quantity=none", "'none' is no quantity"),
        ("line_count=2", "line_count 2", "cannot read 'line_count 2'"),
    ],
)
def test_a_row_that_breaks_nothing_is_told_with_file_row_and_reason(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    folder = copy(tmp_path)
    edit(folder / "chapter24/breaks.csv", old, new)
    with pytest.raises(SpecError, match=re.escape(reason)) as caught:
        faults(load(folder))
    assert caught.value.file == "chapter24/breaks.csv"
    assert caught.value.row


def test_a_rule_with_a_generic_check_takes_a_row_and_one_that_breaks_it(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    text = "With mode {value} the carrier is needed.,Avec le mode {value} il faut le transporteur.,a book,un livre"
    for file, row in (
        ("rules", f"CAD-0901,required_when,carrier_code,cad_type = AB and transport_mode = 2,,refuse,{text},high,,,\n"),
        ("breaks", "CAD-0901,original,AB,transport_mode=2; carrier_code=ABCD,carrier_code=,,,,\n"),
    ):
        path = folder / f"chapter24/{file}.csv"
        path.write_text(path.read_text(encoding="utf-8") + row, encoding="utf-8")
    add_remedy(folder, "CAD-0901")
    theirs = prepare(folder)
    failing = faulty("CAD-0901", Maker(random.Random(1), theirs.specs, PARTNER, DAY))[1]
    made = samples.make(lambda: failing, Syntax.EDIFACT, DAY, "S", theirs)
    assert made.good


# ------------------------------------------------------------------------------------------------ drawing again


def test_a_sample_is_drawn_again_until_no_other_rule_objects() -> None:
    good = Maker(random.Random(1), SPECS, PARTNER, DAY).story("AB")
    bad = faulty("CAD-0004", Maker(random.Random(1), SPECS, PARTNER, DAY))[1]
    draws = iter([replace(bad, code=None), replace(bad, code="CAD-0101"), good])
    made = samples.make(lambda: next(draws), Syntax.XML, DAY, "S", PLANS)
    assert (made.good, made.sample) == (True, good)
    drawn = []
    made = samples.make(lambda: drawn.append(1) or replace(bad, code=None), Syntax.XML, DAY, "S", PLANS)
    assert (made.good, len(drawn)) == (False, DRAWS)


def test_what_is_not_judged_as_expected_is_said_in_one_line(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    edit(folder / "breaks.csv", "CAD-0004,original,AB,,office=9999", "CAD-0004,original,AB,,office=0497")
    arguments = [
        "samples",
        "make",
        "--fault",
        "CAD-0004",
        "--day",
        str(DAY),
        "--out",
        str(tmp_path / "o"),
    ]
    told = CliRunner().invoke(main, arguments, env={"GATEWAY_SPECS": str(folder)})
    assert told.exit_code == 1
    assert told.stderr.splitlines() == [
        f"gateway: 00002-original-CAD-0004-fails.xml was made for CAD-0004, judged ''; drawn {DRAWS} times"
    ]
