"""Prints the newest Python of this machine that is newer than the one running this; nothing where there is none.

Looked at are PATH and pyenv's versions; releases only, no previews and no free-threaded builds.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What tells an interpreter's own version, if it is a release.
VERSION = "import sys; v = sys.version_info; print(*v[:3]) if v.releaselevel == 'final' else None"


def interpreters() -> Iterator[Path]:
    """Yield every python3.X, once."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [*map(Path, os.environ["PATH"].split(os.pathsep)), *pyenv.glob("versions/*/bin")]
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.glob("python3.*")):
            if re.fullmatch(r"python3\.\d+", path.name):
                yield path


def version(path: Path) -> tuple[int, ...]:
    """Return an interpreter's version, empty where it is none that runs or no release."""
    done = subprocess.run([path, "-c", VERSION], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else ()


def main() -> None:
    """Print the path of the newest."""
    newest = max(((version(path), path) for path in interpreters()), default=((), Path()))
    if newest[0][:2] > sys.version_info[:2]:
        print(newest[1])


if __name__ == "__main__":
    main()
