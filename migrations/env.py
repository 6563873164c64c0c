"""Alembic's entry: brings a database to the shape of crowd's models, on SQLite or PostgreSQL."""

from typing import Any, Literal

from alembic import context

from crowd import models
from crowd.core.db import Base, Coded, Database, UtcDateTime

assert models  # importing it registers every table


def render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Own column types written as what the database sees: a migration must not depend on today's code."""
    if kind == "type" and isinstance(item, Coded):
        return "sa.SmallInteger()"
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def run() -> None:
    """Run the migrations on the URL the caller put into the configuration."""
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise SystemExit("no database address: run `crowd db upgrade`")
    database = Database(url)
    try:
        with database.engine.connect() as conn:
            context.configure(
                connection=conn,
                target_metadata=Base.metadata,
                render_as_batch=conn.dialect.name == "sqlite",
                render_item=render_item,
                compare_type=True,
                compare_server_default=True,
                transactional_ddl=True,
                # In one transaction for all, each would hold its locks while the next waits for its own:
                # with a claim in between that is a deadlock.
                transaction_per_migration=True,
            )
            with context.begin_transaction():
                context.run_migrations()
    finally:
        database.close()


run()
