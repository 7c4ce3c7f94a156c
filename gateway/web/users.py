"""The desk's own users: a TOML file with a row each, passwords as argon2 hashes."""

from __future__ import annotations

import json
import secrets
import threading
from pathlib import Path

import argon2
import msgspec

from core.errors import GatewayError
from gateway.web.sessions import UserRole

# Each check takes 64 MB for a moment: so many at one time.
SIDE_BY_SIDE = threading.BoundedSemaphore(2)

# A password that is typed is not shorter; what is longer is not looked at.
SHORTEST, LONGEST = 12, 1_000

_HASHER = argon2.PasswordHasher()
# What a name that nobody has is compared with, so that it takes as long.
_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))


class _User(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    password: str
    role: UserRole


class _File(msgspec.Struct, forbid_unknown_fields=True):
    user: list[_User]


def load_users(path: Path) -> dict[str, _User]:
    """Return the users of a file by name; raises GatewayError, one line that quotes no hash."""
    try:
        listed = msgspec.toml.decode(path.read_bytes(), type=_File).user
    except OSError as error:
        raise GatewayError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise GatewayError(f"{path}: tables [[user]] with name, password, role are wanted: {error}") from None
    users = {each.name: each for each in listed}
    if len(users) < len(listed):
        raise GatewayError(f"{path}: two users have the same name")
    for each in listed:
        if not each.name.strip() or not each.password.startswith("$argon2"):
            raise GatewayError(f"{path}: {each.name!r}: a name and an argon2 hash are wanted: see `gateway web-user`")
    return users


def role_of(path: Path, name: str, password: str) -> UserRole | None:
    """Return what a user may, None unless name and password fit; it takes as long for a name that nobody has."""
    user = load_users(path).get(name)
    with SIDE_BY_SIDE:
        try:
            _HASHER.verify(user.password if user else _NOBODY, password[:LONGEST])
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return None
    return user.role if user and len(password) <= LONGEST else None


def row_of(name: str, password: str, role: UserRole) -> str:
    """Return a user's row for the file; raises GatewayError for a name or password that cannot be."""
    if not name.strip() or not name.isprintable():
        raise GatewayError("the name has to be seen: letters, digits, signs")
    if not SHORTEST <= len(password) <= LONGEST:
        raise GatewayError(f"a password has at least {SHORTEST} characters")
    written = json.dumps(name, ensure_ascii=False)  # a printable text is written in TOML as in JSON
    return f'[[user]]\nname = {written}\npassword = "{_HASHER.hash(password)}"\nrole = "{role}"'
