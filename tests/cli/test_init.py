"""`gateway init`: a folder that can be edited, that doctor accepts, and that nothing is overwritten in."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.settings import SPECS
from tests.support.way import HOME

ODD = "a folder, ünüsual 50% $HOME 'quoted'"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def init(folder: Path) -> Result:
    return CliRunner().invoke(main, ["init", str(folder)])


def next_commands(said: str) -> str:
    """Return the commands that are to be run next, `serve` left out, as one script."""
    return "\n".join(line for line in said.partition("Next:\n")[2].splitlines() if "serve" not in line)


@pytest.mark.slow
def test_what_it_tells_to_run_next_works_from_any_folder(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    told = init(folder)
    assert told.exit_code == 0, told.output
    assert {path.name for path in folder.iterdir()} == {"gateway.env", "partners.toml", "eccrd_specs"}
    script = f"set -e\n{next_commands(told.output)}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env={"PATH": PATH}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ILL" not in done.stdout
    assert ": accepted" in done.stdout
    assert (folder / "run/queue.db").exists()
    assert {path.name for path in tmp_path.iterdir()} == {folder.name}, "nothing was written anywhere else"


def test_the_specification_is_a_copy_to_edit(tmp_path: Path) -> None:
    init(tmp_path)
    copied = {path.relative_to(tmp_path / "eccrd_specs"): path for path in (tmp_path / "eccrd_specs").rglob("*.*")}
    ours = {path.relative_to(SPECS): path for path in SPECS.rglob("*.*")}
    assert {name: path.read_bytes() for name, path in copied.items()} == {n: p.read_bytes() for n, p in ours.items()}
    assert all(os.access(path, os.W_OK) for path in copied.values())


def test_the_settings_name_every_variable_and_hide_what_they_will_hold(tmp_path: Path) -> None:
    init(tmp_path)
    written = (tmp_path / "gateway.env").read_text("utf-8")
    known = set(re.findall(r"GATEWAY_[A-Z_]+", (HOME / "gateway/settings.py").read_text("utf-8")))
    assert set(re.findall(r"GATEWAY_[A-Z_]+", written)) == known
    assert set(re.findall(r"^\| `(GATEWAY_[A-Z_]+)`", (HOME / "README.md").read_text("utf-8"), re.M)) == known
    assert (tmp_path / "gateway.env").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("there", ["partners.toml", "anything", ".hidden"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    refused = init(tmp_path)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"gateway: {tmp_path} is not empty")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["file", "file/below", "what?"])
def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    refused = init(tmp_path / name)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert str(tmp_path / name) in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_folder_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, body: bytes) -> int:
        if path.name == "partners.toml":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, body)

    monkeypatch.setattr(Path, "write_bytes", full)
    refused = init(tmp_path)
    assert refused.stderr == f"gateway: {tmp_path}: cannot be written: No space left on device\n"
    assert list(tmp_path.iterdir()) == []
