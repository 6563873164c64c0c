"""Whether the process can do its work: whether the database is there, and of today's shape."""

from functools import cache

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from crowd.core.db import Database
from crowd.core.migrate import alembic_config


@cache
def head_revision() -> str | None:
    """The newest migration that this code brings along."""
    return ScriptDirectory.from_config(alembic_config("")).get_current_head()


@cache
def known_revisions() -> frozenset[str]:
    """Every migration that this code brings along."""
    scripts = ScriptDirectory.from_config(alembic_config("")).walk_revisions()
    return frozenset(script.revision for script in scripts)


def current_revision(db: Database) -> str | None:
    """The migration the database is at; None if it was never set up. Raises OperationalError."""
    with db.read() as conn:
        return MigrationContext.configure(conn).get_current_revision()


def database_fault(db: Database) -> str | None:
    """What keeps the database from being used, as a sentence; None if nothing."""
    try:
        current = current_revision(db)
    except sa.exc.SQLAlchemyError:
        return "the database does not answer"
    # One that is not known here is newer: an upgrade is under way, and adds before it takes away.
    if current is None or (current != head_revision() and current in known_revisions()):
        return f"the database is at migration {current or 'none'}, not {head_revision()}: crowd db upgrade"
    return None
