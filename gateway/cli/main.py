"""The command line: the group of its commands; each command's help tells its exit codes."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

import click

from core.errors import GatewayError
from gateway.cli import (
    backup,
    check,
    dead,
    diff,
    doctor,
    explain,
    far,
    init,
    lists,
    ops,
    parked,
    replay,
    send,
    serve,
    show,
    smoke,
    spec,
    specs,
)
from gateway.cli.terminal import echo

CANNOT, INTERRUPTED = 2, 130


class _OneLine(click.Group):
    """Turns every error that the operator can fix into one line on stderr and exit code 2, Ctrl-C into one and 130."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse an empty argument: as a path it would be this folder, as an id every message."""
        if any(not each or re.fullmatch(r"--[\w-]+=", each) for each in args):
            raise GatewayError("an argument is empty: is a variable not set?")
        return super().resolve_command(ctx, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GatewayError as error:
            _stop(str(error))
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            of = error.ctx.command_path if error.ctx else "gateway"
            _stop(f"{error.format_message().rstrip('.')}; see `{of} --help`")
        except OverflowError:
            _stop("a number or a time among the arguments is out of range")
        except KeyboardInterrupt:
            echo("gateway: interrupted", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(0)


def _stop(line: str) -> NoReturn:
    """Say one line on stderr and end with exit code 2."""
    echo(f"gateway: {line}", err=True)
    sys.exit(CANNOT)


@click.group(cls=_OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cad-gateway")
def main() -> None:
    """Read, judge, route and answer customs declarations and corrections for CARM.

    The formats are reconstructed from public sources; see eccrd_specs/SOURCES.md.
    """


for command in (
    check.check,
    serve.serve_command,
    send.send,
    lists.list_command,
    doctor.doctor,
    init.init,
    show.show,
    smoke.smoke,
    spec.rules,
    spec.samples,
    spec.guide,
    specs.specs,
    replay.replay_command,
    parked.parked,
    dead.dead,
    far.requests,
    far.answers,
    backup.backup,
    backup.restore,
    explain.explain_command,
    diff.diff_command,
    *ops.COMMANDS,
):
    main.add_command(command)
