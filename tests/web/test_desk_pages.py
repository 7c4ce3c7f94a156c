"""What the desk shows: the list with its filters, whole lives, tables for spreadsheets; and that nothing shown acts."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from core.text import unformula
from gateway.desk.moments import moment
from gateway.journal import Journal
from tests.support.desk import recorded
from tests.support.desk_site import desk, enter
from tests.support.house import settings_in

NUMBER = "12345000000012"
ATTACK = "\"'><script>alert(1)</script><img src=x onerror=alert(2)><a href=javascript:alert(3)>\x1b[2J\u202e{{7*7}}"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return recorded(tmp_path)


def listed(client: TestClient, **asked: str) -> list[str]:
    """Return the ids on a page of the list."""
    page = client.get("/desk", params=asked)
    assert page.status_code == 200, page.text[-500:]
    return re.findall(r'<a class="code" href="/desk/messages/([0-9a-f]{32})">', page.text)


def test_the_list_is_that_of_the_command_line_and_its_filters_too(tmp_path: Path, journal: Journal) -> None:
    def known(**filters: Any) -> list[str]:
        return [row["id"] for row in journal.list_messages(channel="partner", limit=1_000, **filters)]

    day = datetime.now(UTC).strftime("%Y-%m-%d")
    with desk(tmp_path) as client:
        enter(client)
        everything = listed(client)
        assert everything == known()
        for filters in (
            {"partner": "erable"}, {"verdict": "refused"}, {"state": "done"}, {"finding": "CAD-01"},
            {"finding": "cad-0101"}, {"transaction_number": NUMBER}, {"importer": "123456782RM0001"},
            {"partner": "maple", "verdict": "accepted"}, {"state": "parked"},
        ):  # fmt: skip
            assert listed(client, **filters) == known(**filters), filters
            assert (
                filters.get("state") == "parked"
                or 0 < len(listed(client, **filters)) < len(everything)
                or (filters == {"state": "done"})
            ), filters
        assert listed(client, since="2020-01-01", until=f"{day[:2]}99-12-31") == everything
        assert listed(client, until="2020-01-01") == []
        assert client.get("/desk?since=soon").status_code == 400
        assert client.get("/desk?state=asleep").status_code == 400
        assert client.get("/desk?after=1").status_code == 400


def test_what_one_has_in_hand_is_found(tmp_path: Path, journal: Journal) -> None:
    rows = journal.list_messages(channel="partner", transaction_number=NUMBER)
    with desk(tmp_path) as client:
        enter(client)
        mine = [row["id"] for row in rows]
        assert listed(client, search=NUMBER) == mine
        assert listed(client, search=rows[0]["id"][:10].upper()) == mine[:1]
        assert mine[0] in listed(client, search=rows[0]["reference"])
        assert set(mine) & set(listed(client, search="123456782rm0001"))
        assert listed(client, search="%") == listed(client, search="' OR 1=1 --") == []


def test_pages_of_the_list_meet_without_gap_or_repeat(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.desk_list.PAGE", 7)
    with desk(tmp_path) as client:
        enter(client)
        found, where = [], "/desk"
        while where:
            page = client.get(where).text
            found += re.findall(r'<a class="code" href="/desk/messages/([0-9a-f]{32})">', page)
            older = re.search(r'<a href="(/desk\?[^"]*)" rel="next">', page)
            where = older[1].replace("&amp;", "&") if older else ""
    assert found == [row["id"] for row in journal.list_messages(channel="partner", limit=1_000)]


def test_a_message_is_there_with_all_of_its_life(tmp_path: Path, journal: Journal) -> None:
    (row,) = journal.list_messages(verdict="refused", finding="CAD-0201", limit=1)
    life = journal.show(row["id"])
    assert life
    with desk(tmp_path) as client:
        enter(client)
        page = client.get(f"/desk/messages/{row['id']}").text
        assert life["digest"] in page
        for finding in life["messages"][0]["findings"]:
            assert finding["code"] in page
        for answer in life["outbox"]:
            assert answer["id"] in page
        assert page.count('<tr><td class="number">') == len(life["audit"])
        assert client.get(f"/desk/messages/{row['id']}/body").content == life["body"]
        answer = life["outbox"][0]
        given = client.get(f"/desk/messages/{row['id']}/answers/{answer['id']}")
        assert given.content == answer["body"]
        assert given.headers["content-disposition"].startswith("attachment")
        french = client.get(f"/desk/messages/{row['id']}?lang=fr").text
        assert 'lang="fr"' in french
        assert life["messages"][0]["findings"][0]["text_fr"].split("'")[0] in french


def test_faults_are_marked_in_place(tmp_path: Path, journal: Journal) -> None:
    row = next(row for row in journal.list_messages(verdict="refused", finding="CAD-0101") if row["partner"] == "maple")
    with desk(tmp_path) as client:
        enter(client)
        page = client.get(f"/desk/messages/{row['id']}").text
    marks = re.findall(r'<mark id="m\d+">.*?</mark>', page)
    assert len(marks) >= len(row["findings"]) - 1
    assert 'href="#f1"' in marks[0]


def test_two_versions_are_set_side_by_side(tmp_path: Path, journal: Journal) -> None:
    with desk(tmp_path) as client:
        enter(client)
        links = []
        for row in journal.list_messages(verdict="accepted", limit=100):
            links += re.findall(
                r"/desk/messages/\w+/differences\?from=\w+", client.get(f"/desk/messages/{row['id']}").text
            )
        pages = [client.get(link) for link in dict.fromkeys(links)]
        assert {page.status_code for page in pages} <= {200, 409}
        assert any("What changed" in page.text for page in pages)
        assert client.get(f"/desk/messages/{row['id']}/differences?from=../../x").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "messages/zz",
        "messages/..%2f..%2fetc",
        "messages/%00",
        "messages/" + "a" * 500,
        "runs/7",
        "runs/x",
        "static/../x",
    ],
)
def test_what_is_not_there_is_not_found(tmp_path: Path, journal: Journal, path: str) -> None:
    with desk(tmp_path) as client:
        enter(client)
        assert client.get(f"/desk/{path}").status_code == 404


def test_a_spreadsheet_takes_no_cell_for_a_formula(tmp_path: Path, journal: Journal) -> None:
    with closing(sqlite3.connect(settings_in(tmp_path).database_url.removeprefix("sqlite:///"))) as raw, raw:
        raw.execute("UPDATE message SET sender = '=cmd|'' /C calc''!A0', version = '@SUM(1)'")
    with desk(tmp_path) as client:
        enter(client)
        answer = client.get("/desk/messages.csv?lang=fr")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert answer.headers["content-type"].startswith("text/csv")
    assert rows[0][:2] == ["id", "reçu"]
    assert len(rows) == 1 + len(journal.list_messages(channel="partner", limit=1_000))
    assert "'=cmd|' /C calc'!A0" in rows[1]
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]
    for text in ("=1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", '"=1', "'=1", "\uff1d1", "|x", "%x"):
        assert unformula(text) == f"'{text}"
    for text in ("", "1", "CAD-0101", "x=1", "12345000000012"):
        assert unformula(text) == text


def test_times_are_read_as_the_command_line_reads_them() -> None:
    now = datetime(2026, 11, 23, 15, tzinfo=UTC)
    assert moment("today", now=now) == moment("aujourd'hui", now=now) == moment("2026-11-23")
    assert moment("yesterday", end=True, now=now) == moment("today", now=now) == moment("hier", end=True, now=now)
    assert moment("9:30", now=now) == moment("2026-11-23T09:30")
    with pytest.raises(ValueError, match="soon"):
        moment("soon")


# ------------------------------------------------------------------------------------------------ nothing acts


class Acting(HTMLParser):
    """Finds what of a page would act, beside our own two scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        source = given.get("src") or ""
        if tag in ("iframe", "object", "embed", "img", "style", "svg", "base") or (
            tag == "script" and not source.startswith("/static/")
        ):
            self.found.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            leads = (value or "").strip().lower()
            if name.startswith("on") or name == "style" or leads.startswith(("javascript:", "data:")):
                self.found.append(self.get_starttag_text() or name)


def poisoned(value: Any) -> Any:
    """Return JSON with the attack as every text in it, but in what the program reads as a code."""
    if isinstance(value, dict):
        kept = ("severity", "code", "verdict")
        return {name: each if name in kept else poisoned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each) for each in value]
    return ATTACK if isinstance(value, str) else value


def poison(folder: Path) -> None:
    """Put the attack into every text that the journal holds and that a stranger, or an error, may have written."""
    plain = {
        "inbox": ("partner",),
        "handled": ("note", "worker"),
        "message": ("sender", "reference", "message_reference", "version", "pack", "nature", "type", "syntax"),
        "outbox": ("kind", "destination", "content_type"),
        "assessment_request": ("nature", "transaction_number"),
        "execution": ("operator", "source", "partner"),
    }
    trees = {"inbox": ("headers",), "message": ("findings",), "execution": ("messages",), "audit": ("detail",)}
    with closing(sqlite3.connect(settings_in(folder).database_url.removeprefix("sqlite:///"))) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        for table, columns in plain.items():
            for column in columns:
                raw.execute(f"UPDATE {table} SET {column} = ?", (ATTACK,))  # noqa: S608 - our own tables
        raw.create_function("poisoned", 1, lambda text: json.dumps(poisoned(json.loads(text))))
        for table, columns in trees.items():
            for column in columns:
                raw.execute(f"UPDATE {table} SET {column} = poisoned({column})")  # noqa: S608 - our own tables
        raw.execute("UPDATE inbox SET body = ?, channel = 'partner'", (ATTACK.encode() * 20,))
        raw.execute("UPDATE handled SET state = 'parked'")
        raw.execute("UPDATE outbox SET body = ?", (ATTACK.encode(),))
        raw.execute("DELETE FROM sent")
        waiting = "SELECT position, destination, created_at, 1, 1, ? FROM outbox"
        raw.execute(f"INSERT INTO due (position, destination, created_at, size, attempts, error) {waiting}", (ATTACK,))
        raw.execute("INSERT INTO destination VALUES (?, 3, '2026-01-01 00:00:00.000000', NULL, ?)", (ATTACK, ATTACK))


def test_nothing_that_a_stranger_wrote_acts_on_a_page(tmp_path: Path, journal: Journal) -> None:
    ids = [row["id"] for row in journal.list_messages(channel="partner", limit=1_000)]
    poison(tmp_path)
    with desk(tmp_path) as client:
        enter(client)
        attack, one = quote(ATTACK), ids[0]
        paths = ["/desk", "/desk?lang=fr", "/desk/parked", "/desk/destinations", "/desk/runs/new", "/desk/dead"]
        paths += [f"/desk?search={attack}", f"/desk?finding={attack}", f"/desk/runs/new?finding={attack}"]
        paths += [f"/desk/parked/{one}/release", f"/desk/parked/{one}/refuse", f"/desk/messages/{one}?done={attack}"]
        paths += [f"/desk/destinations/resume?name={attack}", f"/desk/dead/{attack}/requeue"]
        paths += [f"/desk/messages/{id_}" for id_ in ids]
        seen = 0
        for path in paths:
            page = client.get(path)
            acting = Acting()
            acting.feed(page.text)
            assert acting.found == [], path
            assert not {"\x1b", "\u202e"} & set(page.text), path
            assert "49" not in re.findall(r"\{\{7\*7\}\}|(?<=\})49", page.text), path
            seen += page.text.count("&lt;script&gt;")
        assert seen > 1_000
        assert "script-src 'self'" in client.get("/desk").headers["content-security-policy"]
