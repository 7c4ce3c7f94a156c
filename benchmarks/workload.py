"""Generated EDIFACT traffic for the benchmarks: 27 bytes a segment as in real declarations, every value drawn anew."""

from __future__ import annotations

import random
from collections.abc import Iterator

UNB = "UNB+UNOC:3+SENDER:14+CBSA:14+240301:1200+REF1'"
WORDS = ("STEEL", "BRASS", "WIDGET", "VALVE", "PUMP", "HOSE", "COTTON", "SHIRT", "RUBBER", "GLASS", "PANEL", "CABLE")
COUNTRIES = ("US", "MX", "CN", "DE", "FR", "IT", "GB", "JP", "KR", "IN", "BR", "VN", "TH", "TW", "PL", "ES")


def govcbr(random_: random.Random, reference: int, lines: int) -> str:
    """Return one GOVCBR D.13A declaration with so many lines, at most 500 to an invoice; 9 lines make 3 kB."""
    draw = random_.randrange
    number = f"{draw(10**13, 10**14)}"
    segments = [
        f"BGM+AB:CAD+{number}:00001+9",
        f"DTM+137:2024{draw(1, 13):02}{draw(1, 29):02}:102",
        f"RFF+ABO:{draw(10**9)}",
        f"RFF+XC:{draw(10**12)}",
        f"LOC+22+{draw(1, 999):04}",
        f"NAD+IM+{draw(10**8, 10**9)}RM0001++IMPORTER {draw(999)} LTD+{draw(999)} MAIN ST+OTTAWA+ON+K1A0B1+CA",
        "UNS+D",
    ]
    for line in range(1, lines + 1):
        if line % 500 == 1:
            segments += [
                f"SEQ++{line // 500 + 1}",
                f"RFF+ON:PO-{draw(10**6)}",
                f"NAD+SE+++VENDOR {draw(999)} INC+{draw(9999)} HIGH ST+{random_.choice(WORDS)}+NY+{draw(10**5):05}+US",
                f"DOC+380+INV-{draw(10**7)}",
                "SEQ++1",
                f"MOA+39:{draw(10**7) / 100:.2f}:USD",
            ]
        segments += [
            f"LIN+{line}",
            f"MOA+77:{draw(10**6) / 100:.2f}:USD",
            f"LOC+27+{random_.choice(COUNTRIES)}",
            f"LOC+35+{random_.choice(COUNTRIES)}",
            "GID+1",
            f"FTX+AAA+++{_text(random_)}:{_text(random_)}",
            f"DTM+11:2024{draw(1, 13):02}{draw(1, 29):02}:102",
            f"MEA+AAR++NMB:{draw(1, 5000)}",
            f"TCC+++{draw(10**9, 10**10)}:HS",
            "TAX+7+CUD",
            f"MOA+55:{draw(10**5) / 100:.2f}",
        ]
    segments += ["HYN+3", "UNS+S", f"CNT+5:{lines}"]
    return _message("GOVCBR:D:13A:UN:CAD", reference, segments)


def cusdec(random_: random.Random, reference: int, lines: int) -> str:
    """Return one CUSDEC D.96B declaration with so many lines; 9 lines make 3 kB."""
    draw = random_.randrange
    segments = [
        f"BGM+929+LRN{draw(10**9)}::00001+9",
        "CST++A:117:ZZZ",
        "LOC+14+LOCGO::ZZZ",
        f"LOC+35+{random_.choice(COUNTRIES)}::5",
        f"DTM+132:2024{draw(1, 13):02}{draw(1, 29):02}:102",
        "GIS+N:127:ZZZ",
        f"MEA+AAE+AAD+KGM:{draw(10**6) / 100:.2f}",
        f"RFF+AAS:083-{draw(10**8):08}",
        f"DTM+137:2024{draw(1, 13):02}{draw(1, 29):02}:102",
        "TDT+20++4",
        f"NAD+CB+{draw(10**8):08}E::ZZZ",
        f"MOA+39:{draw(10**8) / 100:.2f}",
        "UNS+D",
    ]
    for line in range(1, lines + 1):
        segments += [
            f"CST+{line}+{draw(10**7, 10**8)}:122",
            f"FTX+AAA+++{_text(random_)}:{_text(random_)}",
            f"LOC+27+{random_.choice(COUNTRIES)}",
            f"LOC+30+{random_.choice(COUNTRIES)}",
            f"DTM+150:2024{draw(1, 13):02}{draw(1, 29):02}:102",
            f"MEA+AAE+AAB+KGM:{draw(10**5) / 100:.2f}",
            f"NAD+SU+++SUPPLIER {draw(999)} INC",
            f"MOA+123:{draw(10**7) / 100:.2f}",
            f"RFF+ABT:{draw(10**12)}",
            "TAX+1+CUD",
            f"MOA+161:{draw(10**6) / 100:.2f}",
        ]
    segments += ["UNS+S", f"CNT+5:{lines}"]
    return _message("CUSDEC:D:96B:UN:ZZZ01", reference, segments)


def _text(random_: random.Random) -> str:
    return " ".join(random_.choices(WORDS, k=11))[:70].rstrip()


KINDS = {"GOVCBR": govcbr, "CUSDEC": cusdec}


def interchange(kind: str, messages: int, lines: int, *, faulty: int = 0, seed: int = 1) -> bytes:
    """Return an interchange; every `faulty`-th message (0: none) has an impossible date and a wrong segment count."""
    random_ = random.Random(seed)  # noqa: S311
    return b"".join(_interchange(random_, kind, messages, lines, faulty))


def _interchange(random_: random.Random, kind: str, messages: int, lines: int, faulty: int) -> Iterator[bytes]:
    yield UNB.encode()
    for number in range(1, messages + 1):
        text = KINDS[kind](random_, number, lines)
        if faulty and number % faulty == 0:
            text = text.replace(":2024", ":2O24", 1)
        yield text.encode()
    yield f"UNZ+{messages}+REF1'".encode()


def _message(identifier: str, reference: int, segments: list[str]) -> str:
    inner = "'".join(segments)
    return f"UNH+{reference}+{identifier}'{inner}'UNT+{len(segments) + 2}+{reference}'"
