"""What the environment says: where the queues, the journal, the partners and the specification are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import GatewayError

# Where our own data lies: beside our packages, be it the root of a checkout or the site-packages of an installation.
HOME = Path(__file__).resolve().parent.parent
SPECS = HOME / "eccrd_specs"
SAMPLES = HOME / "samples"
PARTNERS = SAMPLES / "partners.toml"
# What `gateway init` writes.
EXAMPLE = HOME / "gateway/templates/partners.toml"

BROKER_URL = "sqlite:///run/queue.db"
DATABASE_URL = "sqlite:///run/gateway.sqlite3"
ENGINE_USER = "assessment"


@dataclass(frozen=True, slots=True)
class Settings:
    """One deployment's settings.

    GATEWAY_BROKER_URL, GATEWAY_DATABASE_URL: default to files under `run/`, for one machine without servers.
    GATEWAY_BROKER_URL_FILE, GATEWAY_DATABASE_URL_FILE: in place of them, files that hold the URL.
    GATEWAY_PARTNERS: the partners' TOML file. GATEWAY_SPECS: the folder of specification packs.
    GATEWAY_ENGINE_USER: the broker's user that the assessment engine's results come from.
    GATEWAY_LOG: json, text, or auto (text on a terminal), with `,debug` a line a message.
    GATEWAY_HEALTH: [host:]port for /health, /ready, /metrics.
    """

    broker_url: str
    database_url: str
    partners: Path
    specs: Path
    log: str
    health: str | None = None
    engine_user: str = ENGINE_USER


def _whole(url: str) -> str:
    """Return a URL whose file has its whole path, so that every message about it says where it is."""
    found = re.fullmatch(r"(sqlite[^:/]*:///)(?!/|:memory:)(.+)", url, re.DOTALL)
    return f"{found[1]}{Path.cwd()}/{found[2]}" if found and "?" not in str(Path.cwd()) else url


def _secret(name: str, default: str) -> str:
    """Return a URL from its variable, or from the file that the variable with _FILE names; raises GatewayError."""
    given, file = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if not file:
        return _whole(given or default)
    if given:
        raise GatewayError(f"{name} and {name}_FILE are both set: one of them says the URL")
    try:
        url = Path(file).read_text("utf-8").strip()
    except OSError as error:
        raise GatewayError(f"{name}_FILE: {file}: {error.strerror}") from error
    except ValueError:  # told without what was read, which may be a secret
        raise GatewayError(f"{name}_FILE: {file}: one line of UTF-8 is wanted") from None
    if len(url.splitlines()) != 1:
        raise GatewayError(f"{name}_FILE: {file}: one line with the URL is wanted")
    return _whole(url)


def from_environment(health: str | None = None) -> Settings:
    """Return the settings, files of queue and journal with their whole paths.

    `health` is what the command line says of it, which goes before GATEWAY_HEALTH. Raises GatewayError for a value that
    cannot be.
    """
    log = os.environ.get("GATEWAY_LOG", "auto")
    if not re.fullmatch("(auto|json|text)(,debug)?", log):
        raise GatewayError(f"GATEWAY_LOG is auto, json or text, or one of them with ,debug; not {log!r}")
    name, health = ("--health-port", health) if health else ("GATEWAY_HEALTH", os.environ.get("GATEWAY_HEALTH") or None)
    if health and not (
        re.fullmatch(r"(([^:\s]+|\[[0-9A-Fa-f:.]+\]):)?\d{1,5}", health) and int(health.rpartition(":")[2]) < 65_536
    ):
        raise GatewayError(f"{name} is a port, host:port or [address]:port, not {health!r}")
    return Settings(
        broker_url=_secret("GATEWAY_BROKER_URL", BROKER_URL),
        database_url=_secret("GATEWAY_DATABASE_URL", DATABASE_URL),
        partners=Path(os.environ.get("GATEWAY_PARTNERS") or PARTNERS),
        specs=Path(os.environ.get("GATEWAY_SPECS") or SPECS),
        log=log,
        health=health,
        engine_user=os.environ.get("GATEWAY_ENGINE_USER") or ENGINE_USER,
    )
