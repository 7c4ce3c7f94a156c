"""Ed25519 signatures (RFC 8032) with keys in PEM files, as OpenSSL writes them."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from core.errors import GatewayError


def sign(body: bytes, key: Path) -> str:
    """Return the signature of a body in base64; raises GatewayError for a file that holds no such private key."""
    found = _loaded(key, functools.partial(load_pem_private_key, password=None))
    if not isinstance(found, Ed25519PrivateKey):
        raise GatewayError(f"{key}: no Ed25519 private key: make one with `openssl genpkey -algorithm ed25519`")
    return base64.b64encode(found.sign(body)).decode()


def is_signed(body: bytes, signature: str, key: Path) -> bool:
    """Tell whether the owner of a public key signed a body; raises GatewayError for a file that holds no such key."""
    found = _loaded(key, load_pem_public_key)
    if not isinstance(found, Ed25519PublicKey):
        raise GatewayError(f"{key}: no Ed25519 public key: take it out with `openssl pkey -in KEY -pubout`")
    try:
        found.verify(base64.b64decode(signature, validate=True), body)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _loaded(key: Path, load: Callable[[bytes], object]) -> object:
    """Return the key in a PEM file, None if it holds none that can be read without a password."""
    try:
        return load(key.read_bytes())
    except OSError as error:
        raise GatewayError(f"{key}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it needs a password
        return None
