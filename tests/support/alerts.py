"""The alerts of docs/monitoring, read, evaluated on scrapes, and written as the table of docs/operations.md.

Run as a program it renews that table. What is understood of PromQL is what the rules use: a selector, alone or in
`increase` or `min_over_time`, compared with a number.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from gateway.settings import HOME

RULES = HOME / "docs/monitoring/alerts.yml"
PAGE = HOME / "docs/operations.md"
BEGIN, END = "<!-- alerts -->\n", "<!-- /alerts -->\n"

EXPRESSION = re.compile(
    r"(?:(?P<function>increase|min_over_time)\()?(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})?(?:\[(?P<window>\w+)\]\))?"
    r" (?P<compare>==|>|<) (?P<bound>[\d.e+]+)"
)
UNITS = {"m": 60, "h": 3600, "d": 86_400}
COMPARE: dict[str, Callable[[float, float], bool]] = {"==": operator.eq, ">": operator.gt, "<": operator.lt}

Sample = dict[tuple[str, frozenset[tuple[str, str]]], float]


def seconds(text: str) -> int:
    """Return how long `5m` is."""
    return int(text[:-1]) * UNITS[text[-1]]


@dataclass(frozen=True)
class Rule:
    """One alert as it stands in the file."""

    name: str
    expression: str
    lasting: int
    severity: str
    cause: str
    command: str
    end: str


def rules() -> list[Rule]:
    """Return the alerts of the file, which has one form only: quoted texts on lines of their own."""
    found = []
    for block in RULES.read_text("utf-8").split("      - alert: ")[1:]:
        name, _, rest = block.partition("\n")
        texts = {key: text.replace("''", "'") for key, text in re.findall(r"^ +(\w+): '(.*)'$", rest, re.M)}
        lasting = re.search(r"^ +for: (\w+)$", rest, re.M)
        (severity,) = re.findall(r"severity: (\w+)", rest)
        given = texts["cause"], texts["command"], texts["end"]
        found.append(Rule(name, texts["expr"], seconds(lasting[1]) if lasting else 0, severity, *given))
    return found


@dataclass
class Scrapes:
    """What was scraped when (seconds), and which alerts that fires."""

    taken: list[tuple[float, Sample]] = field(default_factory=list)

    def take(self, at: float, text: bytes, up: float = 1) -> None:
        """Add one scrape; `text` is what /metrics answered."""
        found: Sample = {("up", frozenset({("job", "gateway")})): up}
        for family in text_string_to_metric_families(text.decode()):
            found |= {(one.name, frozenset(one.labels.items())): one.value for one in family.samples}
        self.taken.append((at, found))

    def holds(self, rule: Rule, until: int | None = None) -> bool:
        """Tell whether a rule's expression holds at the last scrape, or after so many of them."""
        taken = self.taken[:until]
        parts = EXPRESSION.fullmatch(rule.expression)
        assert parts, rule.expression
        now, compare, bound = taken[-1][0], COMPARE[parts["compare"]], float(parts["bound"])
        window = seconds(parts["window"]) if parts["window"] else 0
        series: dict[frozenset[tuple[str, str]], list[float]] = {}
        for at, sample in taken:
            if at >= now - window:
                for labels, value in _chosen(sample, parts["name"], parts["labels"] or ""):
                    series.setdefault(labels, []).append(value)
        return any(compare(_value(parts["function"], values), bound) for values in series.values())

    def fires(self, rule: Rule) -> bool:
        """Tell whether the alert is on: its expression has held at each scrape for as long as it must."""
        since = self.taken[-1][0] - rule.lasting
        if not rule.lasting:
            return self.holds(rule)
        before = [number for number, (at, _) in enumerate(self.taken, 1) if at <= since]
        return bool(before) and all(self.holds(rule, number) for number in range(before[-1], len(self.taken) + 1))


def _chosen(sample: Sample, name: str, labels: str) -> Iterator[tuple[frozenset[tuple[str, str]], float]]:
    """Yield the series of a sample that a selector means."""
    wanted = re.findall(r'(\w+)(=~?)"([^"]*)"', labels)
    for (found, given), value in sample.items():
        have = dict(given)
        fits = all(re.fullmatch(text if kind == "=~" else re.escape(text), have.get(n, "")) for n, kind, text in wanted)
        if found == name and fits:
            yield given, value


def _value(function: str | None, values: list[float]) -> float:
    """Return what a function makes of a series; what is not a number stays so."""
    if function == "min_over_time":
        return math.nan if any(math.isnan(one) for one in values) else min(values)
    if function == "increase":
        return sum(max(0.0, after - before) for before, after in itertools.pairwise(values))
    return values[-1]


def table() -> str:
    """Return the table of the alerts, in Markdown."""
    lines = ["| alert | when | cause | command | it ends |", "|---|---|---|---|---|"]
    for one in rules():
        when = "`" + one.expression.replace("|", "\\|") + "`" + (f" for {one.lasting // 60} min" if one.lasting else "")
        lines.append(f"| {one.name} ({one.severity}) | {when} | {one.cause} | {one.command} | {one.end} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Renew the table in docs/operations.md."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
