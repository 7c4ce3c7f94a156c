"""The plans: the specification with all that is compiled from it, as one value that is passed along.

Two of them live side by side in one process, as when what-if compares two specifications: nothing compiled hangs
anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.declaration import NATURES
from core.errors import SpecError
from core.loading import digest_of_files, load
from core.specs import Specs
from edifact.directory import Directories
from edifact.loading import load as load_directories
from parsers.reading import Reading, prepare_reading
from routing.routes import ROUTES, Routes, load_routes
from validators.judging import Checks, prepare_checks


@dataclass(frozen=True, eq=False)
class Plans:
    """A specification made ready: its values, what reads by it, what checks by it, and where what is good goes.

    `digest` (SHA-256, hexadecimal) identifies this state of all files that decide a verdict, the route table included.
    """

    specs: Specs
    reading: Reading
    checks: Checks
    routes: Routes
    digest: str


def prepare(root: Path, routes: Path = ROUTES) -> Plans:
    """Load the specification below a folder and compile it; raises SpecError for whatever cannot be used."""
    specs, directories = load(root), load_directories(root / "edifact")
    return compiled(specs, directories, load_routes(routes), digest_of_files(root, routes))


def compiled(specs: Specs, directories: Directories, routes: Routes, digest: str) -> Plans:
    """Compile a specification that is loaded, or was made from a loaded one; raises SpecError."""
    check_routes(specs, routes)
    reading = prepare_reading(specs.packs, directories)
    checks = prepare_checks(specs, {key: each.schema for key, each in reading.xml.items()}, reading.matchers)
    return Plans(specs, reading, checks, routes, digest)


def check_routes(specs: Specs, routes: Routes) -> None:
    """Raise SpecError if a pack reads a message type for which the route table has no row of what it can be in law."""
    routed = {(message_type, nature) for message_type, nature, _ in routes}
    for pack in specs.packs:
        for message_type in pack.types.values():
            for nature in NATURES[message_type]:
                if (message_type, nature) not in routed:
                    reason = f"{pack.key} reads a {message_type}, and no row routes it as {nature}"
                    raise SpecError("the route table", None, reason)


# The EDIFACT that senders can ask for, by syntax version and decimal marks: what nearly all write, and what is left.
USUAL = (("3", "."),)
OTHERS = (("3", ".,"), ("4", ".,"), ("3", ","))


def warm(plans: Plans, forms: Iterable[tuple[str, str]] = USUAL + OTHERS) -> Iterator[bool]:
    """Compile, one a step, the patterns that the packs' first messages would wait for, up to half a second each.

    What is compiled is no step; `forms` are of EDIFACT. A program that judges a few messages compiles what these need.
    """
    for of_xml in plans.reading.xml.values():
        if of_xml.warm():
            yield True
    for syntax, decimal in forms:
        for letters in ("ASCII", "any"):
            for each in plans.reading.edifact.values():
                each.levels(decimal)
                if profile := each.profiles.get(syntax):
                    compiled = len(plans.reading.matchers)
                    plans.reading.matchers.of(profile, syntax, letters, decimal)
                    if len(plans.reading.matchers) > compiled:
                        yield True
