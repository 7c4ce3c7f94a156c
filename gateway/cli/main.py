"""The command line: its commands by reader, loaded when asked for; each command's help tells its exit codes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from core.errors import GatewayError

# What a command is: its module and name there, and the first line of its help, which a test compares. Nothing of it is
# imported for `--help` and completion.
SECTIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Senders and software makers": {
        "check": ("check:check", "Judge files as the gateway would."),
        "explain": ("explain:explain_command", "Explain messages or findings in plain words."),
        "diff": ("diff:diff_command", "Set two versions of a declaration side by side."),
        "send": ("send:send", "Send a file as a partner."),
        "smoke": ("smoke:smoke", "Play the conformance kit, as broker or as customs."),
        "samples": ("spec:samples", "Make sample messages from the specification."),
        "rules": ("spec:rules", "List all that a declaration and its sender are held to."),
        "guide": ("spec:guide", "Write the implementation guide for the trade."),
        "replay": ("replay:replay_command", "Judge again what came in, or files."),
    },
    "Operators": {
        "serve": ("serve:serve_command", "Run the gateway until SIGTERM or SIGINT."),
        "web": ("web:web_command", "Answer over HTTP: trial page, partners' exchange, desk."),
        "web-user": ("web:web_user", "Print the row of a user of the desk."),
        "list": ("lists:list_command", "List the partners' messages, newest first."),
        "show": ("show:show", "Show the whole life of a message."),
        "parked": ("parked:parked", "List, show, release or refuse parked messages."),
        "dead": ("dead:dead", "List, show or requeue dead letters."),
        "requests": ("far:requests", "List or resend undecided requests to the engine."),
        "answers": ("far:answers", "List, resend or close answers to partners."),
        "destinations": ("ops:destinations", "List the destinations with a backlog or a failure."),
        "unpark": ("ops:unpark", "Let a parked or paused destination be tried at once."),
        "backup": ("backup:backup", "Copy journal and embedded queue into a new folder."),
        "restore": ("backup:restore", "Put a backup into the place of journal and queue."),
        "purge": ("ops:purge", "Delete what is older than its kind is kept."),
        "verify-audit": ("ops:verify_audit", "Walk the audit chain and name what is bad first."),
        "export-audit-head": ("ops:export_audit_head", "Print number and hash of the newest audit row."),
    },
    "Setting up": {
        "init": ("init:init", "Write the files that a gateway of your own needs."),
        "doctor": ("doctor:doctor", "Check the installation."),
        "partner": ("partner:partner", "Check, list and add to the partners' file."),
        "specs": ("specs:specs", "Check specifications; list what tables may say."),
        "broker-users": ("ops:broker_users", "Print the rabbitmqctl commands for the broker's users."),
        "migrate": ("ops:migrate", "Bring the journal's schema up to date."),
    },
}

CANNOT, INTERRUPTED = 2, 130


class _Lazy(click.Group):
    """A group of commands that are imported when they are asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the commands, by reader."""
        return [name for name, _ in _described()]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name, None where there is none."""
        for commands in SECTIONS.values():
            if cmd_name in commands:
                module, _, attribute = commands[cmd_name][0].partition(":")
                found: click.Command = getattr(import_module(f"gateway.cli.{module}"), attribute)
                return found
        return None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, by reader."""
        for reader, commands in SECTIONS.items():
            with formatter.section(reader):
                formatter.write_dl([(name, told) for name, (_, told) in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with what was typed, and the options."""
        items = [CompletionItem(name, help=told) for name, told in _described() if name.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)


def _described() -> Iterator[tuple[str, str]]:
    """Yield each command's name and the first line of its help."""
    for commands in SECTIONS.values():
        for name, (_, told) in commands.items():
            yield name, told


class _OneLine(_Lazy):
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
            _stop("interrupted", INTERRUPTED)
        except BrokenPipeError:
            sys.exit(0)


def _stop(line: str, code: int = CANNOT) -> NoReturn:
    """Say one line on stderr and end with an exit code."""
    from gateway.cli.terminal import echo  # it loads what draws tables

    echo(f"gateway: {line}", err=True)
    sys.exit(code)


@click.group(cls=_OneLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cad-gateway")
def main() -> None:
    """Read, judge, route and answer customs declarations and corrections for CARM.

    The formats are reconstructed from public sources; see eccrd_specs/SOURCES.md.
    """
