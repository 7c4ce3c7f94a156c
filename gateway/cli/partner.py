"""`gateway partner`: the partners' file checked, listed and added to."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import click

from core.calendar import eastern_day
from core.errors import GatewayError
from core.partner import Partner
from gateway.cli.shared import LANGUAGE, known_partner, print_table, saying
from gateway.cli.tables import Titled, fit_in
from gateway.cli.terminal import echo, echo_json
from gateway.loops import engine_users, made_up
from gateway.settings import EXAMPLE, PARTNERS, Settings, from_environment
from routing.partners import inbound_queue, load_partners, not_ours, read_partners, token_hash, unnumbered

FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))

LISTED = (
    Titled("id", "id"),
    Titled("name", "nom", 1, folds=True),
    Titled("state", "état"),
    Titled("envelopes", "enveloppes", 2, folds=True),
    Titled("answers to", "réponses à", 3),
    Titled("user", "utilisateur", 7),
    Titled("language", "langue", 6),
    Titled("contrl", "contrl", 5),
    Titled("tests", "essais", 8),
    Titled("profile", "profil", 9),
    Titled("importers", "importateurs", 4),
)
STATES = {"active": "actif", "not active": "inactif"}


def described(settings: Settings, file: Path, lang: str = "en") -> str:
    """Return what is to be said of a file's partners; raises GatewayError for one that cannot be used."""
    say = saying(lang)
    partners = load_partners(file)
    not_ours(partners.values(), engine_users(settings))
    said = say(f"none in {file}", f"aucun dans {file}")
    if partners:
        listed = _few(partners, lang)
        said = say(f"{len(partners)} in {file}: {listed}", f"{len(partners)} dans {file} : {listed}")
    if samples := made_up(partners.values()):
        said += say("; made up, for trying out only: ", "; inventés, pour essayer seulement : ") + _few(samples, lang)
    if open_to_others := unnumbered(partners.values()):
        said += say(
            "; without account_security, so that others can use their numbers: ",
            "; sans account_security, si bien que d'autres peuvent utiliser leurs numéros : ",
        ) + _few(open_to_others, lang)
    if told := [f"{each.id} ({len(each.token_hashes)})" for each in partners.values() if each.token_hashes]:
        door = next(each.door for each in partners.values() if each.door)
        said += say(
            f"; with tokens for HTTP, vouched for by the broker's user {door}: ",
            f"; avec des jetons pour HTTP, dont répond l'utilisateur {door} du serveur de files : ",
        ) + _few(told, lang)
    if idle := [each.id for each in partners.values() if each.token_hashes and not each.active]:
        said += say(
            "; whose tokens are not taken, since it is not active: ",
            "; dont les jetons ne valent pas, n'étant pas actif : ",
        ) + _few(idle, lang)
    return said


def _few(names: Iterable[str], lang: str, most: int = 20) -> str:
    listed = list(names)
    more = f" {saying(lang)('and', 'et')} {len(listed) - most} {saying(lang)('more', 'autres')}"
    more = more if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


@click.group()
def partner() -> None:
    """Check, list and add to the partners' file.

    It says who may send what for whom; docs/partners.md has every key. A running gateway reads it again at
    SIGHUP.
    """


@partner.command()
@FILE
@LANGUAGE
def check(file: Path | None, lang: str) -> None:
    """Tell whether a partners' FILE can be used.

    Without FILE the one that the settings name. Tables are read, ids, envelopes and account security numbers compared.

    Exit code: 0 it can, 2 it cannot, with the file, the key and what is allowed in one line.
    """
    settings = from_environment()
    echo(described(settings, file or settings.partners, lang))


@partner.command(name="list")
@FILE
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@LANGUAGE
def list_command(file: Path | None, form: str, lang: str) -> None:
    """List the partners, and how many importers each may act for today.

    Exit code: 0, or 2 when the file cannot be used.
    """
    partners, today = load_partners(file or from_environment().partners), eastern_day(datetime.now(UTC))
    rows = [_row(each, today) for each in partners.values()]
    if form == "json":
        echo_json(rows)
        return
    print_table(fit_in(lang, LISTED, [[_cell(value, lang) for value in row.values()] for row in rows]))


def _row(each: Partner, today: date) -> dict[str, object]:
    """Return what is told of a partner."""
    return {
        "id": each.id,
        "name": each.name,
        "state": "active" if each.active else "not active",
        "envelopes": list(each.envelopes),
        "answer_queue": each.answer_queue,
        "user": each.user,
        "language": each.language,
        "contrl": each.contrl,
        "tests": each.agreement.tests,
        "profile": each.agreement.profile.name,
        "importers": sum(each.acts_for(importer, today) for importer in each.authorities),
    }


def _cell(value: object, lang: str) -> str:
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, bool):
        return saying(lang)("yes", "oui") if value else saying(lang)("no", "non")
    return STATES.get(str(value), str(value)) if lang == "fr" else str(value)


@partner.command()
@click.argument("id_", metavar="ID")
@click.option("--name", required=True, help="Its name for people.")
@click.option("--envelope", "envelopes", multiple=True, required=True, help="How it names itself; repeatable.")
@click.option("--answer-queue", metavar="QUEUE", help="The queue of its answers.  [default: out.ID]")
@click.option("--user", help="Its user at the broker.  [default: ID]")
@click.option("--language", type=click.Choice(["en", "fr"]), default="en", show_default=True)
@click.option("--contrl", is_flag=True, help="CONTRL is agreed.")
@click.option("--account-security", "accounts", multiple=True, help="What its numbers begin with; repeatable.")
@click.option("--importer", "importers", multiple=True, metavar="BN15", help="One that it may act for; repeatable.")
@click.option("--from", "start", type=click.DateTime(["%Y-%m-%d"]), help="From this day.  [default: open]")
@LANGUAGE
def add(
    id_: str,
    name: str,
    envelopes: tuple[str, ...],
    answer_queue: str | None,
    user: str | None,
    language: str,
    contrl: bool,
    accounts: tuple[str, ...],
    importers: tuple[str, ...],
    start: datetime | None,
    lang: str,
) -> None:
    """Append a partner to the partners' file.

    What stands in it stays as it is, comments included. What could not be loaded is not written. Other keys are
    written by hand (docs/partners.md).

    Exit code: 0 written, 2 not.
    """
    settings = from_environment()
    keys: dict[str, object] = {
        "id": id_,
        "name": name,
        "envelopes": list(envelopes),
        "answer_queue": answer_queue or f"out.{id_}",
        **({"user": user} if user else {}),
        "language": language,
        **({"contrl": True} if contrl else {}),
        **({"account_security": list(accounts)} if accounts else {}),
    }
    lines = ["", "[[partner]]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    for importer in importers:
        lines += ["", "[[partner.authority]]", f"bn = {_toml(importer)}"]
        lines += [f"from = {start:%Y-%m-%d}"] if start else []
    _append(settings, lines)
    say, queue = saying(lang), inbound_queue(id_)
    echo(
        say(
            f"{id_} written into {settings.partners}; it sends to {queue}",
            f"{id_} écrit dans {settings.partners}; il envoie à {queue}",
        )
    )
    echo(
        say(
            "Next: `gateway doctor --declare`, its user at the broker (`gateway broker-users`), SIGHUP to `gateway"
            " serve`",
            "Ensuite : `gateway doctor --declare`, son utilisateur du serveur de files (`gateway broker-users`), SIGHUP"
            " à `gateway serve`",
        )
    )


# Bytes of a token: nobody guesses so many, so a plain hash of it can be in the file (DECISIONS D120).
TOKEN_BYTES = 32


@partner.command()
@click.argument("partner_id", metavar="PARTNER")
@LANGUAGE
def token(partner_id: str, lang: str) -> None:
    """Make a token with which a PARTNER sends over HTTP.

    It is printed once and kept nowhere; the line for the partners' file has its hash, beside those of the tokens that
    the partner has. Delete a hash to take that token back: `gateway web --exchange` reads a changed file at once.

    Exit code: 0, or 2 when there is no such partner or the file cannot be used.
    """
    settings = from_environment()
    partner = known_partner(partner_id, load_partners(settings.partners))
    made = secrets.token_urlsafe(TOKEN_BYTES)
    say = saying(lang)
    echo(
        say(
            f"{partner_id}'s token, to be given to it and shown only now: {made}",
            f"Jeton de {partner_id}, à lui remettre et affiché cette seule fois : {made}",
        )
    )
    file = settings.partners
    echo(say(f"In {file}, in the table of {partner_id}:", f"Dans {file}, dans la table de {partner_id} :"))
    echo(f"token_hashes = {_toml([*partner.token_hashes, token_hash(made)])}")


def _toml(value: object) -> str:
    """Return a text, a list of texts or a truth as TOML, whose strings take JSON's escapes."""
    return json.dumps(value, ensure_ascii=False)


def _append(settings: Settings, lines: list[str]) -> None:
    """Write the file with the lines at its end, in one step; raises GatewayError for one that could not be loaded."""
    file = settings.partners.resolve()
    if file.parent in (PARTNERS.parent, EXAMPLE.parent):
        raise GatewayError(f"{file} is the program's own: copy it, and name yours in GATEWAY_PARTNERS")
    beside = file.with_name(f".{file.name}.new")
    try:
        mode = file.stat().st_mode & 0o777
        # Made here and nowhere else: whoever else adds at this moment finds it, and stops.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise GatewayError(f"{beside} is there: somebody is writing, or was stopped; delete it if not") from None
    except OSError as error:
        raise GatewayError(f"{settings.partners}: cannot be written: {error.strerror}") from error
    try:
        before = file.read_bytes()
        end = "\r\n" if b"\r\n" in before else "\n"
        after = before + (b"" if before.endswith(b"\n") or not before else end.encode())
        after += "".join(line + end for line in lines).encode(errors="backslashreplace")
        not_ours(read_partners(after, settings.partners).values(), engine_users(settings))
        with open(descriptor, "wb", closefd=False) as written:
            written.write(after)
        os.fsync(descriptor)
        os.fchmod(descriptor, mode)
        os.replace(beside, file)
    except OSError as error:
        raise GatewayError(f"{settings.partners}: cannot be written: {error.strerror}") from error
    finally:
        os.close(descriptor)
        beside.unlink(missing_ok=True)
