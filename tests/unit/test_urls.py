"""What may be secret in a URL of broker or database is never shown, however the URL is written, and nothing breaks."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import GatewayError, JournalUnavailable
from core.urls import mask, users_of, without_secrets
from gateway.journal import Journal
from gateway.queues import open_broker

SECRET = "Geh3im"  # noqa: S105 - to be looked for

# What may stand around a secret: every sign that separates something in a URL, and some that do not.
AROUND = st.text(st.sampled_from(":;@/?#&=%[]+ !a1.\n\x1b\\é"), max_size=6)
SCHEMES = st.sampled_from(["amqp", "amqps", "postgresql", "postgres", "sqlite", "postgresql+psycopg", "", "x"])
SEPARATORS = st.sampled_from(["://", ":/", ":", "//", ":///", ""])


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Draw a URL that has a password, or something like one, where a user may have put it."""
    before, after = draw(AROUND), draw(AROUND)
    password = f"{before}{SECRET}{after}"
    where = draw(
        st.sampled_from(["u:{}@host/db", "{}@host", ":{}@host", "u:{}", "u:{}@h1;amqp://u:{}@h2", "h/d?password={}"])
    )
    return f"{draw(SCHEMES)}{draw(SEPARATORS)}{where.format(password, password)}"


# A user alone is no secret; these are the forms that have nothing else before the `@`.
def is_user(url: str) -> bool:
    return any(SECRET in user for user in users_of(url))


@given(urls())
def test_a_secret_is_never_shown(url: str) -> None:
    shown = mask(url)
    assert shown.isprintable()
    if is_user(url) or url.startswith("sqlite:///") or f"://{SECRET}" in url:
        return
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:Geh3im@host:5672/vhost", "amqp://user:**@host:5672/vhost"),
        ("amqp://user:Geh;3im@host", "amqp://user:**@host"),
        ("amqp://user:G@h3im@host", "amqp://user:**@host"),
        ("amqp://user:Geh3im", "amqp://***"),
        ("amqp://host/x?password=Geh3im", "amqp://host/x?***"),
        ("amqp://u:Geh3im@h1;amqps://u:Geh3im@h2", "amqp://u:**@h1;amqps://u:**@h2"),
        ("amqp://u%3AGeh3im@host", "amqp://***@host"),
        ("amqp//u:Geh3im@host", "***"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("sqlite:////var/lib/queue.db?lease=30", "sqlite:////var/lib/queue.db?lease=30"),
    ],
)
def test_what_is_plain_is_shown(url: str, shown: str) -> None:
    assert mask(url) == shown


@given(urls() | st.text())
@example("sqlite://u:Geh3im@host/db")  # what the database library says itself of a URL that it cannot take
@example("sqlite:///x?timeout=Geh3im")
@example("postgresql://u:Geh3im@h/db?host=a&host=b:Geh3im&port=1")
@example("sqlite:///a\x00b")
def test_no_url_ends_in_a_traceback_or_shows_its_secret(url: str) -> None:
    hidden = not is_user(url) and not url.startswith("sqlite:")
    for name, opened in (("broker", open_broker), ("journal", Journal.open)):
        try:
            said = opened(url or "x").url
        except (GatewayError, JournalUnavailable) as error:
            said = str(error)
        assert len(said.splitlines()) == 1
        if hidden and f"://{SECRET}" not in url:
            assert SECRET not in said, name


def test_what_a_library_says_loses_the_secrets() -> None:
    url = "postgresql://u:p%40ss@host/db?sslpassword=xyz&options=-c%20a"
    said = without_secrets('cannot log in "u" with p@ss (p%40ss), xyz and -c a', url)
    assert said == 'cannot log in "u" with *** (***), *** and ***'
