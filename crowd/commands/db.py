"""`crowd db`: migrations."""

import click

from crowd.core import migrate
from crowd.core.config import load_settings
from crowd.core.db import Database
from crowd.core.health import current_revision, head_revision


@click.group()
def db() -> None:
    """Bring the database to a migration."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database up to REVISION (the newest)."""
    migrate.upgrade(load_settings().database_url, revision)
    _say_current()


@db.command()
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take the database back to REVISION; `base` empties it."""
    migrate.downgrade(load_settings().database_url, revision)
    _say_current()


@db.command()
def current() -> None:
    """Say which migration the database is at."""
    _say_current()


def _say_current() -> None:
    database = Database(load_settings().database_url)
    try:
        found = current_revision(database)
    finally:
        database.close()
    newest = " (the newest)" if found == head_revision() else ""
    click.echo(f"database at {found or 'no migration'}{newest}")
