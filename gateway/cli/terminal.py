"""The one way to the terminal: whatever is said, nothing of it acts there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
from rich import console as rich
from rich.segment import Segment

from core.text import printable

LINES = "\n\t"


class Console(rich.Console):
    """A terminal that shows texts as they are: no markup, no emoji, and nothing that acts but our own styles."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})
        self.push_render_hook(_Shown())


class _Shown(rich.RenderHook):
    def process_renderables(self, renderables: list[rich.ConsoleRenderable]) -> list[rich.ConsoleRenderable]:
        """Have everything that is printed pass through `_Printable`."""
        return [_Printable(each) for each in renderables]


class _Printable:
    def __init__(self, renderable: rich.ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: rich.Console, options: rich.ConsoleOptions) -> Iterable[Segment]:
        for text, style, control in console.render(self._renderable, options):
            safe = text if control else printable(text, "\N{REPLACEMENT CHARACTER}", keep=LINES)
            yield Segment(safe, style, control)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, and end the line."""
    click.echo(printable(text, keep=LINES), err=err, nl=nl)


def echo_json(value: object, default: Any = None) -> None:
    """Print a value as JSON that people can read."""
    echo(in_json(json.dumps(value, default=default, ensure_ascii=False, indent=2)))


def in_json(text: str) -> str:
    """Return JSON with everything that acts instead of being seen escaped as JSON does; no value changes."""
    if text.isprintable():
        return text
    return "".join(c if c in LINES or printable(c) == c else json.dumps(c)[1:-1] for c in text)
