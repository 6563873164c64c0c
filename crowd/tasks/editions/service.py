"""Publishing an edition of the taxonomy: what it would change, what forbids it, and the edition itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.core import clock
from crowd.core.db import AnyRow
from crowd.core.errors import Conflict, NotFound, Unprocessable, field_error
from crowd.tasks import taxonomies
from crowd.tasks.editions import queries
from crowd.tasks.editions.holding import Held, held
from crowd.tasks.taxonomies import TaxonomyShelf
from crowd.taxonomy import Change, Taxonomy, TaxonomyError, Turn, compare, lost, parse_taxonomy, read_taxonomy

DOCUMENT, FILE = "document", "file"

_LEAVES_USE = (Turn.REMOVED, Turn.RETIRED)


@dataclass(frozen=True, slots=True)
class Wish:
    """A taxonomy to be published: plain data, or a file's text; `after` is the number its author has read."""

    after: int
    document: Mapping[str, Any] | None = None
    file: str | None = None

    @property
    def field(self) -> str:
        """Where it stands in the request."""
        return FILE if self.document is None else DOCUMENT


@dataclass(frozen=True, slots=True)
class Outlook:
    """What publishing would do: changes, labels that hold what goes out of use, and what forbids it."""

    after: int
    changes: Sequence[Change]
    held: Sequence[Held]
    refusals: Mapping[str, Sequence[str]]


def read(wish: Wish) -> Taxonomy:
    """The taxonomy of a wish. Raises a 422 with every mistake, by its path in the request."""
    if (wish.document is None) == (wish.file is None):
        raise field_error(DOCUMENT, f"either {DOCUMENT} or {FILE} is needed")
    try:
        return read_taxonomy(wish.file) if wish.file is not None else parse_taxonomy(wish.document)
    except TaxonomyError as error:
        errors = {_at(wish.field, path): texts for path, texts in error.errors.items()}
        raise Unprocessable("invalid_taxonomy", "The taxonomy has mistakes.", errors=errors) from None


def _at(field: str, path: str) -> str:
    return field if path in ("", field) else f"{field}.{path}"


def outlook(conn: Connection, shelf: TaxonomyShelf, wish: Wish, wanted: Taxonomy) -> Outlook:
    """What publishing `wanted` now would do. Raises Conflict `changed` where `wish.after` holds no more."""
    number, before = _before(conn, shelf)
    if number != wish.after:
        raise _changed(number)
    changes = compare(before, wanted)
    refusals: dict[str, list[str]] = {}
    if not changes:
        refusals[""] = ["is the same as before"]
    elif wanted.version == before.version or queries.numbered(conn, wanted.version) is not None:
        refusals["version"] = [f"{wanted.version!r} is the name of another version already"]
    if not queries.is_untouched(conn):
        refusals |= lost(before, wanted)
    return Outlook(
        after=number,
        changes=changes,
        held=held(conn, [change.path for change in changes if change.turn in _LEAVES_USE]),
        refusals=refusals,
    )


def publish(
    conn: Connection,
    shelf: TaxonomyShelf,
    wish: Wish,
    reason: str,
    *,
    by: int | None,
    now: datetime,
) -> dict[str, Any]:
    """Have another taxonomy hold from now on; each process sees it within a few seconds.

    Raises a 422 about the taxonomy, and Conflict `changed` where another was published
    since the one that its author has read. Call `shelf.look_again` after the commit.
    """
    wanted = read(wish)
    found = outlook(conn, shelf, wish, wanted)
    if found.refusals:
        errors = {_at(wish.field, path): list(texts) for path, texts in found.refusals.items()}
        raise Unprocessable("taxonomy_refused", "This taxonomy cannot follow the present one.", errors=errors)
    try:
        with conn.begin_nested():
            if found.after == 0 and queries.newest(conn) is None:
                _keep_the_file(conn, shelf)
            queries.add(
                conn,
                number=found.after + 1,
                taxonomy_id=taxonomies.keep(conn, wanted),
                version=wanted.version,
                worker_id=by,
                reason=reason,
                changes=[plain(change) for change in found.changes],
                at=now,
            )
    except IntegrityError:
        raise _changed(found.after + 1) from None
    return show(conn, shelf, found.after + 1)


def plain(change: Change) -> dict[str, Any]:
    """A change as plain data."""
    return {**asdict(change), "turn": change.turn.value}


def show(conn: Connection, shelf: TaxonomyShelf, number: int) -> dict[str, Any]:
    """One edition with its document. Raises NotFound."""
    found = queries.edition(conn, number)
    if found is not None:
        return {**found._mapping, "document": queries.document(conn, found.id)}
    if number or queries.newest(conn) is not None:
        raise NotFound("no_such_taxonomy", f"There is no version {number} of the taxonomy.")
    return {**of_file(shelf), "document": shelf.file.document}


def listed(
    conn: Connection, shelf: TaxonomyShelf, *, before: int | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Editions, newest first; while nobody published one, the file's alone."""
    rows: Sequence[AnyRow] = queries.editions(conn, before=before, limit=limit)
    if not rows and before is None:
        return [of_file(shelf)]
    return [dict(row._mapping) for row in rows]


def of_file(shelf: TaxonomyShelf) -> dict[str, Any]:
    """Edition 0 as long as there is no other: the file that this process was started with."""
    file = shelf.file
    return {
        "number": 0,
        "id": shelf.present_id(),
        "name": file.name,
        "version": file.version,
        "digest": file.digest,
        "who": None,
        "reason": "",
        "changes": [],
        "at": None,
    }


def _before(conn: Connection, shelf: TaxonomyShelf) -> tuple[int, Taxonomy]:
    newest = queries.newest(conn)
    return (0, shelf.file) if newest is None else (newest.number, shelf.version(conn, newest.taxonomy_id))


def _keep_the_file(conn: Connection, shelf: TaxonomyShelf) -> None:
    file = shelf.file
    queries.add(
        conn,
        number=0,
        taxonomy_id=taxonomies.keep(conn, file),
        version=file.version,
        worker_id=None,
        reason="",
        changes=[],
        at=clock.now(),
    )


def _changed(number: int) -> Conflict:
    return Conflict("changed", f"Version {number} of the taxonomy was published meanwhile; read it first.")
