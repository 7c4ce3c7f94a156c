"""Mutated transmissions for GATEWAY_FUZZ_SECONDS each: whatever the bytes, there is a verdict; `make fuzz`."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.edifact_cases import CUSDEC, GOVCBR, UNB, message
from tests.unit.test_edifact_fast import mutant
from tests.unit.test_edifact_hostile import PIECES, outcome
from tests.way.test_way_any_bytes import EDIFACT, XML, ends_well

WORDS = [
    *(b"<", b">", b"</", b"/>", b"&", b"&amp;", b"&#x", b";", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?a?>"),
    *(b'xmlns=""', b"xmlns:x='y'", b"xsi:type='x'", b"xsi:nil='true'", b"formatCode='102'", b"currencyID='CAD'"),
    *(b"0", b"-1", b"1e9", b"NaN", b"9" * 40, b"20260230", b" ", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf"),
    *("\u00a0".encode(), b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<ID/>", b"<Commodity>", b"</GoodsShipment>"),
    b"<Amendment><Pointer/></Amendment>",
]


def spoilt(body: bytes, draw: random.Random, pieces: list[bytes]) -> bytes:
    """Return bytes with pieces cut out, doubled, moved or overwritten in a few places."""
    spoiling = bytearray(body)
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(spoiling) + 1)
        end = at + draw.choice((0, 0, 1, 2, 5, 40, 400))
        piece = draw.choice((*pieces, bytes([draw.randrange(256)]), bytes(spoiling[at:end]) * 2))
        spoiling[at:end] = piece
    return bytes(spoiling)


def edifact(draw: random.Random) -> bytes:
    """Return a spoilt interchange: a sample, or two messages in any syntax version and character set."""
    if draw.random() < 0.5:
        return spoilt(draw.choice(EDIFACT), draw, PIECES)
    kind = draw.choice(("GOVCBR", "CUSDEC"))
    base = message(kind, list(GOVCBR if kind == "GOVCBR" else CUSDEC), "1")
    text = f"{draw.choice(('', 'UNA:+.? ', 'UNA:+,?*'))}{UNB}'{base}{base}UNZ+2+REF1'"
    text = text.replace("UNOB:3", f"UNO{draw.choice('ABCDEFGHIJKLWXYZ')}:{draw.choice('12345X')}")
    return spoilt(mutant(text, draw).encode("utf-8", "surrogateescape"), draw, PIECES)


def xml(draw: random.Random) -> bytes:
    """Return a spoilt document: a sample, in UTF-8 or UTF-16."""
    body = spoilt(draw.choice(XML), draw, WORDS)
    return body if draw.random() < 0.9 else body.decode("utf-8", "replace").encode("utf-16")


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("write", [edifact, xml])
def test_whatever_comes_in_has_a_verdict(write: Callable[[random.Random], bytes]) -> None:
    seconds = float(os.environ.get("GATEWAY_FUZZ_SECONDS", "2"))
    seed = int(os.environ.get("GATEWAY_FUZZ_SEED", "0")) or random.randrange(2**32)
    draw = random.Random(seed)
    start = time.monotonic()
    runs = 0
    while time.monotonic() - start < seconds:
        runs += 1
        body = write(draw)
        try:
            ends_well(body)
            if write is edifact:
                outcome(body)
        except Exception as error:
            raise AssertionError(f"seed {seed}, run {runs}: {body!r}") from error
    print(f"{runs} {write.__name__} transmissions in {seconds:.0f} s, seed {seed}")
