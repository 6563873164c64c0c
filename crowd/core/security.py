"""Secrets: passwords (Argon2id), random tokens and their digests. It knows no people."""

import hashlib
import hmac
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_HASHER = PasswordHasher()


def hash_password(password: str) -> str:
    """The Argon2id hash of `password`; deliberately slow (tens of milliseconds): hold no transaction."""
    return _HASHER.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether `password` fits. Without a hash the answer is no, and takes just as long."""
    try:
        return _HASHER.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
    except (Argon2Error, InvalidHashError):
        return False


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def warm_up() -> None:
    """Make what the first refused login would otherwise wait for (and so be told apart by)."""
    _nobodys_hash()


def new_secret() -> str:
    """256 random bits as URL-safe text of 43 characters."""
    return secrets.token_urlsafe(32)


def new_password() -> str:
    """A random password of 16 characters (96 bits)."""
    return secrets.token_urlsafe(12)


def digest(secret: str) -> bytes:
    """The SHA-256 of a token: 32 bytes. Tokens are random, so they need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash(secrets.token_urlsafe(32))
