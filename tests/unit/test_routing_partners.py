"""Partners and routes: deployment data, and one clear line for every mistake in them."""

from datetime import date
from pathlib import Path

import pytest

from core.calendar import Period
from core.declaration import MessageType, Nature
from core.errors import GatewayError
from core.partner import Agreement
from routing.partners import inbound_queue, load_partners, not_ours, unnumbered
from routing.routes import destination, load_routes

SAMPLES = Path(__file__).parents[2] / "samples"

GOOD = """
[[partner]]
id = "maple"
name = "Maple"
envelopes = ["MAPLE"]
answer_queue = "out.maple"
[[partner.authority]]
bn = "123456782RM0001"
from = 2025-01-01
to = 2025-06-30
"""


def load(tmp_path: Path, text: str):
    file = tmp_path / "partners.toml"
    file.write_text(text, encoding="utf-8")
    return load_partners(file)


def test_the_sample_partners():
    partners = load_partners(SAMPLES / "partners.toml")
    maple, erable = partners["maple"], partners["erable"]
    assert (maple.language, maple.envelopes, maple.answer_queue) == ("en", ("MAPLEBROKER",), "out.maple")
    assert (erable.language, erable.envelopes, erable.answer_queue) == ("fr", ("ERABLECOURTIER",), "out.erable")
    assert erable.name == "Courtiers en douane Érable inc."
    assert maple.authorities["812345007RM0001"] == (Period(date(2024, 10, 21), date(2025, 6, 30)),)
    assert maple.contrl
    assert not erable.contrl
    assert inbound_queue("maple") == "in.maple"


def test_an_importer_may_have_several_periods(tmp_path):
    again = '[[partner.authority]]\nbn = "123456782RM0001"\nfrom = 2026-01-01\n'
    periods = load(tmp_path, GOOD + again)["maple"].authorities["123456782RM0001"]
    assert periods == (Period(date(2025, 1, 1), date(2025, 6, 30)), Period(date(2026, 1, 1), None))


IMPORTER = '[[importer]]\nbn = "123456782RM0001"\ncsa_period = "month"\n'


def test_the_period_that_a_csa_importer_chose_is_known_to_every_partner(tmp_path):
    other = GOOD.replace("maple", "erable").replace("MAPLE", "ERABLE")
    partners = load(tmp_path, GOOD + other + IMPORTER)
    assert {id_: each.choices for id_, each in partners.items()} == {
        "maple": {"123456782RM0001": "month"},
        "erable": {"123456782RM0001": "month"},
    }
    assert load(tmp_path, GOOD)["maple"].choices == {}


def test_goods_of_an_importer_may_be_released_on_an_interim_accounting(tmp_path):
    said = IMPORTER.replace('csa_period = "month"', "interim_accounting = true")
    assert load(tmp_path, GOOD + said)["maple"].choices == {"123456782RM0001": "interim"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("csa_period", "csa_periods", "csa_periods"),
        ('"month"', '"week"', "week"),
        ("123456782RM0001", "123456782", "is not an importer's BN15"),
        ("123456782RM0001", "123456783RM0001", "is not an importer's BN15"),
        (IMPORTER, IMPORTER + IMPORTER, "is used twice"),
        ('csa_period = "month"', "", "either a csa_period or interim_accounting"),
        ('csa_period = "month"', 'csa_period = "month"\ninterim_accounting = true', "either a csa_period or interim"),
    ],
)
def test_an_importer_that_cannot_be_is_one_line(tmp_path, old, new, reason):
    with pytest.raises(GatewayError, match=reason) as caught:
        load(tmp_path, GOOD + IMPORTER.replace(old, new))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('id = "maple"', 'id = "Maple Ltd"', "id"),
        ('id = "maple"', "", "id"),
        ('name = "Maple"', "name = 3", "name"),
        ('envelopes = ["MAPLE"]', "envelopes = []", "envelopes"),
        ('envelopes = ["MAPLE"]', 'envelopes = ["MAPLE", "MAPLE"]', "envelopes"),
        ('answer_queue = "out.maple"', 'answer_queue = "in.maple"', "answer_queue"),
        ('name = "Maple"', 'name = "Maple"\nlanguage = "de"', "language"),
        ('name = "Maple"', 'name = "Maple"\nlangauge = "fr"', "langauge"),
        ("123456782RM0001", "123456789RM0001", "bn"),
        ("123456782RM0001", "123456782RT0001", "bn"),
        ("123456782RM0001", "123456782RM0000", "bn"),
        ("123456782RM0001", "000000000RM0001", "bn"),
        ("123456782RM0001", "123456782RM001", "bn"),
        ("to = 2025-06-30", "to = 2024-06-30", "from"),
        ("to = 2025-06-30", 'to = "soon"', "to"),
        ("[[partner]]", "[[partner", ""),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path, old, new, key):
    with pytest.raises(GatewayError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    line = str(caught.value)
    assert "\n" not in line
    assert "partners.toml" in line
    assert key in line


def test_two_partners_share_nothing_that_tells_them_apart(tmp_path):
    with pytest.raises(GatewayError, match="id: 'maple' is used twice"):
        load(tmp_path, GOOD + GOOD)


def test_a_missing_file_and_bytes_that_are_not_text(tmp_path):
    with pytest.raises(GatewayError, match="cannot be read"):
        load_partners(tmp_path / "none.toml")
    (tmp_path / "noise.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GatewayError, match=r"noise\.toml"):
        load_partners(tmp_path / "noise.toml")


def test_every_accepted_kind_has_a_route_and_tests_never_meet_production():
    routes = load_routes()
    kinds = [
        (MessageType.DECLARATION, Nature.ORIGINAL),
        (MessageType.CORRECTION, Nature.CORRECTION),
        (MessageType.CORRECTION, Nature.ADJUSTMENT),
        (MessageType.WITHDRAW, Nature.WITHDRAWAL),
    ]
    production = {destination(routes, *kind, False) for kind in kinds}
    tests = {destination(routes, *kind, True) for kind in kinds}
    assert production == {"assessment.requests"}
    assert tests == {"assessment.requests.test"}


def test_no_row_no_route():
    with pytest.raises(GatewayError, match="no route for unknown"):
        destination(load_routes(), MessageType.UNKNOWN, Nature.ORIGINAL, False)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("declaration,original,no,", "no destination"),
        ("declaration,novel,no,queue", "nature cannot be 'novel'"),
        ("declaration,original,perhaps,queue", "test cannot be 'perhaps'"),
        ("declaration,original,no,a\ndeclaration,original,no,b", "repeats"),
    ],
)
def test_a_route_that_cannot_be_used(tmp_path, row, reason):
    table = tmp_path / "routes.csv"
    table.write_text(f"message_type,nature,test,destination\n{row}\n")
    with pytest.raises(GatewayError, match=f"routes.csv, row .*{reason}"):
        load_routes(table)


def test_the_agreement_is_every_partners(tmp_path: Path) -> None:
    text = (SAMPLES / "partners.toml").read_text(encoding="utf-8").replace("[gateway]\ntests = true\n", "")
    file = tmp_path / "partners.toml"
    file.write_text(f'[gateway]\nids = ["CARM"]\ntests = false\nmax_age_days = 30\n{text}', encoding="utf-8")
    assert {partner.agreement for partner in load_partners(file).values()} == {Agreement(("CARM",), False, 30)}
    file.write_text(f"[gateway]\nmax_age_days = -1\n{text}", encoding="utf-8")
    with pytest.raises(GatewayError, match="max_age_days"):
        load_partners(file)


def test_tests_are_taken_only_where_they_are_asked_for(tmp_path: Path) -> None:
    other = GOOD.replace("maple", "birch").replace("MAPLE", "BIRCH").replace("name =", "tests = true\nname =", 1)
    assert {name: each.agreement.tests for name, each in load(tmp_path, GOOD + other).items()} == {
        "maple": False,
        "birch": True,
    }
    agreed = load(tmp_path, "[gateway]\ntests = true\n" + GOOD + other.replace("tests = true", "tests = false"))
    assert {name: each.agreement.tests for name, each in agreed.items()} == {"maple": True, "birch": False}


BIRCH = GOOD.replace("maple", "birch").replace("MAPLE", "BIRCH")


def with_accounts(text: str, own: str = "", importers: str = "") -> str:
    text = text.replace("name =", f"account_security = [{own}]\nname =", 1) if own else text
    return text.replace("bn =", f"account_security = [{importers}]\nbn =", 1) if importers else text


def test_account_security_numbers_are_a_partners_own_or_an_importers(tmp_path: Path) -> None:
    text = with_accounts(GOOD, '"12345", "54321"') + with_accounts(BIRCH, importers='"67890"')
    maple, birch = load(tmp_path, text).values()
    assert maple.accounts == {"12345": frozenset(), "54321": frozenset()}
    assert maple.others == {"67890"}
    assert birch.accounts == {"67890": {"123456782RM0001"}}
    assert birch.others == {"12345", "54321"}
    assert maple.may_number("12345000000012", None)
    assert not maple.may_number("67890000000012", "123456782RM0001")
    assert not maple.may_number("99999000000012", "123456782RM0001")
    assert birch.may_number("67890000000012", "123456782RM0001")
    assert not birch.may_number("67890000000012", "100000009RM0001")


def test_two_brokers_of_an_importer_use_its_own_account(tmp_path: Path) -> None:
    partners = load(tmp_path, with_accounts(GOOD, importers='"67890"') + with_accounts(BIRCH, importers='"67890"'))
    assert all(each.may_number("67890000000012", "123456782RM0001") for each in partners.values())


@pytest.mark.parametrize(
    "text",
    [
        with_accounts(GOOD, '"12345"') + with_accounts(BIRCH, '"12345"'),
        with_accounts(GOOD, '"12345"') + with_accounts(BIRCH, importers='"12345"'),
        with_accounts(GOOD, importers='"12345"')
        + with_accounts(BIRCH, importers='"12345"').replace("123456782", "100000009"),
        with_accounts(GOOD, '"1234"'),
        with_accounts(GOOD, '"12345\\n"'),
        with_accounts(GOOD, "12345"),
        with_accounts(GOOD, importers='"1234A"'),
    ],
)
def test_an_account_of_two_owners_or_none_at_all_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(GatewayError, match="account_security") as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_who_has_no_account_is_told_by_name(tmp_path: Path) -> None:
    assert unnumbered(load(tmp_path, GOOD + with_accounts(BIRCH, '"12345"')).values()) == ["maple"]


def test_the_next_number_begins_with_an_account_of_ones_own_where_there_is_one(tmp_path: Path) -> None:
    text = with_accounts(with_accounts(GOOD, importers='"67890"'), '"12345"') + with_accounts(
        BIRCH, importers='"67890"'
    )
    partners = load(tmp_path, text)
    assert {name: each.account for name, each in partners.items()} == {"maple": "12345", "birch": "67890"}
    assert load(tmp_path, GOOD)["maple"].account is None


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('id = "maple"', 'id = "maple\\n"', "id"),
        ('name = "Maple"', 'name = "Ma\\u001bple"', "name"),
        ('envelopes = ["MAPLE"]', 'envelopes = ["MA\\u0085PLE"]', "envelopes"),
        ('name = "Maple"', 'name = "Maple"\nuser = "maple\\n"', "user"),
        ("[[partner]]", "[gateway]\nmax_age_days = 99999999999\n[[partner]]", "max_age_days"),
        ("[[partner]]", "[gateway]\nmax_age_days = nan\n[[partner]]", "max_age_days"),
    ],
)
def test_what_is_out_of_range_is_one_line(tmp_path, old, new, key):
    with pytest.raises(GatewayError, match=key) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert len(str(caught.value).splitlines()) == 1


def test_no_partner_is_our_own_user(tmp_path):
    """Its messages would be believed to be the engine's."""
    partners = load(tmp_path, GOOD)
    not_ours(partners.values(), {"gateway", "assessment"})
    with pytest.raises(GatewayError, match="'maple' is the gateway's own or the engine's"):
        not_ours(partners.values(), {"maple"})
