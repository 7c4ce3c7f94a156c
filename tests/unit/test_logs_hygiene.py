"""The log: no payload, no forged line, business numbers shortened, the libraries' lines like our own."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


Capture = pytest.CaptureFixture[str]


HOSTILE = 'x\n{"event": "forged"}\r\x1b[31m\x00\u2028\x85 for 123456782RM0001 or 123456782'


@pytest.mark.parametrize("style", ["json", "text"])
def test_whatever_is_said_is_one_line_without_control_characters(capsys: Capture, style: str) -> None:
    logs.configure(style)
    logs.logger().info(HOSTILE, error=HOSTILE)
    logging.getLogger("amqp").warning("got %s", HOSTILE)
    logging.getLogger("a.library").error(HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("kombu").exception("failed")
    said = capsys.readouterr().err
    assert len(said.split("\n")) == (5 if style == "json" else 6)  # on a terminal the traceback is a line of its own
    assert all(line.isprintable() for line in said.split("\n"))
    assert "123456782" not in said
    assert "123***RM0001" in said


@given(text=st.text(max_size=200))
def test_no_text_makes_a_second_line(text: str) -> None:
    cleaned = logs._clean(text)
    assert cleaned.isprintable()
    assert len(cleaned.splitlines()) <= 1


def test_payloads_and_unknown_fields_are_dropped(capsys: Capture) -> None:
    logs.configure("json")
    logs.logger().info("received", body=b"UNB+", payload="UNB+", importer_bn="123456782RM0001", count=1)
    line = capsys.readouterr().err
    assert json.loads(line).keys() == {"event", "level", "timestamp", "count"}


def test_what_libraries_report_of_their_work_stays_out(capsys: Capture) -> None:
    logs.configure("json")
    for library in ("kombu", "amqp", "sqlalchemy.engine", "pydifact", "xmlschema"):
        logging.getLogger(library).info("UNB+UNOC:3+SECRET")
    assert capsys.readouterr().err == ""


def test_ids_are_not_taken_for_business_numbers() -> None:
    ids = ["a" * 23 + "123456789", "123456789" + "a" * 23, "12345000000012", "0123456789012345678901234567890a"]
    assert [logs._clean(each) for each in ids] == ids


class _Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stream", [_Full(), None], ids=["full", "none"])
def test_a_line_that_cannot_be_written_harms_nobody(stream: io.StringIO | None, capsys: Capture) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stderr", stream)
        logs.configure()
        logs.logger().error("nobody reads this")
        logging.getLogger("amqp").error("nor this")
    assert capsys.readouterr() == ("", "")
