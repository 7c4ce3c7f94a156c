"""The program `gateway`, also as `python -m gateway`."""

import errno
import os
import signal
import sys

# What a full or broken output fails with.
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def main() -> None:
    """Run the command line; Ctrl-C ends it with one line and exit code 130, also while its modules are loading.

    An output that cannot be written is one line and exit code 2.
    """
    if os.getpid() == 1:  # in a container; a signal that nobody handles does nothing to the first process
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if (
            stream is not None
        ):  # whatever PYTHONIOENCODING or the locale says: a letter that it lacks is written escaped
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if sys.stderr is None:  # closed by who started us
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the program
    if sys.stdout is None:
        _stop("it is closed")
    try:
        from gateway.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("gateway: interrupted\n")
        sys.exit(130)
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left in the buffer is written once more at the end
        _stop(error.strerror or "")


def _stop(why: str) -> None:
    sys.stderr.write(f"gateway: standard output cannot be written: {why}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
