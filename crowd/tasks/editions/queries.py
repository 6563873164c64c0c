"""All SQL about editions of the taxonomy."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.accounts.models import Worker
from crowd.core.db import AnyRow, AnySelect
from crowd.policy import Stage
from crowd.tasks.editions.models import TaxonomyEdition
from crowd.tasks.models import Claim, Label, TaxonomyVersion

_NEWEST = (
    sa.select(TaxonomyEdition.number, TaxonomyEdition.taxonomy_id)
    .order_by(TaxonomyEdition.number.desc())
    .limit(1)
)


def newest(conn: Connection) -> AnyRow | None:
    """Number and taxonomy of the edition that holds; None while nobody published one."""
    return conn.execute(_NEWEST).one_or_none()


def editions(conn: Connection, *, before: int | None, limit: int) -> Sequence[AnyRow]:
    """Editions, newest first, below number `before`."""
    statement = _editions().order_by(TaxonomyEdition.number.desc()).limit(limit)
    if before is not None:
        statement = statement.where(TaxonomyEdition.number < before)
    return conn.execute(statement).all()


def edition(conn: Connection, number: int) -> AnyRow | None:
    """One edition."""
    return conn.execute(_editions().where(TaxonomyEdition.number == number)).one_or_none()


def numbered(conn: Connection, version: str) -> int | None:
    """The number of an edition that names its version so."""
    return conn.execute(
        sa.select(TaxonomyEdition.number).where(TaxonomyEdition.version == version).limit(1)
    ).scalar_one_or_none()


def held_once(conn: Connection, digest: str) -> bool:
    """Whether the taxonomy with that digest holds, or held, as some edition."""
    stored = sa.select(TaxonomyEdition.number).join(
        TaxonomyVersion, TaxonomyVersion.id == TaxonomyEdition.taxonomy_id
    )
    return bool(conn.execute(sa.select(sa.exists(stored.where(TaxonomyVersion.digest == digest)))).scalar())


def add(conn: Connection, **values: Any) -> None:
    """An edition. Raises IntegrityError where somebody else published that number first."""
    conn.execute(sa.insert(TaxonomyEdition).values(**values))


def version_of(conn: Connection, digest: str) -> int | None:
    """The id of the stored taxonomy with that digest."""
    return conn.execute(
        sa.select(TaxonomyVersion.id).where(TaxonomyVersion.digest == digest)
    ).scalar_one_or_none()


def add_version(conn: Connection, **values: Any) -> None:
    """A stored taxonomy. Raises IntegrityError where the same one is stored already."""
    conn.execute(sa.insert(TaxonomyVersion).values(**values))


def document(conn: Connection, taxonomy_id: int) -> Any:
    """The plain document of a stored taxonomy."""
    return conn.execute(
        sa.select(TaxonomyVersion.document).where(TaxonomyVersion.id == taxonomy_id)
    ).scalar_one()


def is_untouched(conn: Connection) -> bool:
    """Whether nothing was ever labelled or claimed here, so that no code can be in use."""
    return conn.execute(
        sa.select(~sa.exists(sa.select(Label.id)), ~sa.exists(sa.select(Claim.task_id)))
    ).one() == (True, True)


def newest_labels(conn: Connection, stages: Sequence[Stage], most: int) -> tuple[Sequence[AnyRow], bool]:
    """The labels of these stages among the newest `most` of all stages, and whether there are no others."""
    last = conn.execute(sa.select(sa.func.max(Label.id))).scalar_one() or 0
    first = last - most
    rows = conn.execute(
        sa.select(Label.stage, Label.value).where(Label.id > first, Label.stage.in_(stages))
    ).all()
    older = conn.execute(sa.select(sa.exists(sa.select(Label.id).where(Label.id <= first)))).scalar_one()
    return rows, not older


def _editions() -> AnySelect:
    return (
        sa.select(
            TaxonomyEdition.number,
            TaxonomyEdition.taxonomy_id.label("id"),
            TaxonomyEdition.version,
            TaxonomyEdition.reason,
            TaxonomyEdition.changes,
            TaxonomyEdition.at,
            TaxonomyVersion.name,
            TaxonomyVersion.digest,
            Worker.username.label("who"),
        )
        .join(TaxonomyVersion, TaxonomyVersion.id == TaxonomyEdition.taxonomy_id)
        .join(Worker, Worker.id == TaxonomyEdition.worker_id, isouter=True)
    )
