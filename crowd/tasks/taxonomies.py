"""Taxonomy versions: each loaded taxonomy is kept, so that a task keeps the one it was claimed under."""

from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core import clock
from crowd.core.db import Database
from crowd.runtime import Runtime
from crowd.tasks.models import TaxonomyVersion
from crowd.taxonomy import Taxonomy, parse_taxonomy


def ensure(db: Database, taxonomy: Taxonomy) -> int:
    """The id of this taxonomy's version, stored now if it is new."""
    with db.read() as conn:
        found = _find(conn, taxonomy.digest)
    if found is not None:
        return found
    try:
        with db.begin() as conn:
            conn.execute(
                sa.insert(TaxonomyVersion).values(
                    digest=taxonomy.digest,
                    name=taxonomy.name,
                    document=taxonomy.document,
                    loaded_at=clock.now(),
                )
            )
    except IntegrityError:
        pass  # another process stored the same version first
    with db.read() as conn:
        stored = _find(conn, taxonomy.digest)
    assert stored is not None
    return stored


class TaxonomyShelf:
    """The present version's id, and older versions by id; each is read from the database once."""

    def __init__(self, db: Database, present: Taxonomy) -> None:
        self._db = db
        self._present = present
        self._ids: dict[str, int] = {}
        self._parsed: dict[int, Taxonomy] = {}

    def present_id(self) -> int:
        """The id that tasks claimed now are to keep. Call it outside of a transaction."""
        if self._present.digest not in self._ids:
            self._ids[self._present.digest] = ensure(self._db, self._present)
        return self._ids[self._present.digest]

    def version(self, conn: Connection, taxonomy_id: int | None) -> Taxonomy:
        """The taxonomy of a version; the present one when a task was never claimed."""
        if taxonomy_id is None or taxonomy_id == self._ids.get(self._present.digest):
            return self._present
        if taxonomy_id not in self._parsed:
            document = conn.execute(
                sa.select(TaxonomyVersion.document).where(TaxonomyVersion.id == taxonomy_id)
            ).scalar_one()
            self._parsed[taxonomy_id] = parse_taxonomy(document)
        return self._parsed[taxonomy_id]


def _find(conn: Connection, digest: str) -> int | None:
    return conn.execute(
        sa.select(TaxonomyVersion.id).where(TaxonomyVersion.digest == digest)
    ).scalar_one_or_none()


_SHELVES: WeakKeyDictionary[Database, TaxonomyShelf] = WeakKeyDictionary()


def shelf(rt: Runtime) -> TaxonomyShelf:
    """The taxonomy shelf of a runtime; one a database, shared by its threads."""
    if rt.db not in _SHELVES:
        _SHELVES[rt.db] = TaxonomyShelf(rt.db, rt.taxonomy)
    return _SHELVES[rt.db]
