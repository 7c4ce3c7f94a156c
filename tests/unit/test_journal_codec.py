"""The journal's pure parts: declarations as JSON, the audit chain, lanes, pauses."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.declaration import Commodity, Declaration, Invoice, Unreadable
from core.envelope import Envelope
from core.findings import Bilingual, Finding, Place, Severity
from gateway.journal.audit import GENESIS, Head, Link, link_hash, walk
from gateway.journal.codec import (
    decode_declaration,
    encode_declaration,
    encode_envelope,
    encode_findings,
)
from gateway.journal.inbox import ready
from gateway.journal.outbox import LONGEST_PAUSE, pause

texts = st.text(st.characters(), max_size=8)  # lone surrogates and NUL included
values = st.one_of(
    texts,
    texts.map(Unreadable),
    st.dates(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from([Decimal("-0"), Decimal("0.00"), Decimal("1E+5"), Decimal("Infinity")]),
)
levels = {
    "values": st.dictionaries(texts, values, max_size=3),
    "more": st.dictionaries(texts, st.lists(values, min_size=1, max_size=3).map(tuple), max_size=1),
}
commodities = st.builds(Commodity, **levels)
invoices = st.builds(Invoice, **levels, commodities=st.lists(commodities, max_size=2).map(tuple))
declarations = st.builds(Declaration, **levels, invoices=st.lists(invoices, max_size=2).map(tuple))


def kinds(declaration: Declaration) -> list[tuple[str, str, str]]:
    """Show every value with its type, which equality alone does not: Unreadable("a") == "a", 1.0 == 1.00."""
    return [
        (name, type(value).__name__, str(value))
        for _, _, level in declaration.levels()
        for name in sorted(level.values)
        for value in level.all(name)
    ]


@given(declarations)
def test_a_declaration_survives_the_journal(declaration: Declaration) -> None:
    back = decode_declaration(encode_declaration(declaration))
    assert back == declaration
    assert kinds(back) == kinds(declaration)


@given(declarations)
def test_equal_declarations_have_one_text(declaration: Declaration) -> None:
    turned = replace(declaration, values=dict(reversed(declaration.values.items())))
    text = encode_declaration(declaration)
    assert encode_declaration(turned) == text
    assert text.isascii()
    assert "\0" not in text


def test_the_text_is_readable_without_this_program() -> None:
    declaration = Declaration(
        {"version": "00001", "gross_weight": Decimal("12.50"), "bad": Unreadable("x")},
        invoices=(Invoice({}, commodities=(Commodity({"line_number": Decimal(1)}),)),),
    )
    assert json.loads(encode_declaration(declaration)) == {
        "values": {"version": "00001", "gross_weight": {"number": "12.50"}, "bad": {"unreadable": "x"}},
        "invoices": [{"values": {}, "commodities": [{"values": {"line_number": {"number": "1"}}}]}],
    }


@given(st.builds(Envelope, sender=texts | st.none(), reference=texts | st.none(), test=st.booleans()))
def test_an_envelope_survives_the_journal(envelope: Envelope) -> None:
    assert Envelope(**json.loads(encode_envelope(envelope))) == envelope


def test_findings_keep_what_the_sender_was_told() -> None:
    text, source = Bilingual("gone", "parti"), Bilingual("ours", "nôtre")
    finding = Finding("CAD-0001", Severity.REFUSE, text, Place(segment=3), None, "a14", source)
    (told,) = json.loads(encode_findings([finding]))
    assert (told["text_fr"], told["source_en"], told["source_fr"]) == ("parti", "ours", "nôtre")
    assert told["place"] == {"segment": 3}


# ------------------------------------------------------------------------------------------------ audit


def chain(length: int) -> list[Link]:
    links, previous = [], GENESIS
    for n in range(1, length + 1):
        content = (n, f"2026-01-01T00:00:{n:02}", "received", n, f'{{"n":{n}}}')
        previous = link_hash(previous, *content)
        links.append(Link(*content, previous))
    return links


def test_a_whole_chain_holds() -> None:
    links = chain(20)
    told = walk(links, [Head(7, links[6].hash), Head(20, links[-1].hash), Head(0, GENESIS)])
    assert (told.bad, told.heads) == (None, 3)
    assert walk(links).links == 20
    assert walk(links).head == links[-1].hash
    assert walk([]).bad is None


@given(st.integers(1, 20), st.sampled_from(["at", "event", "subject", "detail", "hash"]))
def test_a_changed_row_is_named(n: int, column: str) -> None:
    links = chain(20)
    was = getattr(links[n - 1], column)
    links[n - 1] = links[n - 1]._replace(**{column: was + 1 if column == "subject" else was + "0"})
    assert walk(links).bad == n


@given(st.integers(1, 19))
def test_a_deleted_row_is_named(n: int) -> None:
    links = chain(20)
    del links[n - 1]
    assert walk(links).bad == n


@given(st.integers(1, 20), st.integers(1, 20))
def test_swapped_rows_are_named(first: int, second: int) -> None:
    links = chain(20)
    one, other = sorted((first, second))
    links[one - 1], links[other - 1] = (
        Link(one, *links[other - 1][1:]),
        Link(other, *links[one - 1][1:]),
    )
    assert walk(links).bad == (one if one != other else None)


def test_only_an_exported_head_shows_a_cut_tail_and_a_rewritten_chain() -> None:
    links = chain(20)
    head = Head(20, links[-1].hash)
    assert walk(links[:15]).bad is None
    assert walk(links[:15], [head]).bad == 16
    rewritten, previous = [], GENESIS
    for n in range(1, 25):
        previous = link_hash(previous, n, "2027", "received", n, "{}")
        rewritten.append(Link(n, "2027", "received", n, "{}", previous))
    assert walk(rewritten).bad is None
    assert walk(rewritten, [head]).bad == 20


# ------------------------------------------------------------------------------------------------ lanes, pauses

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
rows = st.lists(
    st.tuples(
        st.sampled_from(["partner", "assessment"]),
        st.sampled_from(["P1", "P2"]),
        st.sampled_from(["1", "2", "3", "*"]),
        st.sampled_from([None, -1, 0, 1]),
    ),
    max_size=15,
)


@given(rows, st.integers(0, 15))
def test_a_row_is_ready_when_nothing_earlier_stands_before_it(drawn: list, cut: int) -> None:
    unfinished = [
        SimpleNamespace(
            sequence=n,
            channel=channel,
            partner=partner,
            lane=lane,
            lease_until=None if held is None else NOW + timedelta(seconds=held),
        )
        for n, (channel, partner, lane, held) in enumerate(drawn, 1)
    ]
    wanted = [
        row.sequence
        for row in unfinished
        if (row.lease_until is None or row.lease_until <= NOW)
        and not any(
            (earlier.channel, earlier.partner) == (row.channel, row.partner)
            and (earlier.lane == row.lane or "*" in {earlier.lane, row.lane})
            for earlier in unfinished[: row.sequence - 1]
        )
    ]
    lanes: dict = defaultdict(set)
    assert ready(unfinished[:cut], lanes, NOW) + ready(unfinished[cut:], lanes, NOW) == wanted


@pytest.mark.parametrize("failures", [1, 2, 5, 50, 10_000])
def test_pauses_grow_to_a_limit(failures: int) -> None:
    assert pause(failures, 0) <= pause(failures, 1) <= LONGEST_PAUSE
    assert pause(failures, 0) >= min(timedelta(seconds=0.75) * failures, LONGEST_PAUSE * 0.75)
