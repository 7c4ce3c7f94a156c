"""Databases that are not as a journal needs them, or whose defaults are others: they work, or are refused in a line."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from core.errors import JournalUnavailable
from gateway.journal import Chosen, Journal, database
from gateway.service import now
from tests.support.house import house, kinds
from tests.support.sending import ORIGINAL
from tests.support.servers import PgBouncer
from tests.support.way import HOME

pytestmark = pytest.mark.broker


@contextmanager
def executing(url: str | sqlalchemy.URL) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize(
    "default",
    ["default_transaction_isolation = 'serializable'", "DateStyle = 'German, DMY'", "TimeZone = 'Asia/Kathmandu'",
     "default_transaction_isolation = 'repeatable read'", "plan_cache_mode = 'force_generic_plan'",
     "bytea_output = 'escape'", "standard_conforming_strings = off"],
)  # fmt: skip
def test_whatever_the_servers_defaults_the_way_is_the_same(postgres_url: str, tmp_path: Path, default: str) -> None:
    name = sqlalchemy.make_url(postgres_url).database
    with executing(postgres_url) as admin:
        admin.exec_driver_sql(f"ALTER DATABASE {name} SET {default}")
    try:
        with house(tmp_path, database_url=postgres_url) as gateway:
            gateway.send("maple", ORIGINAL)
            gateway.settle_down()
            assert sorted(kinds(gateway.answers("maple"))) == ["accepted", "assessed", "contrl", "receipt"]
            (row,) = gateway.journal.list_messages(channel="partner")
            assert abs((now() - row["received_at"]).total_seconds()) < 600
            assert gateway.journal.verify().bad is None
    finally:
        with executing(postgres_url) as admin:
            admin.exec_driver_sql(f"ALTER DATABASE {name} RESET ALL")


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_url: str) -> None:
    url = sqlalchemy.make_url(postgres_url)
    name = f"ascii_{uuid.uuid4().hex[:12]}"
    with executing(postgres_url) as admin:
        admin.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    journal = Journal.open(url.set(database=name).render_as_string(hide_password=False))
    try:
        with pytest.raises(JournalUnavailable, match="ENCODING 'UTF8'") as refused:
            journal.migrate()
        assert len(str(refused.value).splitlines()) == 1
    finally:
        journal.close()
        with executing(postgres_url) as admin:
            admin.exec_driver_sql(f"DROP DATABASE {name}")


def test_a_pooler_that_forgets_what_a_session_sets_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer in transaction mode, told to take no notice of the options that it does not know."""
    journal = Journal.open(postgres_url)
    journal.migrate()
    journal.close()
    real = database.create_engine

    def pooled(url: sqlalchemy.URL, connect_args: dict[str, object]) -> sqlalchemy.Engine:
        return real(url, connect_args={name: given for name, given in connect_args.items() if name != "options"})

    monkeypatch.setattr(database, "create_engine", pooled)
    pooler = Journal.open(postgres_url)
    with pytest.raises(JournalUnavailable, match="transaction mode"):
        pooler.check_schema()
    assert "transaction mode" in (pooler.unfit() or "")
    pooler.close()


@pytest.mark.parametrize(
    ("settings", "why"),
    [("", "unsupported startup parameter"), ("ignore_startup_parameters = options", "transaction mode")],
)
def test_pgbouncer_in_transaction_mode_is_refused_at_the_start(
    postgres_url: str, tmp_path: Path, settings: str, why: str
) -> None:
    """As it comes, and told to take no notice of what it does not know, where the server's defaults are as ours."""
    if PgBouncer.program is None:
        pytest.skip("pgbouncer is not installed")
    journal = Journal.open(postgres_url)
    journal.migrate()
    journal.close()
    url = sqlalchemy.make_url(postgres_url)
    with executing(postgres_url) as admin:
        admin.exec_driver_sql(f"ALTER DATABASE {url.database} SET plan_cache_mode = force_custom_plan")
    try:
        with PgBouncer(tmp_path, url, settings) as pooler:
            pooled = Journal.open(pooler.url())
            with pytest.raises(JournalUnavailable, match=why) as told:
                pooled.check_schema()
            assert len(str(told.value).splitlines()) == 1
            pooled.close()
    finally:
        with executing(postgres_url) as admin:
            admin.exec_driver_sql(f"ALTER DATABASE {url.database} RESET ALL")


def grants(role: str) -> list[str]:
    """Return the lines of docs/operations.md that give a role what the gateway needs, for this role."""
    page = (HOME / "docs/operations.md").read_text("utf-8")
    block = page.partition("<!-- role -->\n```\n")[2].partition("```")[0]
    return [line.replace("gateway_app", role) for line in block.split(";\n") if line.strip()]


def test_a_role_that_owns_nothing_does_all_of_a_gateways_work(postgres_url: str, tmp_path: Path) -> None:
    """And the chain is out of its reach."""
    owner = Journal.open(postgres_url)
    owner.migrate()
    owner.close()
    url, role = sqlalchemy.make_url(postgres_url), f"app_{uuid.uuid4().hex[:12]}"
    with executing(postgres_url) as admin:
        for line in grants(role):
            admin.exec_driver_sql(line)
    mine = url.set(username=role, password="secret")  # noqa: S106
    try:
        opened = Journal.open(mine.render_as_string(hide_password=False))
        assert opened.unfit() is None
        with executing(mine) as connection:
            for harm in ("ALTER TABLE audit DISABLE TRIGGER ALL", "UPDATE audit SET hash = ''", "DELETE FROM audit"):
                with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"permission denied|must be owner"):
                    connection.exec_driver_sql(harm)
        with house_as(opened, tmp_path) as gateway:
            gateway.send("maple", ORIGINAL)
            gateway.settle_down()
            assert len(gateway.answers("maple")) == 4
            assert opened.close_answers([row["id"] for row in opened.open_answers(Chosen(), now())], "me", "x", now())
            opened.note_chore("backup", now())
            assert opened.verify().bad is None
        opened.close()
    finally:
        with executing(postgres_url) as admin:
            admin.exec_driver_sql(f"DROP OWNED BY {role}")
            admin.exec_driver_sql(f"DROP ROLE {role}")


@contextmanager
def house_as(journal: Journal, folder: Path) -> Iterator[object]:
    """Open a gateway that works on this journal."""
    with house(folder) as gateway:
        gateway.journal = journal
        yield gateway


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict", "utf-16"])
def test_whatever_the_outputs_encoding_no_letter_is_a_traceback(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "explain", "CAD-0101", "--lang", "fr"],
        cwd=HOME, env={"PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
