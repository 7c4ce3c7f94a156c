"""What is neither EDIFACT nor XML, or nearly is, is named: one finding, in both languages, that says what it is."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from core.register import Facts
from core.transmission import Outcome, Received
from gateway import pipeline
from gateway.cli.main import main
from parsers import lookalikes
from tests.support.way import NOW, PARTNERS, PLANS, SAMPLES

GOOD = (SAMPLES / "originals/ab-two-lines.edi").read_bytes()
FLAT = GOOD.replace(b"\r", b"").replace(b"'\n", b"'")
XML = (SAMPLES / "originals/published-example.xml").read_bytes()
UNA, UNB_ON = GOOD[:9], FLAT[9:]
assert UNA == b"UNA:+.? '"
assert UNB_ON.startswith(b"UNB+")
END = UNB_ON.index(b"'") + 1
X12 = b"ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *261123*1000*U*00401*000000001*0*T*>~GS*"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cad.edi", GOOD)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("cad.edi")
        info.size = len(GOOD)
        archive.addfile(info, io.BytesIO(GOOD))
    return file.getvalue()


def full_width(text: str) -> bytes:
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text).encode()


DER = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01"
S_MIME = b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nMIAGCSqGSIb3DQEH"
HTML = b"<!DOCTYPE html>\n<html><head><title>502</title></head><body><h1>Bad Gateway</h1><hr>nginx</body></html>"
LINES = FLAT.replace(b"'", b"\n")

ROOTS = frozenset({"MetaData"})

# What was sent, the finding's code, its place, and a word that both languages have.
KINDS: dict[str, tuple[bytes, str, tuple[int, int], str]] = {
    "gzip": (gzip.compress(GOOD), "GTW-0101", (1, 1), "gzip"),
    "gzip cut off": (gzip.compress(GOOD)[:9], "GTW-0101", (1, 1), "gzip"),
    "ZIP": (zipped(), "GTW-0101", (1, 1), "ZIP"),
    "ZIP without files": (b"PK\x05\x06" + bytes(18), "GTW-0101", (1, 1), "ZIP"),
    "bzip2": (bz2.compress(GOOD), "GTW-0101", (1, 1), "bzip2"),
    "xz": (lzma.compress(GOOD), "GTW-0101", (1, 1), "xz"),
    "LZMA": (lzma.compress(GOOD, lzma.FORMAT_ALONE), "GTW-0101", (1, 1), "LZMA"),
    "zlib": (zlib.compress(GOOD), "GTW-0101", (1, 1), "zlib"),
    "tar": (tarred(), "GTW-0101", (1, 1), "tar"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c\0\4", "GTW-0101", (1, 1), "7-Zip"),
    "RAR": (b"Rar!\x1a\x07\x01\0", "GTW-0101", (1, 1), "RAR"),
    "Zstandard": (b"\x28\xb5\x2f\xfd\x04\0", "GTW-0101", (1, 1), "Zstandard"),
    "PKCS #7": (DER + GOOD, "GTW-0102", (1, 1), "PKCS #7"),
    "PKCS #7 in PEM": (b"-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n", "GTW-0102", (1, 1), "PKCS #7"),
    "S/MIME": (S_MIME, "GTW-0102", (1, 1), "S/MIME"),
    "OpenPGP": (b"-----BEGIN PGP MESSAGE-----\n\nhQEM\n", "GTW-0102", (1, 1), "OpenPGP"),
    "Base64": (base64.b64encode(GOOD), "GTW-0103", (1, 1), "Base64"),
    "Base64 in lines": (base64.encodebytes(XML), "GTW-0103", (1, 1), "Base64"),
    "Base64 of something else": (base64.b64encode(b"\x05\xff some message " * 9), "GTW-0103", (1, 1), "Base64"),
    "URL": (quote(FLAT.decode()).encode(), "GTW-0103", (1, 1), "URL"),
    "form": (b"message=" + quote(FLAT.decode(), safe="").encode(), "GTW-0103", (1, 1), "URL"),
    "quoted-printable": (b"UNB=2BUNOC=3A3=2B", "GTW-0103", (1, 1), "quoted-printable"),
    "hexadecimal": (GOOD.hex().encode(), "GTW-0103", (1, 1), "hexa"),
    "entities": (XML.replace(b"<", b"&lt;"), "GTW-0103", (1, 1), "&lt;"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "GTW-0104", (1, 1), "PDF"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "GTW-0104", (1, 1), "PNG"),
    "RTF": (b"{\\rtf1\\ansi UNB+", "GTW-0104", (1, 1), "RTF"),
    "JSON": (json.dumps({"message": FLAT.decode()}).encode(), "GTW-0105", (1, 1), "JSON"),
    "JSON in lines": (b'[\n  {"a": 1}\n]', "GTW-0105", (1, 1), "JSON"),
    "CSV": (b"importer;office;value\r\n123456782RM0001;0009;1545.67\r\n", "GTW-0105", (1, 1), "CSV"),
    "CSV of one line": (b"123456782RM0001,0009,1545.67", "GTW-0105", (1, 1), "CSV"),
    "tabs": (b"importer\toffice\n123\t0009\n", "GTW-0105", (1, 1), "CSV"),
    "YAML": (b"message:\n  office: 0009\n", "GTW-0105", (1, 1), "YAML"),
    "X12": (X12, "GTW-0106", (1, 1), "X12"),
    "X12 behind a line end": (b"\r\n" + X12, "GTW-0106", (2, 1), "X12"),
    "TRADACOMS": (b"STX=ANA:1+5000000000000:A'", "GTW-0106", (1, 1), "TRADACOMS"),
    "HL7": (b"MSH|^~\\&|A|B\r", "GTW-0106", (1, 1), "HL7"),
    "EBCDIC": (FLAT.decode("latin-1").encode("cp037"), "GTW-0107", (1, 1), "EBCDIC"),
    "EBCDIC, XML": (XML.decode().encode("cp500", "replace"), "GTW-0107", (1, 1), "EBCDIC"),
    "MIME header": (b"Content-Type: application/edifact\r\n\r\n" + GOOD, "GTW-0108", (1, 1), "HTTP"),
    "mail": (b"Received: from a by b\r\nSubject: CAD\r\n\r\n" + GOOD, "GTW-0108", (1, 1), "HTTP"),
    "multipart": (b"--b1\r\nContent-Type: application/xml\r\n\r\n" + XML, "GTW-0108", (1, 1), "HTTP"),
    "HTTP": (b"HTTP/1.1 504 Gateway Time-out\r\nServer: x\r\n\r\n" + HTML, "GTW-0108", (1, 1), "HTTP"),
    "HTML": (HTML, "GTW-0109", (1, 1), "HTML"),
    "HTML in French": (b"\xef\xbb\xbf\r\n<html lang=fr><title>Acc\xc3\xa8s</title>", "GTW-0109", (2, 1), "HTML"),
    "HTML that is XML": (b'<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>', "GTW-0109", (1, 1), "HTML"),
    "HTML without head": (b"<!-- proxy -->\n<h1>Zugriff verweigert</h1><p>x", "GTW-0109", (1, 1), "HTML"),
    "HTML in UTF-16": (HTML.decode().encode("utf-16"), "GTW-0109", (1, 1), "HTML"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "GTW-0110", (1, 1), "UTF-16"),
    "UTF-16 LE without mark": (GOOD.decode().encode("utf-16-le"), "GTW-0110", (1, 1), "UTF-16"),
    "UTF-16 BE without mark": (UNB_ON.decode().encode("utf-16-be"), "GTW-0110", (1, 1), "UTF-16"),
    "UTF-32": (GOOD.decode().encode("utf-32"), "GTW-0110", (1, 1), "UTF-32"),
    "UNH without UNB": (FLAT[FLAT.index(b"UNH") :], "GTW-0111", (1, 1), "UNH"),
    "UNH without UNB, blanks": (b"\n\n  " + FLAT[FLAT.index(b"UNH") :], "GTW-0111", (3, 3), "UNH"),
    "UNH behind UNA": (UNA + FLAT[FLAT.index(b"UNH") :], "GTW-0111", (1, 10), "UNH"),
    "BGM without UNH": (FLAT[FLAT.index(b"BGM") :], "GTW-0111", (1, 1), "BGM"),
    "line ends": (LINES[LINES.index(b"UNB") :], "GTW-0112", (1, LINES.index(b"\nUNH") - LINES.index(b"UNB") + 1), "'"),
    "line ends, UNA names none": (b"UNA:+.? \n" + LINES[9:], "GTW-0112", (1, 9), "'"),
    "line ends, UNA names one": (UNA + b"\r\n" + LINES[9:].replace(b"\n", b"\r\n"), "GTW-0112", (2, 0), "'"),
    "line ends, an apostrophe": (LINES[9:].replace(b"Maple", b"D'Or"), "GTW-0112", (1, 0), "'"),
    "lower case": (FLAT.lower()[9:], "GTW-0113", (1, 1), "unb"),
    "lower case, UNA": (FLAT.lower(), "GTW-0113", (1, 1), "una"),
    "lower case behind UNA": (UNA + b"\n" + UNB_ON.lower(), "GTW-0113", (2, 1), "unb"),
    "UNA of seven": (b"UNA:+.? *'" + UNB_ON, "GTW-0114", (1, 1), " 7"),
    "UNA of five": (b"UNA:+.?'" + UNB_ON, "GTW-0114", (1, 1), " 5"),
    "UNA of none": (b"UNA" + UNB_ON, "GTW-0114", (1, 1), " 0"),
    "UNA with a typographer's quote": ("UNA:+.? \u2019".encode() + UNB_ON, "GTW-0114", (1, 1), " 8"),
    "another terminator": (UNB_ON.replace(b"'", b"~"), "GTW-0115", (1, 0), "~"),
    "another terminator, a text": (UNB_ON.replace(b"'", b"~").replace(b"Maple", b"D'Or"), "GTW-0115", (1, 0), "~"),
    "another terminator than UNA's": (b"UNA:+.? ~" + UNB_ON, "GTW-0115", (1, 0), "~"),
    "another terminator of two bytes": (UNB_ON.replace(b"'", b"\xc2\xb4"), "GTW-0115", (1, END), "\xb4"),
    "another terminator that is no UTF-8": (UNB_ON.replace(b"'", b"\x92"), "GTW-0115", (1, END), "\\x92"),
    "line ends, an apostrophe in UNB": (
        LINES[9:].replace(b"MAPLEBROKER", b"D'OR", 1).replace(b"D\nOR", b"D'OR"), "GTW-0112", (1, 0), "'"
    ),
    "full width": (full_width(FLAT.decode("latin-1")[9:]), "GTW-0118", (1, 1), "UNB+"),
    "full width, UNA": (full_width(FLAT.decode("latin-1")), "GTW-0118", (1, 1), "UNA"),
    "one sign of full width": (UNB_ON.replace(b"+", "\uff0b".encode()), "GTW-0118", (1, 1), "UNB+"),
    "a Cyrillic letter": (UNB_ON.replace(b"UNB", "UN\u0412".encode()), "GTW-0118", (1, 1), "UNB+"),
    "a Greek letter, blanks": (b" \n" + UNB_ON.replace(b"UNB", "U\u039dB".encode()), "GTW-0118", (2, 1), "UNB+"),
    "a proxy's text": (b"502 Bad Gateway\n", "GTW-0117", (1, 1), "502 Bad Gateway"),
    "a proxy's text without number": (b"upstream connect error or disconnect", "GTW-0117", (1, 1), "upstream"),
    "EBCDIC cut off": ("UNB+".encode("cp037"), "GTW-0107", (1, 1), "EBCDIC"),
    "hexadecimal in pairs": (GOOD[:400].hex(" ").encode(), "GTW-0103", (1, 1), "hexa"),
    "xz cut off": (b"\xfd7zXZ", "GTW-0101", (1, 1), "xz"),
    "X12 in UTF-16": (X12.decode().encode("utf-16"), "GTW-0106", (1, 1), "X12"),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD, "GTW-0116", (1, 1), "EDIFACT"),
    "a sign of transmission in front": (b"\x02" + GOOD, "GTW-0116", (1, 1), "\\x02"),
    "a log line in front": (b"2026-11-23 10:00:01 sent: " + GOOD, "GTW-0116", (1, 1), "2026-11-23"),
    "a quote in front": (b'"' + GOOD + b'"', "GTW-0116", (1, 1), "EDIFACT"),
    "text in front of XML": (b"Voici : <?xml version='1.0'?><MetaData/>", "GTW-0116", (1, 1), "XML"),
}  # fmt: skip


def carried(body: bytes, partner: str = "maple") -> Outcome:
    return pipeline.handle(Received("0" * 32, partner, body, NOW), Facts(PARTNERS[partner]), PLANS)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("partner", ["maple", "erable"])
def test_what_was_sent_is_named_by_one_finding_in_its_place(name: str, partner: str) -> None:
    body, code, place, word = KINDS[name]
    outcome = carried(body, partner)
    (one,) = outcome.judged
    (finding,) = one.findings
    assert (finding.code, finding.place.line) == (code, place[0])
    assert finding.place.column == place[1] or (not place[1] and finding.place.column)
    for text in finding.text:
        assert word in text
        assert "{" not in text
    assert finding.text.en != finding.text.fr
    (answer,) = outcome.outgoing
    assert answer.kind == "refused"
    assert code.encode() in answer.body


@pytest.mark.parametrize("name", KINDS)
def test_check_and_explain_say_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PARTNERS", str(SAMPLES / "partners.toml"))
    path = tmp_path / "sent.bin"
    path.write_bytes(KINDS[name][0])
    runner = CliRunner()
    (said,) = json.loads(runner.invoke(main, ["check", "--as", "maple", "--format", "json", str(path)]).output)
    (finding,) = said["findings"]
    assert finding["code"] == KINDS[name][1]
    for language in ("en", "fr"):
        for command in ("check", "explain"):
            done = runner.invoke(main, [command, "--as", "maple", "--lang", language, str(path)])
            assert done.exit_code == 1, done.output
            flat = " ".join(done.output.split())
            assert finding["code"] in flat
            assert " ".join(finding["text"][language].split()) in flat


OWN_WORDS = {
    "nothing known": (b"HELLO", "GTW-0001"),
    "prose": (b"Dear colleague,\nplease find enclosed, as agreed, our declaration.\nRegards,", "GTW-0001"),
    "digits": (b"20261123", "GTW-0001"),
    "noise": (random.Random(1).randbytes(3_000), "GTW-0001"),
    "zeros": (bytes(5_000), "GTW-0001"),
    "blanks": (b" \r\n" * 2_000, "GTW-0001"),
    "a UNA of letters": (b"UNAabcdef" + UNB_ON, "EDI-0003"),
    "a UNA with one sign twice": (b"UNA::::::" + UNB_ON, "EDI-0003"),
    "another element separator": (UNB_ON.replace(b"UNB+", b"UNB*", 1), "EDI-0004"),
    "a UNB cut off": (UNB_ON[:30], "EDI-0005"),
    "a UNA alone": (UNA, "EDI-0002"),
    "a document that is not ours": (b"<Envelope/>", "GTW-0002"),
    "a document cut off": (XML[:2_000], "XML-0001"),
}


@pytest.mark.parametrize("name", OWN_WORDS)
def test_what_looks_like_nothing_else_keeps_its_own_words(name: str) -> None:
    body, code = OWN_WORDS[name]
    assert [f.code for one in carried(body).judged for f in one.findings] == [code]


def test_a_good_message_is_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookalikes, "named", lambda body, _: pytest.fail(f"looked at {len(body)} bytes"))
    assert carried(GOOD).judged
    assert carried(XML, "erable").judged


@given(st.binary(max_size=400), st.sampled_from(sorted(KINDS)), st.integers(0, 60))
def test_any_look_has_an_end_a_place_and_words(rest: bytes, name: str, length: int) -> None:
    fault = lookalikes.named(KINDS[name][0][:length] + rest, ROOTS)
    if fault is not None:
        assert fault.code in PLANS.specs.findings
        assert fault.place is not None
        assert fault.place.line
        assert fault.place.column


@pytest.mark.parametrize(
    "piece", [b"<!--", b"a=", b"UNA", b"A", b"a,b\n", b"[ ", b"{", b"<?", b"x" * 40, b"\0\xff", b"- a:"]
)
def test_a_look_takes_no_longer_for_more_bytes(piece: bytes) -> None:
    lookalikes.named(piece * (5_000_000 // len(piece)), ROOTS)
