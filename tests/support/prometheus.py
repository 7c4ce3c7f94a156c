"""Prometheus' own word on rules and queries, by `promtool`, where it is installed."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.alerts import RULES, Rule, Sample

# Seconds from one scrape to the next, and how many of them what was scraped is at least scraped again.
TICK, AGAIN = 30, 3


def promtool(*words: object) -> None:
    """Run promtool; fail with what it says."""
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def check_queries(folder: Path, queries: Sequence[str]) -> None:
    """Have queries parsed."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = folder / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")  # all JSON is YAML
    promtool("check", "rules", file)


def check_alert(folder: Path, rule: Rule, taken: Sequence[tuple[float, Sample]], fired: int) -> None:
    """Have an alert's rule evaluated on scrapes: it is on after the first `fired` of them, and off after the last.

    Between two scrapes what was found is scraped again and again, as Prometheus does.
    """
    ticks: list[int] = []
    for number, (at, _) in enumerate(taken):
        ticks.append(max(ticks[-1] + AGAIN if ticks else 0, math.ceil((at - taken[0][0]) / TICK) + AGAIN * number))
    ticks.append(ticks[-1] + AGAIN)
    series = {key for _, sample in taken for key in sample if re.search(rf"\b{key[0]}\b", rule.expression)}
    lasting = [after - before for before, after in itertools.pairwise(ticks)]
    given = [
        {
            "series": f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels))}}}",
            "values": " ".join(
                _values(sample.get((name, labels)), count) for (_, sample), count in zip(taken, lasting, strict=True)
            ),
        }
        for name, labels in series
    ]
    on = f'(count(ALERTS{{alertname="{rule.name}", alertstate="firing"}}) or vector(0)) > bool 0'
    asked: list[dict[str, Any]] = [
        {"expr": on, "eval_time": f"{(tick - 1) * TICK}s", "exp_samples": [{"labels": "{}", "value": value}]}
        for tick, value in ((ticks[fired], 1), (ticks[-1], 0))
    ]
    test = {"interval": f"{TICK}s", "input_series": given, "promql_expr_test": asked}
    file = folder / "test.yml"
    whole = {"rule_files": [str(RULES)], "evaluation_interval": f"{TICK}s", "tests": [test]}
    file.write_text(json.dumps(whole), "utf-8")
    promtool("test", "rules", file)


def _values(value: float | None, count: int) -> str:
    """Return so many scrapes of one value, None where there was none."""
    if value is None:
        return " ".join(["_"] * count)
    if not math.isfinite(value):
        return " ".join(["NaN" if math.isnan(value) else "Inf"] * count)
    return f"{value!r}+0x{count - 1}"
