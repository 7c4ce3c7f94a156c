"""Every alert is fired once and ended once, by what docs/operations.md says ends it, on a gateway's own figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routing.partners import inbound_queue
from tests.support import alerts, prometheus
from tests.support.alert_scenes import SCENES, Watched
from tests.support.desk import runner
from tests.support.house import house
from tests.support.sending import ORIGINAL, edifact, number
from tests.support.way import HOME

RULES = {rule.name.removeprefix("Gateway"): rule for rule in alerts.rules()}


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with house(tmp_path) as gateway:
        yield Watched(gateway, tmp_path, runner(tmp_path, monkeypatch), monkeypatch)


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_alert_is_fired_once_and_ended_once(name: str, watched: Watched) -> None:
    rule, play = RULES[name], SCENES[name](watched)
    next(play)
    assert watched.scrapes.fires(rule)
    assert next(play, None) is None
    watched.scrape()
    assert not watched.scrapes.holds(rule)


@pytest.mark.parametrize("name", sorted(RULES))
def test_prometheus_fires_it_and_ends_it_as_well(name: str, watched: Watched) -> None:
    """On the same scrapes, by the rules as they stand in the file."""
    play = SCENES[name](watched)
    next(play)
    fired = len(watched.scrapes.taken)
    next(play, None)
    watched.scrape()
    prometheus.check_alert(watched.folder, RULES[name], watched.scrapes.taken, fired)


def test_a_healthy_gateway_that_was_looked_after_has_no_alert(watched: Watched) -> None:
    watched.gateway.send("erable", ORIGINAL)
    watched.gateway.settle_down()
    watched.gateway.answers("erable")
    for command in (("backup", str(watched.folder / "copy")), ("purge",), ("verify-audit",)):
        watched.run(*command)
    watched.later(660)
    assert [name for name, rule in RULES.items() if watched.scrapes.fires(rule)] == []


def test_the_page_has_every_alert_with_cause_command_and_end() -> None:
    """`python -m tests.support.alerts` renews the table."""
    page = alerts.PAGE.read_text("utf-8")
    assert page.partition(alerts.BEGIN)[2].partition(alerts.END)[0] == alerts.table()
    for rule in RULES.values():
        assert rule.cause
        assert rule.end
        assert "`" in rule.command, rule.name
        for command in re.findall(r"`gateway ([a-z-]+(?: [a-z]+)?)", rule.command):
            assert command.split()[0] in (HOME / "README.md").read_text("utf-8")


def test_rules_and_dashboard_ask_for_figures_that_there_are(watched: Watched) -> None:
    watched.gateway.send("maple", ORIGINAL)
    watched.gateway.settle_down()
    watched.gateway.send("maple", edifact("A", number(60)))
    watched.gateway.receive()
    watched.scrape()
    there = {name for name, _ in watched.scrapes.taken[-1][1]} | {"up", "gateway_certificate_days"}
    board = dashboard()
    asked = queries(board)
    named = {
        name for text in (*asked, *(r.expression for r in RULES.values())) for name in re.findall(r"gateway_\w+", text)
    }
    assert named - there == set()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def dashboard() -> Any:
    return json.loads((HOME / "docs/monitoring/dashboard.json").read_text("utf-8"))


def queries(board: Any) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    asked = queries(dashboard())
    prometheus.promtool("check", "rules", alerts.RULES)
    prometheus.check_queries(tmp_path, asked)
    with pytest.raises(AssertionError, match="parse"):
        prometheus.check_queries(tmp_path, [*asked, "sum by (partner rate(gateway_received_total[5m])"])


def test_the_inbound_queue_of_whoever_left_is_among_the_figures(watched: Watched) -> None:
    watched.gateway.send("maple", ORIGINAL)
    watched.gateway.settle_down()
    del watched.partners["maple"]
    watched.begin()
    watched.scrape()
    queues = {dict(labels).get("queue") for name, labels in watched.scrapes.taken[-1][1] if "queue_messages" in name}
    assert inbound_queue("maple") in queues
