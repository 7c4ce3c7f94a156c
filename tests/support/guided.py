"""Fuzzing that follows the coverage of our code, by atheris where that is installed: seconds, then `edifact` or `xml`.

    pip install atheris && python -m tests.support.guided 600 xml

Whatever it writes is held to the same oracles as what `make fuzz` writes; a failure ends it with the input in a file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOMS = ["core", "edifact", "parsers", "validators", "routing", "responses", "gateway.pipeline"]


def main(seconds: str, syntax: str) -> None:
    """Fuzz one syntax for so many seconds."""
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=ROOMS):
        from tests.support.oracles import ends_well
        from tests.way.test_fuzz import PIECES, WORDS
        from tests.way.test_way_any_bytes import EDIFACT, XML

    ends_well(EDIFACT[0])
    ends_well(XML[0])
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        corpus.mkdir()
        for number, body in enumerate(EDIFACT if syntax == "edifact" else XML):
            (corpus / str(number)).write_bytes(body)
        escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in (PIECES if syntax == "edifact" else WORDS))
        words.write_text("".join(f'"{word}"\n' for word in escaped if word))
        options = [
            f"-max_total_time={seconds}",
            f"-dict={words}",
            "-max_len=12000",
            "-timeout=60",
            "-rss_limit_mb=3000",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], ends_well)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
