"""Settings, read once from the environment at the edge of a process and handed down."""

import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from redis.connection import parse_url

from crowd.core.embedded import redis_url
from crowd.core.sentinel import SCHEME, is_sentinel, parse_sentinel

DEFAULT_DATA_DIR = "crowd-data"
SECRET_FILE = "secret-key"
POOLERS = ("transaction",)
REDIS_SCHEMES = ("redis", "rediss", "unix", SCHEME)


class SettingsError(Exception):
    """The environment holds something that cannot work; the message says which variable."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know before it starts."""

    data_dir: Path
    database_url: str
    redis_url: str | None
    storage: str
    secret_key: str
    taxonomy_file: Path | None = None
    policy_file: Path | None = None
    lease_seconds: int | None = None
    reserve_seconds: int | None = None
    gold_percent: float | None = None
    requests_per_minute: int | None = None
    max_upload_bytes: int = 40 * 1024 * 1024

    @property
    def is_sqlite(self) -> bool:
        """Whether the embedded database is in use."""
        return self.database_url.startswith("sqlite")

    @property
    def scratch(self) -> Path:
        """Where a storage in a bucket keeps what has to lie on this machine."""
        return self.data_dir / "s3"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables (see docs/operations.md); makes the data dir.

    Raises SettingsError for a value that cannot work.
    """
    env = os.environ if environ is None else environ
    data_dir = Path(env.get("CROWD_DATA_DIR") or DEFAULT_DATA_DIR).expanduser().resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"CROWD_DATA_DIR: {data_dir} cannot be made: {error.strerror}") from None
    return Settings(
        data_dir=data_dir,
        database_url=_database(env, data_dir),
        redis_url=_redis_url(env.get("REDIS_URL")) or redis_url(data_dir),
        storage=env.get("CROWD_STORAGE") or str(data_dir / "storage"),
        secret_key=env.get("CROWD_SECRET_KEY") or _own_secret(data_dir),
        taxonomy_file=_file(env, "CROWD_TAXONOMY"),
        policy_file=_file(env, "CROWD_POLICY"),
        lease_seconds=_whole_number(env, "CROWD_LEASE_SECONDS", least=1),
        reserve_seconds=_whole_number(env, "CROWD_RESERVE_SECONDS", least=0),
        gold_percent=_share(env, "CROWD_GOLD_SHARE"),
        requests_per_minute=_whole_number(env, "CROWD_REQUESTS_PER_MINUTE", least=1),
        max_upload_bytes=_whole_number(env, "CROWD_MAX_UPLOAD_BYTES", least=1024) or 40 * 1024 * 1024,
    )


def _database(env: Mapping[str, str], data_dir: Path) -> str:
    """The address, which carries how to be connected to: migrations are handed nothing else."""
    address = _database_url(env.get("DATABASE_URL"), data_dir)
    if address.startswith("sqlite"):
        return address
    chosen: dict[str, str] = {}
    if connections := _whole_number(env, "CROWD_DB_CONNECTIONS", least=1):
        chosen["pool"] = str(connections)
    if pooler := env.get("CROWD_DB_POOLER"):
        if pooler not in POOLERS:
            raise SettingsError(f"CROWD_DB_POOLER: only {', '.join(POOLERS)} is understood, not {pooler!r}")
        chosen["pooler"] = pooler
    if not chosen:
        return address
    return sa.make_url(address).update_query_dict(chosen).render_as_string(hide_password=False)


def _database_url(text: str | None, data_dir: Path) -> str:
    if not text:
        # A path is no address yet: `?`, `#` and `%` in it would be read as parts of one.
        return "sqlite:///" + quote(str(data_dir / "crowd.sqlite"))
    for prefix in ("postgres://", "postgresql://"):
        if text.startswith(prefix):
            text = "postgresql+psycopg://" + text.removeprefix(prefix)
    if not text.startswith(("postgresql+psycopg://", "sqlite:///")):
        raise SettingsError("DATABASE_URL: only postgresql:// and sqlite:/// addresses are understood")
    try:
        sa.make_url(text)
    except (ValueError, sa.exc.ArgumentError):
        raise SettingsError(
            "DATABASE_URL: this is no postgresql://user:password@host:port/database; "
            "several hosts are written ?host=one:5432&host=other:5432"
        ) from None
    return text


def _redis_url(text: str | None) -> str | None:
    if not text:
        return None
    if not text.startswith(tuple(f"{scheme}://" for scheme in REDIS_SCHEMES)):
        raise SettingsError(f"REDIS_URL: the address has to begin with {', '.join(REDIS_SCHEMES)}://")
    try:
        if is_sentinel(text):
            parse_sentinel(text)
        else:
            parse_url(text)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None
    return text


def _own_secret(data_dir: Path) -> str:
    """A key kept in the data dir, so that sessions outlive a restart of an embedded system."""
    path = data_dir / SECRET_FILE
    try:
        # O_EXCL: of two processes that start at once, one writes and both read the same key.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text()


def _file(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]).expanduser() if env.get(name) else None


def _whole_number(env: Mapping[str, str], name: str, *, least: int) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise SettingsError(f"{name}: a whole number of at least {least} is needed, not {text!r}")
    return int(text)


def _share(env: Mapping[str, str], name: str) -> float | None:
    """A share in per cent, written as one (`5`, `5%`) or as a part of one (`0.05`)."""
    text = (env.get(name) or "").strip()
    if not text:
        return None
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = math.nan
    # Up to 1 it is a part of one: `1` is everything, and one per cent is written `1%`.
    percent = number if text.endswith("%") or number > 1 else number * 100
    if not 0 <= percent <= 100:
        raise SettingsError(f"{name}: a share is needed, such as 0.05, 5% or 0, not {text!r}")
    return percent
