"""Settings, read once from the environment at the edge of a process and handed down."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from crowd.core.embedded import redis_url

DEFAULT_DATA_DIR = "crowd-data"
SECRET_FILE = "secret-key"


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
    requests_per_minute: int | None = None
    max_upload_bytes: int = 40 * 1024 * 1024

    @property
    def is_sqlite(self) -> bool:
        """Whether the embedded database is in use."""
        return self.database_url.startswith("sqlite")


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
        database_url=_database_url(env.get("DATABASE_URL"), data_dir),
        redis_url=env.get("REDIS_URL") or redis_url(data_dir),
        storage=env.get("CROWD_STORAGE") or str(data_dir / "storage"),
        secret_key=env.get("CROWD_SECRET_KEY") or _own_secret(data_dir),
        taxonomy_file=_file(env, "CROWD_TAXONOMY"),
        policy_file=_file(env, "CROWD_POLICY"),
        lease_seconds=_whole_number(env, "CROWD_LEASE_SECONDS", least=1),
        reserve_seconds=_whole_number(env, "CROWD_RESERVE_SECONDS", least=0),
        requests_per_minute=_whole_number(env, "CROWD_REQUESTS_PER_MINUTE", least=1),
        max_upload_bytes=_whole_number(env, "CROWD_MAX_UPLOAD_BYTES", least=1024) or 40 * 1024 * 1024,
    )


def _database_url(text: str | None, data_dir: Path) -> str:
    if not text:
        # A path is no address yet: `?`, `#` and `%` in it would be read as parts of one.
        return "sqlite:///" + quote(str(data_dir / "crowd.sqlite"))
    for prefix in ("postgres://", "postgresql://"):
        if text.startswith(prefix):
            return "postgresql+psycopg://" + text.removeprefix(prefix)
    if text.startswith(("postgresql+psycopg://", "sqlite:///")):
        return text
    raise SettingsError("DATABASE_URL: only postgresql:// and sqlite:/// addresses are understood")


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
