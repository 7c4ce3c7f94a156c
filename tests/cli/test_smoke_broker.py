"""The broker's side of the conformance kit: a healthy gateway passes, an ill one is told, nothing real is touched."""

from __future__ import annotations

import json
import re
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from core.errors import GatewayError
from core.transmission import Syntax
from gateway.cli.smoke import smoke
from gateway.engine import loop as engine_loop
from gateway.engine.assess import assess
from gateway.queues import open_broker
from gateway.trade.scenario import KIT, Scenario, load_scenario, unmet_codes
from gateway.trade.smoke import Result, process
from gateway.trade.smoke_broker import play
from gateway.trade.smoke_sender import Sender
from routing.routes import for_tests, load_routes
from tests.support.house import house, settings_in
from tests.support.smoke_partners import MESSAGES, SCENARIO, blank_result
from tests.support.way import PARTNERS, PLANS, RATES, SAMPLES, SPECS

MAPLE = PARTNERS["maple"]
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def scenario(folder: Path, *steps: str, top: str = "") -> Scenario:
    """Return a scenario of one stage."""
    words = 'title = { en = "Title", fr = "Titre" }'
    text = f"{words}\n[[stage]]\n{words}\n" + "".join(f"[[stage.step]]\n{words}\n{step}\n" for step in steps)
    (folder / "scenario.toml").write_text(text + top, "utf-8")
    return load_scenario(folder / "scenario.toml")


ACCEPTED = 'id = "a"\nsend = "declaration"\ncad_type = "AB"\nexpect = ["receipt", "accepted"]\nwithin = 20'
CHANGED = 'id = "b"\nsend = "correction"\nof = "a"\nexpect = ["receipt", "accepted"]'
REFUSED = (
    'id = "c"\nsend = "declaration"\ncad_type = "AB"\nwithin = 20\nwrong = { tariff_treatment = "30" }\n'
    'expect = ["receipt", "refused"]\ncodes = ["CAD-0150"]'
)


def played(url: str, plan: Scenario) -> Result:
    """Play a scenario as maple, return the results."""
    result = blank_result(plan)
    with open_broker(url) as broker:
        play(plan, broker, MAPLE, PLANS, result, account="12345", started=datetime.now(UTC), say=lambda _: None)
    return result


# ------------------------------------------------------------------------------------------------ health


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_gateway_of_our_own_is_healthy(tmp_path: Path) -> None:
    done = CliRunner().invoke(smoke, ["--junit", str(tmp_path / "smoke.xml"), "--report", str(tmp_path / "smoke.html")])
    assert done.exit_code == 0, done.output
    assert 'failures="0"' in (tmp_path / "smoke.xml").read_text("utf-8")
    assert re.search(r"passed\s+digest [0-9a-f]{64}", done.output)
    assert f"<b>{MESSAGES}</b>messages" in (tmp_path / "smoke.html").read_text("utf-8")


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_gateway_over_rabbitmq_is_healthy(
    rabbitmq_url: str, gateways_rabbitmq_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partners = tmp_path / "partners.toml"
    user = urlsplit(rabbitmq_url).username
    named = (SAMPLES / "partners.toml").read_text("utf-8").replace('id = "maple"', f'id = "maple"\nuser = "{user}"')
    partners.write_text(named, "utf-8")
    monkeypatch.setenv("GATEWAY_PARTNERS", str(partners))
    settings = replace(settings_in(tmp_path, broker_url=gateways_rabbitmq_url), partners=partners)
    command = [sys.executable, "-m", "gateway", "serve", "--with-reference-engine"]
    with process(command, settings, tmp_path / "gateway.log") as served:
        with open_broker(rabbitmq_url) as broker:
            while broker.missing(["in.maple", "out.maple", "assessment.results"]) and served.poll() is None:
                pass
        done = CliRunner().invoke(
            smoke, ["--as", "maple", "--lang", "fr"], env={"GATEWAY_SMOKE_BROKER_URL": rabbitmq_url}
        )
    assert done.exit_code == 0, done.output
    assert "réussi" in done.output


def test_a_gateway_that_is_not_there_is_told_after_one_step(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(url) as broker:
        broker.declare(["in.maple", "out.maple"])
    result = played(url, scenario(tmp_path, ACCEPTED.replace("20", "0.3"), REFUSED, CHANGED))
    said = [line.sentence.en for line in result.lines() if line.sentence]
    assert said == [
        "No answer came within 0.3 s, not even the receipt.",
        "Not tried: no answer comes.",
        "Not tried: no answer comes.",
    ]
    assert result.failed_stage == 1


def test_the_same_bytes_again_are_no_message_of_their_own(tmp_path: Path) -> None:
    again = 'id = "b"\nsend = "again"\nof = "a"\nexpect = ["receipt", "accepted"]'
    with house(tmp_path) as gateway, gateway.at_work(engine=False):
        result = played(f"sqlite:///{tmp_path}/queue.db", scenario(tmp_path, ACCEPTED, again))
    assert (result.passed, result.messages) == (True, 1)


@pytest.mark.slow
def test_a_gateway_without_an_engine_is_told_by_the_answer_that_lacks(tmp_path: Path) -> None:
    plan = scenario(tmp_path, ACCEPTED.replace('"accepted"]', '"accepted", "assessed"]').replace("20", "8"), CHANGED)
    with house(tmp_path) as gateway, gateway.at_work(engine=False):
        first, second = played(f"sqlite:///{tmp_path}/queue.db", plan).lines()
    assert first.sentence
    assert first.sentence.en == "Did not come within 8 s: assessed."
    assert first.sentence.fr == "Pas venu en 8 s : cotisé."
    assert second.sentence
    assert second.sentence.en == "Not tried: step a did not pass."


def test_a_wrong_verdict_is_told_with_its_findings(tmp_path: Path) -> None:
    wrong = REFUSED.replace('"refused"', '"accepted"').replace('codes = ["CAD-0150"]', "")
    other = REFUSED.replace("CAD-0150", "CAD-0999").replace('"c"', '"d"')
    with house(tmp_path) as gateway, gateway.at_work(engine=False):
        first, second = played(f"sqlite:///{tmp_path}/queue.db", scenario(tmp_path, wrong, other)).lines()
    assert first.sentence
    assert first.sentence.en.startswith("Unexpected answer: refused. CAD-0150")
    assert second.sentence
    assert second.sentence.en == "The refusal does not show CAD-0999."


# ------------------------------------------------------------------------------------------------ tests stay tests


def test_a_test_message_never_reaches_the_production_engine(tmp_path: Path) -> None:
    """Every message of the kit is a test; the gateway sends it to the queue for tests only."""
    sender = Sender(PLANS, MAPLE, "12345", datetime.now(UTC))
    with house(tmp_path) as gateway:
        accepted = 0
        for step in SCENARIO.steps():
            if step.send in ("declaration", "many"):
                sent = sender.make(step, None, SCENARIO)
                gateway.send("maple", *(each.letter.body for each in sent))
                while gateway.receive() + gateway.work() + gateway.dispatch():
                    pass
        accepted = sum(row["verdict"] == "accepted" for row in gateway.journal.list_messages(limit=500))
        assert accepted > 40
        assert gateway.broker.depth("assessment.requests") == 0
        requests = [json.loads(letter.body) for letter in gateway.taken("assessment.requests.test")]
    assert len(requests) == accepted
    assert all(request["test"] is True for request in requests)


@pytest.mark.parametrize("syntax", [Syntax.EDIFACT, Syntax.XML])
def test_a_real_message_goes_to_production_and_no_test_word_touches_it(tmp_path: Path, syntax: Syntax) -> None:
    sender = Sender(PLANS, MAPLE, "12345", datetime.now(UTC))
    step = next(step for step in SCENARIO.steps() if step.outcome == "REFUSE")
    body = next(
        sent.letter.body for _ in range(2) for sent in sender.make(step, None, SCENARIO) if sent.syntax is syntax
    )
    assert b"TEST-REFUSE" in body
    real = (
        re.sub(rb"(UNB.*?)\+\+\+\+\+\+1'", rb"\1'", body)
        .replace(b"TestIndicator>true", b"TestIndicator>false")
        .replace(b">true<", b">false<")
    )
    assert real != body
    with house(tmp_path) as gateway:
        gateway.send("maple", real)
        while gateway.receive() + gateway.work() + gateway.dispatch():
            pass
        assert gateway.broker.depth("assessment.requests.test") == 0
        (letter,) = gateway.taken("assessment.requests")
    result = assess(json.loads(letter.body), RATES).result
    assert result
    assert result["outcome"] == "approved"


# ------------------------------------------------------------------------------------------------ the answer queue


def test_what_an_earlier_run_left_is_cleared_away(tmp_path: Path) -> None:
    with house(tmp_path) as gateway:
        sender = Sender(PLANS, MAPLE, "12345", datetime.now(UTC) - timedelta(hours=1))
        (sent,) = sender.make(next(iter(SCENARIO.steps())), None, SCENARIO)
        gateway.broker.publish([sent.letter])
        gateway.settle_down()
        assert gateway.broker.depth("out.maple") == 4
        with gateway.at_work(engine=False):
            result = played(f"sqlite:///{tmp_path}/queue.db", scenario(tmp_path, ACCEPTED))
    assert result.passed


def test_answers_of_somebody_elses_are_left_where_they_are(tmp_path: Path) -> None:
    with house(tmp_path) as gateway:
        gateway.send("maple", (SAMPLES / "originals/v-voluntary.edi").read_bytes())
        gateway.settle_down()
        before = gateway.broker.depth("out.maple")
        with pytest.raises(GatewayError, match="use a partner of its own"):
            played(f"sqlite:///{tmp_path}/queue.db", scenario(tmp_path, ACCEPTED))
        assert gateway.broker.depth("out.maple") == before


def test_answers_of_somebody_elses_that_come_meanwhile_are_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house(tmp_path) as gateway:
        receive, other = gateway.receive, iter([(SAMPLES / "originals/v-voluntary.edi").read_bytes()])

        def and_somebody_else() -> int:
            came = receive()
            if came and (body := next(other, None)):
                gateway.send("maple", body)
            return came

        monkeypatch.setattr(gateway, "receive", and_somebody_else)
        with gateway.at_work(engine=False):
            result = played(f"sqlite:///{tmp_path}/queue.db", scenario(tmp_path, ACCEPTED, CHANGED))
        assert result.passed
        while gateway.receive() + gateway.work() + gateway.dispatch():
            pass
        assert sorted(letter.headers["kind"] for letter in gateway.answers("maple")) == [
            "accepted",
            "contrl",
            "receipt",
        ]


# ------------------------------------------------------------------------------------------------ scenarios


def test_a_file_of_ones_own_is_sent_with_fresh_number_and_reference(tmp_path: Path) -> None:
    body = (SAMPLES / "originals/v-voluntary.edi").read_text("latin-1")
    number = re.search(r"BGM\+V:CAD\+(\d{14})", body)
    reference = re.search(r"UNB\+[^+]*\+[^+]*\+[^+]*\+[^+]*\+(\w+)", body)
    assert number
    assert reference
    body = body.replace(number[1], "{transaction}").replace(reference[1], "{reference}")
    (tmp_path / "mine.edi").write_text(body, "latin-1")
    (tmp_path / "noise.bin").write_bytes(b"neither the one nor the other")
    mine = 'id = "{}"\nsend = "file"\nfile = "mine.edi"\nexpect = ["receipt", "accepted"]'
    noise = 'id = "n"\nsend = "file"\nfile = "noise.bin"\nexpect = ["receipt", "refused"]\ncodes = ["GTW-0001"]'
    with house(tmp_path) as gateway, gateway.at_work(engine=False):
        plan = scenario(tmp_path, mine.format(1), mine.format(2), noise)
        result = played(f"sqlite:///{tmp_path}/queue.db", plan)
    assert result.passed, [line.sentence for line in result.lines()]


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((ACCEPTED, ACCEPTED), "the id is used twice"),
        ((CHANGED,), "must name an earlier step"),
        ((ACCEPTED.replace("declaration", "declare"),), "Invalid enum value 'declare'"),
        ((ACCEPTED.replace("within", "withing"),), "unknown field `withing`"),
        ((ACCEPTED.replace('cad_type = "AB"', ""),), "needs its `cad_type`"),
        (('id = "a"\nsend = "many"\nexpect = ["receipt"]',), "needs `count`"),
        (('id = "a"\nsend = "file"\nfile = "none"\nexpect = ["receipt"]',), "there is no file 'none'"),
        ((ACCEPTED + '\noutcome = "SOON"',), "outcome"),
    ],
)
def test_a_scenario_that_cannot_be_used_is_one_clear_line(tmp_path: Path, steps: tuple[str, ...], says: str) -> None:
    with pytest.raises(GatewayError, match=re.escape(says)) as caught:
        scenario(tmp_path, *steps)
    assert "\n" not in str(caught.value)
    assert "scenario.toml" in str(caught.value)


def test_the_kit_speaks_both_languages_and_has_every_cad_type() -> None:
    kit = load_scenario(KIT)
    texts = [*(step.title for step in kit.steps()), *(stage.title for stage in kit.stage)]
    texts += [remark.text for remark in kit.remark]
    assert all(each.en and each.fr for each in texts)
    offered = {step.cad_type for step in kit.stage[1].step}
    assert offered == set(SPECS.code_lists["cad_type"].codes)
    known = {rule.id for pack in SPECS.packs for rule in pack.rules} | set(SPECS.findings)
    assert {code for remark in kit.remark for code in remark.codes} <= known


def test_codes_are_met_by_beginning_and_by_alternative() -> None:
    assert unmet_codes(["CAD-0001", "EDI-|XML-"], ["XML-0004", "CAD-0001"]) == []
    assert unmet_codes(["CAD-0001", "EDI-|XML-"], ["CAD-0002"]) == ["CAD-0001", "EDI-|XML-"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--broker", "sqlite:///{}/none.db"], "--as PARTNER is needed"),
        (["--as", "nobody"], "there is no partner 'nobody'"),
        (["--account", "123"], "has five digits"),
        (["--scenario", "{}/none.toml"], "cannot be read"),
        (["--report", "{}/no/such/folder.html"], "No such file"),
        (["--broker", "http://x", "--as", "maple"], "is no broker URL"),
        (["--broker", "amqp://maple:x@127.0.0.1:1//", "--as", "maple"], "is not available"),
        (["--broker", "sqlite:///{}/queue.db", "--as", "maple"], "no queue 'out.maple'"),
        (["--verify", str(KIT)], "no report of a smoke test"),
    ],
)
def test_what_cannot_run_is_one_clear_line_and_exit_code_2(tmp_path: Path, options: list[str], says: str) -> None:
    from gateway.cli.main import main

    done = CliRunner().invoke(main, ["smoke", *(each.format(tmp_path) for each in options)])
    assert (done.exit_code, says in done.output) == (2, True), done.output
    assert "Traceback" not in done.output


def test_in_a_pipe_every_step_is_printed_once(tmp_path: Path) -> None:
    """Nobody answers; each step stood in the progress and again in the table."""
    url, plan = f"sqlite:///{tmp_path}/queue.db", tmp_path / "plan.toml"
    plan.write_text(
        """title = { en = "Ours", fr = "Le nôtre" }
[[stage]]
title = { en = "The stage", fr = "Le palier" }
[[stage.step]]
id = "1"
title = { en = "A courier declaration", fr = "Une déclaration de messagerie" }
send = "declaration"
cad_type = "F"
expect = ["receipt"]
within = 0.2
""",
        "utf-8",
    )
    with open_broker(url) as broker:
        broker.declare(["in.maple", "out.maple"])
    done = CliRunner().invoke(smoke, ["--broker", url, "--as", "maple", "--scenario", str(plan)])
    assert done.exit_code == 1, done.output
    assert done.output.count("A courier declaration") == 1
    assert done.output.splitlines()[-1].startswith("digest ")


def test_the_engine_for_tests_leaves_real_requests_alone(tmp_path: Path) -> None:
    tests = for_tests(load_routes())
    assert tests == {"assessment.requests.test"}
    over = threading.Event()
    with house(tmp_path) as gateway:
        gateway.send("maple", (SAMPLES / "originals/v-voluntary.edi").read_bytes())
        (sent,) = Sender(PLANS, MAPLE, "12345", datetime.now(UTC)).make(next(iter(SCENARIO.steps())), None, SCENARIO)
        gateway.broker.publish([sent.letter])
        while gateway.receive() + gateway.work() + gateway.dispatch():
            pass
        with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
            engine = threading.Thread(target=engine_loop.run, args=(broker, over.is_set, tests))
            engine.start()
            while not gateway.receive() and engine.is_alive():
                pass
            over.set()
            engine.join(30)
        assert gateway.broker.depth("assessment.requests") == 1
        assert gateway.broker.depth("assessment.requests.test") == 0
