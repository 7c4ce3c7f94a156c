"""The keys of the partners' file as a page and a JSON Schema, from the types that read it; run it to write both."""

from __future__ import annotations

import json
import re

from routing.partner_file import reference, schema
from tests.support.way import HOME

PAGE, SCHEMA = HOME / "docs/partners.md", HOME / "routing/partners.schema.json"


def page() -> str:
    """Return the page with its keys as they are read today."""
    return re.sub(
        r"(?<=<!-- keys -->\n).*(?=<!-- /keys -->)", lambda _: f"\n{reference()}\n", PAGE.read_text("utf-8"), flags=re.S
    )


def schema_text() -> str:
    """Return the schema as its file has it."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    new = page(), schema_text()
    for path, text in zip((PAGE, SCHEMA), new, strict=True):
        path.write_text(text, "utf-8")
