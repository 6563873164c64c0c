"""Alembic, called from code: no ini file, so it works from a checkout and from a wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config

_HERE = Path(__file__).resolve().parents[1]


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration for `database_url`."""
    config = Config()
    shipped = _HERE / "_migrations"
    config.set_main_option(
        "script_location",
        str(shipped if shipped.is_dir() else _HERE.parent / "migrations"),
    )
    # Percent signs of an encoded password would be read as interpolation.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`."""
    command.upgrade(alembic_config(database_url), revision)


def downgrade(database_url: str, revision: str = "base") -> None:
    """Take the database back to `revision`."""
    command.downgrade(alembic_config(database_url), revision)
