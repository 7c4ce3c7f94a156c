"""Who may vouch: the exchange's user for partners with a token, nobody else for anybody; and how tokens are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from core.errors import GatewayError
from gateway.cli.main import main
from gateway.queues import KEYED, uid_of
from routing.partners import load_partners, not_ours, token_hash
from tests.support.exchange import GOOD, TOKENS, with_tokens
from tests.support.house import House, as_user, house


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, load_partners(with_tokens(tmp_path, {"maple": TOKENS["maple"]}))) as opened:
        yield opened


@pytest.mark.parametrize(
    ("user", "partner", "codes"),
    [
        ("exchange", "maple", []),
        ("maple", "maple", []),
        ("exchange", "erable", ["GTW-0013"]),  # who has no token
        ("erable", "maple", ["GTW-0013"]),
        ("gateway", "maple", ["GTW-0013"]),
        (None, "maple", ["GTW-0012"]),
    ],
)
def test_only_the_exchange_vouches_and_only_for_who_has_a_token(
    gateway: House, user: str | None, partner: str, codes: list[str]
) -> None:
    as_user(gateway, user)
    gateway.send(partner, GOOD.replace(b"MAPLEBROKER", b"ERABLECOURTIER") if partner == "erable" else GOOD)
    while gateway.receive() + gateway.work() + gateway.dispatch():
        pass
    (row,) = gateway.journal.list_messages(channel="partner")
    assert [each["code"] for each in row["findings"] if each["severity"] == "refuse"] == codes
    assert row["partner"] == ("" if codes else partner)


def test_a_key_stands_for_one_content_and_another_message_id_does_not() -> None:
    assert uid_of("q", "u", f"{KEYED}1", b"a") == uid_of("q", "u", f"{KEYED}1", b"b")
    assert uid_of("q", "u", "1", b"a") != uid_of("q", "u", "1", b"b")
    assert len({uid_of(q, u, f"{KEYED}1", b"a") for q in "pq" for u in "uv"}) == 4, "another's key is another key"


# ------------------------------------------------------------------------------------------------ the file


def test_no_partner_and_no_engine_is_the_exchange(tmp_path: Path) -> None:
    file = with_tokens(tmp_path)
    partners = load_partners(file).values()
    not_ours(partners, {"gateway", "assessment"})
    with pytest.raises(GatewayError, match="exchange_user: 'exchange' is the gateway's own"):
        not_ours(partners, {"exchange"})
    file.write_text(file.read_text("utf-8").replace('id = "erable"\n', 'id = "erable"\nuser = "exchange"\n'), "utf-8")
    with pytest.raises(GatewayError, match="partner erable: user: 'exchange' is the exchange's own"):
        not_ours(load_partners(file).values(), {"gateway"})


def test_a_token_is_one_partners(tmp_path: Path) -> None:
    file = with_tokens(tmp_path, {"maple": "same", "erable": "same"})
    with pytest.raises(GatewayError, match=r"token_hashes: .* is used twice"):
        load_partners(file)


@pytest.mark.parametrize("written", ["6R_jQbPwJiIMM2NaS5B3wFQAOERABkIi95IDDP0T_wY", "A" * 64, ""])
def test_a_token_in_place_of_its_hash_is_not_repeated(tmp_path: Path, written: str) -> None:
    """The error is logged."""
    file = with_tokens(tmp_path)
    file.write_text(file.read_text("utf-8").replace(token_hash(TOKENS["maple"]), written), "utf-8")
    with pytest.raises(GatewayError, match="a hash as `gateway partner token` prints it") as told:
        load_partners(file)
    assert not written or written not in str(told.value)


def run(file: Path, *words: str) -> Result:
    return CliRunner(env={"GATEWAY_PARTNERS": str(file)}).invoke(main, list(words))


def test_a_token_is_made_and_its_line_fits_the_file(tmp_path: Path) -> None:
    """The line has the former ones as well: both count until the partner has changed over."""
    file = with_tokens(tmp_path)
    said = run(file, "partner", "token", "maple").output
    token, line = re.search(r": (\S{43})\n", said)[1], said.splitlines()[-1]  # type: ignore[index]
    text = file.read_text("utf-8").replace(f'token_hashes = ["{token_hash(TOKENS["maple"])}"]', line)
    file.write_text(text, "utf-8")
    assert load_partners(file)["maple"].token_hashes == (token_hash(TOKENS["maple"]), token_hash(token))
    assert run(file, "partner", "token", "maple").output != said
    assert run(file, "partner", "token", "oak").exit_code != 0
    assert "with tokens for HTTP, vouched for by the broker's user exchange: maple (2), erable (1)" in " ".join(
        run(file, "partner", "check").output.split()
    )


def test_the_exchange_gets_a_user_when_a_partner_has_a_token(tmp_path: Path) -> None:
    def lines(tokens: dict[str, str]) -> list[str]:
        printed = run(with_tokens(tmp_path, tokens), "broker-users", "--vhost", "/").output.splitlines()
        return [line for line in printed if " exchange" in line]

    assert lines({}) == []
    assert lines({"maple": "x"}) == [
        "rabbitmqctl add_user exchange",
        "rabbitmqctl set_permissions -p / exchange '' '^customs\\.in$' '^(out\\.maple)$'",
        "rabbitmqctl set_topic_permissions -p / exchange customs.in '^(in\\.maple)$' ''",
    ]
    assert "'^(in\\.maple|in\\.erable)$'" in lines(TOKENS)[2]
    file = with_tokens(tmp_path)
    file.write_text(file.read_text("utf-8").replace('id = "maple"\n', 'id = "maple"\nactive = false\n'), "utf-8")
    assert "maple" not in "".join(line for line in run(file, "broker-users").output.splitlines() if " exchange" in line)
    assert "not taken, since it is not active: maple" in " ".join(run(file, "partner", "check").output.split())
