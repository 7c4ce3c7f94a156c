"""Forms of answers that list nothing: each is written once by its writer, with what differs between messages open."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

Forms = dict[Hashable, str]

KEPT = 256  # forms of one writer; their keys are of the packs and the agreements, never of a sender


def filled(forms: Forms, key: Hashable, texts: Sequence[str], write: Callable[[Sequence[str]], str]) -> str:
    """Return what `write` makes of texts, by the form of this key and of the texts that are not empty.

    `write` puts each text in as it is; by what it does with the place of a text, or with one that is empty, alone may
    it differ.
    """
    key = key, tuple(map(bool, texts))
    form = forms.get(key)
    if form is None:
        marks = [f"\x01{number}\x01" if text else "" for number, text in enumerate(texts)]
        form = write(marks).replace("{", "{{").replace("}", "}}")
        for number, mark in enumerate(marks):
            form = form.replace(mark, f"{{{number}}}") if mark else form
        if len(forms) >= KEPT:
            forms.clear()
        forms[key] = form
    return form.format(*texts)
