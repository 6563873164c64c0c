"""Which taxonomy holds, and older ones by id: a task keeps the one it was claimed under.

The newest edition holds (see crowd.tasks.editions), or before the first one the file that processes start
with. Each process looks for a newer one every few seconds.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core import clock
from crowd.core.db import Database
from crowd.runtime import Runtime
from crowd.tasks.editions import queries
from crowd.taxonomy import Taxonomy, parse_taxonomy

REMEMBER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Present:
    """The taxonomy that holds: its id, the number of its edition (0: it is the file's), and itself."""

    id: int
    number: int
    taxonomy: Taxonomy


def ensure(db: Database, taxonomy: Taxonomy) -> int:
    """The id of this taxonomy's version, stored now if it is new."""
    with db.read() as conn:
        found = queries.version_of(conn, taxonomy.digest)
    if found is not None:
        return found
    try:
        with db.begin() as conn:
            return keep(conn, taxonomy)
    except IntegrityError:
        pass  # another process stored the same version first
    with db.read() as conn:
        stored = queries.version_of(conn, taxonomy.digest)
    assert stored is not None
    return stored


def keep(conn: Connection, taxonomy: Taxonomy) -> int:
    """`ensure` in a transaction that is open. Raises IntegrityError where another stores the same now."""
    found = queries.version_of(conn, taxonomy.digest)
    if found is not None:
        return found
    queries.add_version(
        conn,
        digest=taxonomy.digest,
        name=taxonomy.name,
        document=taxonomy.document,
        loaded_at=clock.now(),
    )
    stored = queries.version_of(conn, taxonomy.digest)
    assert stored is not None
    return stored


class TaxonomyShelf:
    """The taxonomy that holds, as this process knows it, and older ones; each document is read once.

    `file` is the taxonomy that the process was started with.
    """

    def __init__(
        self, db: Database, file: Taxonomy, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self.file = file
        self._monotonic = monotonic
        self._file_id: int | None = None
        self._parsed: dict[int, Taxonomy] = {}
        self._present: Present | None = None
        self._read_at = float("-inf")

    def present(self) -> Present:
        """What holds, at most REMEMBER_SECONDS old. Call it outside of a transaction."""
        now = self._monotonic()
        known = self._present
        if known is not None and now - self._read_at < REMEMBER_SECONDS:
            return known
        # First: threads that come meanwhile go on with what is known.
        self._read_at = now
        try:
            with self._db.read() as conn:
                newest = queries.newest(conn)
                if newest is not None and (known is None or known.number != newest.number):
                    taxonomy = self.version(conn, newest.taxonomy_id)
                    known = Present(newest.taxonomy_id, newest.number, taxonomy)
            if newest is None:
                known = Present(self.file_id(), 0, self.file)
        except BaseException:
            self._read_at = float("-inf")
            raise
        assert known is not None
        self._present = known
        return known

    def present_id(self) -> int:
        """The id that tasks claimed now are to keep. Call it outside of a transaction."""
        return self.present().id

    def file_id(self) -> int:
        """The id of the file's taxonomy. Call it outside of a transaction."""
        if self._file_id is None:
            self._file_id = ensure(self._db, self.file)
        return self._file_id

    def look_again(self) -> None:
        """Whoever asks next is told what holds by then."""
        self._read_at = float("-inf")

    def version(self, conn: Connection, taxonomy_id: int | None) -> Taxonomy:
        """The taxonomy of a version; when a task was never claimed, the one that holds."""
        if taxonomy_id is None:
            return self._present.taxonomy if self._present else self.file
        if taxonomy_id == self._file_id:
            return self.file
        if taxonomy_id not in self._parsed:
            self._parsed[taxonomy_id] = parse_taxonomy(queries.document(conn, taxonomy_id))
        return self._parsed[taxonomy_id]


_SHELVES: WeakKeyDictionary[Database, TaxonomyShelf] = WeakKeyDictionary()


def shelf(rt: Runtime) -> TaxonomyShelf:
    """The taxonomy shelf of a runtime; one a database, shared by its threads."""
    if rt.db not in _SHELVES:
        _SHELVES[rt.db] = TaxonomyShelf(rt.db, rt.taxonomy)
    return _SHELVES[rt.db]
