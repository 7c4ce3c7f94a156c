"""`gateway specs`: folders of specifications looked through, and the reference of their tables."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from core.errors import GatewayError
from core.findings import Bilingual
from gateway.cli.shared import LANGUAGE
from gateway.cli.terminal import Console, echo
from gateway.desk.specs_check import problems_of
from gateway.settings import SPECS
from gateway.trade.packs_reference import reference

out = Console(soft_wrap=True)


@click.group()
def specs() -> None:
    """Check specifications; list what tables may say."""


@specs.command(name="check")
@click.argument("folder", type=click.Path(path_type=Path))
@LANGUAGE
def check_command(folder: Path, lang: str) -> None:
    """Find what is wrong or doubtful in a folder.

    More than loading does: elements without a row of usage, codes that the UN lists have not, codes that lost their
    leading zeros, days that are none, what a spreadsheet did to a file, folders that are empty or not read; and why
    nothing loads.

    Exit code: 0 nothing found, 1 something found, 2 there is no such folder.
    """
    if not folder.is_dir():
        raise GatewayError(f"there is no folder {folder}")
    found = problems_of(folder, SPECS)
    row = Bilingual("row", "ligne").speak(lang)
    for each in found:
        where = f"{each.file}, {row} {each.row}" if each.row else each.file
        colon = " : " if lang == "fr" else ": "
        out.print(Text(where, "bold").append(f"{colon}{each.what.speak(lang)}", "not bold"))
        out.print(Text(f"    {each.remedy.speak(lang)}.", "dim"))
    total = Bilingual(
        f"{len(found)} found" if found else "nothing found",
        f"constats : {len(found)}" if found else "rien à signaler",
    )
    out.print(Text(total.speak(lang), "bold"))
    if found:
        raise click.exceptions.Exit(1)


@specs.command(name="reference")
def reference_command() -> None:
    """Write columns and grammars of every table.

    As Markdown, from the readers of this version.

    Exit code: 0.
    """
    echo(reference(SPECS), nl=False)
