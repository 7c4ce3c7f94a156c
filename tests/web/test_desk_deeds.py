"""What operators do at the desk: once each, under their name, as the command line does it; and who may only look."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gateway.desk.words import STATES
from gateway.queues import DEAD_QUEUE
from tests.cli.test_replay_parked import audit, park
from tests.support.desk import runner
from tests.support.desk_site import desk, enter, hidden, sign_in, users
from tests.support.house import House, house, settings_in
from tests.support.way import SAMPLES

GOOD = (SAMPLES / "originals/v-voluntary.edi").read_bytes()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def send_form(client: TestClient, path: str, **fields: str) -> Any:
    """Open the page that asks, and confirm."""
    page = client.get(path)
    assert page.status_code == 200, page.text[-400:]
    return client.post(path.split("?")[0], data=hidden(page.text) | fields, follow_redirects=False)


def test_a_parked_message_is_released_under_the_operators_name_and_answered(tmp_path: Path, gateway: House) -> None:
    id_ = park(gateway, "maple", GOOD)
    with desk(tmp_path, users(tmp_path, marie="act")) as client:
        sign_in(client, "marie")
        assert f"/desk/parked/{id_}/release" in client.get("/desk/parked").text
        answer = send_form(client, f"/desk/parked/{id_}/release")
        assert answer.headers["location"] == f"/desk/messages/{id_}?done=released"
        assert "Released" in client.get(answer.headers["location"]).text
        assert [each["operator"] for each in audit(gateway, id_, "released")] == ["marie"]
        gateway.settle_down()
        assert '<span class="badge accepted">' in client.get(f"/desk/messages/{id_}").text
        again = client.get(f"/desk/parked/{id_}/release")
        assert (again.status_code, "is not parked but done" in again.text) == (409, True)
        french = unescape(client.get(f"/desk/parked/{id_}/release?lang=fr").text)
        assert f"{id_} n'est pas garé; son état : {STATES['done'].fr}" in french


def test_a_form_that_is_sent_twice_acts_once(tmp_path: Path, gateway: House) -> None:
    id_ = park(gateway, "maple", GOOD)
    with desk(tmp_path) as client:
        enter(client)
        fields = hidden(client.get(f"/desk/parked/{id_}/refuse").text) | {"reason": "Not yours"}
        answers: list[Any] = []

        def press() -> None:
            answers.append(client.post(f"/desk/parked/{id_}/refuse", data=fields, follow_redirects=False))

        presses = [threading.Thread(target=press) for _ in range(3)]
        for each in presses:
            each.start()
        for each in presses:
            each.join()
        press()
        assert {answer.status_code for answer in answers} == {303}
        assert answers[-1].headers["location"] == f"/desk/messages/{id_}?done=refused"
        assert "Refused: the answers go out." in client.get(answers[-1].headers["location"]).text
    (told,) = audit(gateway, id_, "refused by operator")
    assert told["why"] == "Not yours"
    gateway.dispatch()
    assert b"Not yours" in b"".join(letter.body for letter in gateway.answers("maple"))


def test_a_refusal_wants_a_reason(tmp_path: Path, gateway: House) -> None:
    id_ = park(gateway, "maple", GOOD)
    with desk(tmp_path) as client:
        enter(client)
        answer = send_form(client, f"/desk/parked/{id_}/refuse", reason="  ")
        assert (answer.status_code, "A reason is wanted" in answer.text) == (422, True)
    assert audit(gateway, id_, "refused by operator") == []


def test_who_may_look_sees_all_and_does_nothing(tmp_path: Path, gateway: House) -> None:
    id_ = park(gateway, "maple", GOOD)
    with desk(tmp_path, users(tmp_path, paul="look")) as client:
        sign_in(client, "paul")
        page = client.get(f"/desk/messages/{id_}").text
        assert "/release" not in page + client.get("/desk/parked").text
        fields = hidden(page) | {"reason": "x", "name": "out.maple", "kind": "again", "partner": "maple"}
        for deed in (
            f"/desk/parked/{id_}/release", f"/desk/parked/{id_}/refuse", "/desk/destinations/resume",
            "/desk/dead/x/requeue", "/desk/runs/new",
        ):  # fmt: skip
            assert client.get(deed).status_code == 403, deed
            assert client.post(deed, data=fields).status_code == 403, deed
    life = gateway.journal.show(id_)
    assert life
    assert life["state"] == "parked"
    assert not [link for link in life["audit"] if "operator" in link["detail"]]


def test_a_destination_is_resumed_under_the_operators_name(
    tmp_path: Path, gateway: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(settings_in(tmp_path).database_url.removeprefix("sqlite:///"))) as raw, raw:
        raw.execute("INSERT INTO destination VALUES ('out.maple', 3, '2026-01-01 00:00:00.000000', NULL, 'no route')")
    with desk(tmp_path, users(tmp_path, marie="act")) as client:
        sign_in(client, "marie")
        assert "no route" in client.get("/desk/destinations").text
        answer = send_form(client, "/desk/destinations/resume?name=out.maple", name="out.maple")
        assert answer.headers["location"] == "/desk/destinations?done=resumed"
        assert client.get("/desk/destinations/resume?name=out.maple").status_code == 409, "it is well now"
    events = [each for each in gateway.journal.events(0, 100) if each.event == "destination unparked"]
    assert [each.detail for each in events] == [{"destination": "out.maple", "operator": "marie"}]
    told = runner(tmp_path, monkeypatch)("unpark", "out.maple", "--operator", "paul")
    assert told.exit_code == 1, "the command line says the same"


def test_a_dead_letter_goes_back_under_the_operators_name(tmp_path: Path, gateway: House) -> None:
    gateway.send("maple", GOOD)
    (letter,) = gateway.intake.receive(1)
    gateway.intake.reject([letter], requeue=False)
    assert gateway.broker.depth(DEAD_QUEUE) == 1
    with desk(tmp_path, users(tmp_path, marie="act")) as client:
        sign_in(client, "marie")
        page = client.get("/desk/dead").text
        (where,) = {part.split('"')[0] for part in page.split('href="')[1:] if part.startswith("/desk/dead/")}
        assert send_form(client, where).headers["location"] == "/desk/dead?done=requeued"
        assert "/requeue" not in client.get("/desk/dead").text
    (row,) = gateway.journal.list_messages(channel="partner")
    assert [each["operator"] for each in audit(gateway, row["id"], "dead letter requeued")] == ["marie"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("messages/" + "0" * 32, 404, "aucun message n'a cet identifiant"),
        ("?state=lost", 400, "state : l'un de "),
        ("?since=soon", 400, "since : un jour (2026-11-23, today)"),
        ("destinations/resume?name=out.x", 409, "rien n'attend 'out.x', et rien n'y a échoué"),
        ("parked/" + "0" * 32 + "/release", 409, "aucun message n'a un identifiant en "),
        ("runs/77", 404, "ce rejeu n'existe pas"),
        ("nowhere", 404, "il n'y a rien à cette adresse"),
    ],
)
def test_what_cannot_be_done_is_told_in_french(
    tmp_path: Path, gateway: House, path: str, status: int, said: str
) -> None:
    with desk(tmp_path, users(tmp_path, marie="act")) as client:
        sign_in(client, "marie")
        answer = client.get(
            f"/desk{path if path.startswith('?') else '/' + path}{'&' if '?' in path else '?'}lang=fr",
            headers={"accept": "text/html"},
        )
    assert (answer.status_code, said in unescape(answer.text)) == (status, True), answer.text


def test_a_journal_that_is_not_there_is_told_in_french(tmp_path: Path, gateway: House) -> None:
    with desk(tmp_path, users(tmp_path, marie="act")) as client:
        sign_in(client, "marie")
        database = Path(settings_in(tmp_path).database_url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(database)) as raw:
            raw.execute("ALTER TABLE inbox RENAME TO elsewhere")
        answer = client.get("/desk?lang=fr", headers={"accept": "text/html"})
    assert (answer.status_code, "le journal n'est pas disponible : " in unescape(answer.text)) == (503, True)


def test_a_replay_runs_by_itself_and_is_kept_under_the_operators_name(tmp_path: Path, gateway: House) -> None:
    gateway.send("maple", GOOD)
    gateway.settle_down()
    with desk(tmp_path, users(tmp_path, marie="act")) as client:
        sign_in(client, "marie")
        nothing = send_form(client, "/desk/runs/new", kind="again")
        assert nothing.status_code == 400, "everything is not a selection"
        assert '<p class="fault" role="alert">Select messages' in nothing.text, "the form comes again"
        assert send_form(client, "/desk/runs/new", kind="/etc", partner="maple").status_code == 400
        where = send_form(client, "/desk/runs/new", kind="again", partner="maple").headers["location"]
        assert send_form(client, "/desk/runs/new", kind="again", partner="maple").status_code == 409, "one at a time"
        with client.stream("GET", f"{where}/live") as stream:
            told = stream.read().decode()
        assert told.startswith("event: progress\n")
        assert told.endswith("event: over\n\n")
        assert "1 replayed, 0 different" in client.get(where).text
    (row,) = gateway.journal.list_messages(channel="partner")
    life = gateway.journal.show(row["id"])
    assert life
    assert [each["operator"] for each in life["executions"]] == ["marie"]


def test_figures_are_told_when_they_change_with_one_question_for_all(tmp_path: Path, gateway: House) -> None:
    with desk(tmp_path) as client:
        enter(client)
        page = client.get("/desk").text
        assert '<li><b>0</b><a href="/desk/parked">' in page
        park(gateway, "maple", GOOD)
        time.sleep(2.1)
        assert '<li class="look"><b>1</b><a href="/desk/parked">' in client.get("/desk").text
