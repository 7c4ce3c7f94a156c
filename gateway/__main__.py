"""The program `gateway`, also as `python -m gateway`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it with one line and exit code 130, also while its modules are loading."""
    try:
        from gateway.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("gateway: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
