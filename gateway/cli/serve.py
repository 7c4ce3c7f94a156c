"""`gateway serve`: the gateway until it is told to stop."""

from __future__ import annotations

import click

from gateway import logs, supervisor
from gateway.settings import from_environment


@click.command(name="serve")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes that judge.")
@click.option("--with-reference-engine", is_flag=True, help="Run the reference assessment engine (sample rates) too.")
@click.option("--with-test-engine", is_flag=True, help="Run it for test messages only, beside the real engine.")
@click.option("--health-port", metavar="[HOST:]PORT", help="Answer /health, /ready and /metrics there.")
def serve_command(workers: int, with_reference_engine: bool, with_test_engine: bool, health_port: str | None) -> None:
    """Run the gateway until SIGTERM or SIGINT.

    It receives, works and dispatches, each in a process of its own.

    Exit code: 0 stopped in order, 2 cannot start.
    """
    settings = from_environment(health=health_port)
    logs.configure(settings.log, waiting=False)
    supervisor.serve(settings, workers, "engine" if with_reference_engine else "tests" if with_test_engine else None)
