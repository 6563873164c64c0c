"""What commands open before they work: settings, and a database of today's shape."""

from collections.abc import Iterator
from contextlib import contextmanager

from crowd.core.config import load_settings
from crowd.core.errors import Unavailable
from crowd.core.health import current_revision, database_fault
from crowd.core.migrate import upgrade
from crowd.runtime import Runtime, build_runtime
from crowd.wiring import wire


@contextmanager
def open_runtime() -> Iterator[Runtime]:
    """The runtime that the environment describes, closed at the end of the block.

    An embedded database that was never set up is set up first. Raises SettingsError, PolicyError,
    TaxonomyError, OperationalError, and Unavailable for a database that is not migrated.
    """
    rt = build_runtime(load_settings())
    wire(rt)
    try:
        if rt.settings.is_sqlite and current_revision(rt.db) is None:
            upgrade(rt.settings.database_url)
        if fault := database_fault(rt.db):
            raise Unavailable("database_away", f"DATABASE_URL: {fault}")
        yield rt
    finally:
        rt.db.close()
