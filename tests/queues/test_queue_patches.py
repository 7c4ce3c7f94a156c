"""The patches of kombu and amqp: proven on a version, and that is the one installed."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.queues import patches

ROOT = Path(__file__).resolve().parents[2]
QUEUES = ROOT / "gateway/queues"


@pytest.mark.parametrize("library", sorted(patches.PROVEN))
def test_the_libraries_are_of_the_versions_that_the_patches_were_proven_on(library: str) -> None:
    installed = ".".join(importlib.metadata.version(library).split(".")[:2])
    assert installed == patches.PROVEN[library], (
        f"{library} {installed} is installed: read gateway/queues/patches.py beside its source, run the tests of the"
        " queues against RabbitMQ, then change PROVEN"
    )


@pytest.mark.parametrize("library", sorted(patches.PROVEN))
def test_the_lock_file_has_the_proven_version(library: str) -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert re.search(rf"^{library}=={re.escape(patches.PROVEN[library])}\.", lock, re.MULTILINE)


def test_nothing_is_changed_inside_the_libraries_outside_the_one_file() -> None:
    """No assignment to an attribute or item of theirs, and no private name of theirs, but where `patches` lists it."""
    inside = re.compile(r"(kombu|amqp)(\.\w+)*\._\w+|PROPERTY_CLASSES|_decoders|transport\._write")
    for path in QUEUES.glob("*.py"):
        if path.name != "patches.py":
            assert not inside.findall(path.read_text("utf-8")), path.name


def test_the_private_names_that_are_used_are_listed() -> None:
    text = (QUEUES / "transport.py").read_text("utf-8")
    told = patches.__doc__ or ""
    for name in ("_delivered", "_flush", "_quick_ack", "_deliver", "_get_many", "_get", "_size", "_purge"):
        assert name in text
        assert name in told


def test_one_import_of_the_queues_patches_once() -> None:
    """However the package is reached, and never one wrapper around another."""
    code = """
import amqp.serialization, kombu.compression
before = amqp.serialization.PROPERTY_CLASSES[60]
assert kombu.compression._decoders
import gateway.queues.values, gateway.queues.transport, gateway.queues
after = amqp.serialization.PROPERTY_CLASSES[60]
assert not kombu.compression._decoders
assert after is not before and after.__closure__[0].cell_contents is before
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
