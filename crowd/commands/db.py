"""`crowd db`: migrations."""

import click

from crowd.commands.opening import open_runtime
from crowd.core import clock, migrate
from crowd.core.config import load_settings
from crowd.core.db import Database
from crowd.core.health import current_revision, head_revision
from crowd.tasks import counts


@click.group()
def db() -> None:
    """Bring the database to a migration, and its counts to the truth."""


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


@db.command()
def reconcile() -> None:
    """Count everything for real, and report and correct each kept figure that differs.

    Exit code 0: all agreed; 1: something differed and was corrected.
    """
    with open_runtime() as rt:
        found = counts.reconcile(rt.db, clock.now())
    for each in found:
        whose = f" of worker {each.worker_id}" if each.worker_id else ""
        click.echo(f"{each.figure} {each.of}{whose}: kept {each.kept}, counted {each.counted}")
    if found:
        click.echo(f"{len(found)} figures differed and were corrected")
        raise SystemExit(1)
    click.echo("every figure agrees with a full count")


def _say_current() -> None:
    database = Database(load_settings().database_url)
    try:
        found = current_revision(database)
    finally:
        database.close()
    newest = " (the newest)" if found == head_revision() else ""
    click.echo(f"database at {found or 'no migration'}{newest}")
