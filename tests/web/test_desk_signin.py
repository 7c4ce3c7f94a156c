"""Who comes in at the desk, and who does not: one-time address, users' file, sessions, forms of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from core.errors import GatewayError
from gateway.cli.main import main
from gateway.web import serving, sessions
from gateway.web.sessions import Attempts, Sessions
from gateway.web.site import WaysIn
from gateway.web.users import load_users
from tests.support import shortcuts
from tests.support.desk import recorded
from tests.support.desk_site import PASSWORD, TICKET, desk, enter, hidden, sign_in, users
from tests.support.house import settings_in
from tests.support.way import PLANS

PAGES = ("/desk", "/desk/messages.csv", "/desk/messages/0123456789", "/desk/parked", "/desk/destinations", "/desk/dead")
DEEDS = (
    "/desk/parked/0123456789/release",
    "/desk/parked/0123456789/refuse",
    "/desk/destinations/resume",
    "/desk/sign-out",
)


@pytest.fixture(autouse=True)
def _journal(tmp_path: Path) -> None:
    recorded(tmp_path).close()


def test_nothing_is_shown_or_done_for_who_has_not_signed_in(tmp_path: Path) -> None:
    with desk(tmp_path) as client:
        for path in PAGES:
            answer = client.get(path, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/desk/sign-in"), path
        for path in DEEDS:
            assert client.post(path, follow_redirects=False).status_code == 403, path
        assert client.get("/desk/live").status_code == 403


def test_the_one_time_address_lets_in_once(tmp_path: Path) -> None:
    with desk(tmp_path) as client:
        assert client.get("/desk/enter?ticket=wrong").status_code == 403
        client.head(f"/desk/enter?ticket={TICKET}")  # whoever looks ahead at it does not use it up
        client.get(f"/desk/enter?ticket={TICKET}", headers={"sec-purpose": "prefetch"})
        answer = client.get(f"/desk/enter?ticket={TICKET}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
        for part in ("HttpOnly", "SameSite=lax", "Path=/"):
            assert part in answer.headers["set-cookie"]
        client.cookies.clear()
        assert client.get(f"/desk/enter?ticket={TICKET}").status_code == 403
        assert client.get("/desk/enter?ticket=").status_code == 403


def test_a_name_and_a_password_let_in_as_what_the_file_says(tmp_path: Path) -> None:
    with desk(tmp_path, users(tmp_path, marie="look", zoë="act")) as client:
        assert client.get("/desk/enter?ticket=").status_code == 404, "with a file there is no such address"
        refused = [sign_in(client, "marie", "wrong" * 4), sign_in(client, "nobody"), sign_in(client, "", "")]
        assert {each.status_code for each in refused} == {401}
        told = {each.text.replace(hidden(each.text)["form"], "") for each in refused}
        assert len(told) == 1, "whether a name is known is not told"
        assert sign_in(client, "marie").headers["location"] == "/desk"
        assert "may look" in client.get("/desk").text
        assert sign_in(client, "zoë").status_code == 303
        assert "may act" in client.get("/desk").text


def test_the_session_has_a_new_id_and_ends_for_good(tmp_path: Path) -> None:
    with desk(tmp_path, users(tmp_path, marie="look")) as client:
        client.cookies.set("desk", "chosen-by-somebody-else")
        sign_in(client, "marie")
        first = client.cookies.get("desk", path="/", domain="testserver.local")
        assert first
        assert first != "chosen-by-somebody-else"
        client.cookies.clear()
        client.cookies.set("desk", first)
        sign_in(client, "marie")
        client.cookies.clear()
        client.cookies.set("desk", first)
        assert client.get("/desk", follow_redirects=False).status_code == 303, "the former id is nobody's now"
        client.cookies.clear()
        sign_in(client, "marie")
        kept = dict(client.cookies)
        assert client.post("/desk/sign-out", data=hidden(client.get("/desk").text)).status_code == 200
        client.cookies.clear()
        client.cookies.update(kept)
        assert client.get("/desk", follow_redirects=False).status_code == 303


def test_over_https_the_cookie_is_for_this_host_and_https_only(tmp_path: Path) -> None:
    with desk(tmp_path) as client:
        answer = client.get(f"https://testserver/desk/enter?ticket={TICKET}", follow_redirects=False)
    assert "__Host-desk=" in answer.headers["set-cookie"]
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ("/desk/messages/0123abcd", "/desk/messages/0123abcd"),
        ("/desk?search=a", "/desk?search=a"),
        ("https://evil.example/desk", "/desk"),
        ("//evil.example", "/desk"),
        ("/desk/../../x", "/desk"),
        ("/desk\\evil", "/desk"),
    ],
)
def test_after_signing_in_one_comes_to_a_page_of_the_desk_only(tmp_path: Path, given: str, where: str) -> None:
    with desk(tmp_path, users(tmp_path, marie="look")) as client:
        fields = hidden(client.get("/desk/sign-in").text) | {"name": "marie", "password": PASSWORD}
        answer = client.post("/desk/sign-in", params={"to": given}, data=fields, follow_redirects=False)
        assert answer.headers["location"] == where


def test_a_sign_in_form_of_another_site_is_refused(tmp_path: Path) -> None:
    with desk(tmp_path, users(tmp_path, marie="look")) as client:
        assert sign_in(client, "marie", origin="https://evil.example").status_code == 403
        assert sign_in(client, "marie", origin="null").status_code == 403
        assert sign_in(client, "marie", **{"sec-fetch-site": "cross-site"}).status_code == 403
        client.cookies.clear()
        bare = client.post("/desk/sign-in", data={"name": "marie", "password": PASSWORD})
        assert bare.status_code == 403, "without its own key a form is another's"
        assert sign_in(client, "marie", origin="http://testserver").status_code == 303


def test_a_deed_needs_the_sessions_token_and_this_origin(tmp_path: Path) -> None:
    with desk(tmp_path) as client:
        enter(client)
        good = hidden(client.get("/desk/parked").text)
        for wrong in ({}, good | {"csrf": ""}, good | {"csrf": "guessed"}, {"csrf": good["csrf"]}):
            answer = client.post("/desk/sign-out", data=wrong, follow_redirects=False)
            assert answer.status_code in (400, 403), wrong
        elsewhere = client.post("/desk/sign-out", data=good, headers={"origin": "http://evil.example"})
        assert elsewhere.status_code == 403
        assert client.get("/desk/sign-out").status_code == 405
        assert client.get("/desk", follow_redirects=False).status_code == 200, "still in"


def test_another_host_is_not_answered(tmp_path: Path) -> None:
    with desk(tmp_path) as client:
        assert client.get(f"/desk/enter?ticket={TICKET}", headers={"host": "evil.example"}).status_code == 400
        enter(client)


def test_who_tries_often_waits_longer_each_time_whether_the_name_is_known_or_not(tmp_path: Path) -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    waits = []
    for _ in range(9):
        attempts.failed("marie", "1.2.3.4")
        waits.append(attempts.wait("marie", "1.2.3.4"))
    assert waits == [0, 0, 0, 0, 2, 4, 8, 16, 32]
    assert attempts.wait("marie", "9.9.9.9") == 0, "who tries elsewhere is not locked out by a stranger"
    assert attempts.wait("paul", "1.2.3.4") == 0
    now[0] += 33
    assert attempts.wait("marie", "1.2.3.4") == 0
    for n in range(20):
        attempts.failed(f"name {n}", "1.2.3.4")
    assert attempts.wait("unheard", "1.2.3.4") > 0, "a client that tries many names waits, too"
    with desk(tmp_path, users(tmp_path, marie="look")) as client:
        codes = [sign_in(client, "marie", "wrong").status_code for _ in range(6)]
        assert codes == [401, 401, 401, 401, 401, 429]
        again = sign_in(client, "marie")
        assert again.status_code == 429, "the right password does not help while one waits"
        assert f"try again in {again.headers['retry-after']} s" in again.text


def test_a_session_ends_when_idle_and_in_any_case() -> None:
    now = [0.0]
    known = Sessions(lambda: now[0])
    session = known.start("marie", "look")
    for _ in range(int(sessions.LONGEST_SECONDS // 1_000)):
        now[0] += 1_000
        assert known.find(session.id) is session
    now[0] += 1_000
    assert known.find(session.id) is None, "at most so long"
    idle = known.start("marie", "look")
    now[0] += sessions.IDLE_SECONDS - 1
    assert known.lasts(idle), "to listen does not prolong it"
    now[0] += 1
    assert known.find(idle.id) is None
    assert known.find(None) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "user"),
        ("[[user]]\nname = 'a'\npassword = 'secret'\nrole = 'act'", "argon2"),
        ("[[user]]\nname = 'a'\npassword = '$argon2id$x'\nrole = 'king'", "role"),
        ("[[user]]\nname = 'a'\npassword = '$argon2id$x'\nrole = 'act'\n" * 2, "same name"),
    ],
)
def test_a_users_file_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "users.toml"
    path.write_text(text)
    with pytest.raises(GatewayError, match=told) as refused:
        load_users(path)
    assert "secret" not in str(refused.value)


def test_web_user_prints_a_row_that_lets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.users._HASHER", shortcuts.strong)
    made = CliRunner().invoke(main, ["web-user", 'Zoë "Z"', "--role", "act"], input=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    row = made.output[made.output.index("[[user]]") :]
    assert PASSWORD not in row
    assert "$argon2id$v=19$m=65536,t=3,p=4$" in row, "what makes guessing dear"
    (tmp_path / "users.toml").write_text(row)
    with desk(tmp_path, WaysIn(users=tmp_path / "users.toml")) as client:
        assert sign_in(client, 'Zoë "Z"').status_code == 303
    short = CliRunner().invoke(main, ["web-user", "a"], input="short\nshort\n")
    assert short.exit_code == 2


@pytest.mark.parametrize(("host", "proxies"), [("198.51.100.1", ()), ("192.0.2.1", ()), ("127.0.0.1", ("127.0.0.1",))])
def test_no_desk_without_sign_in_where_others_reach_it(tmp_path: Path, host: str, proxies: tuple[str, ...]) -> None:
    with pytest.raises(GatewayError, match="--users or --openid"):
        serving.serve(settings_in(tmp_path), PLANS, ("desk",), (host, 0), (), 10, proxies=proxies)


def test_no_desk_without_a_journal(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="there is no journal"), desk(tmp_path / "elsewhere") as client:
        assert isinstance(client, TestClient)
