"""All SQL of releases and exports. A release's rows are written once, together with it, and never changed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import AnyRow, literal
from crowd.datasets.models import (
    EXPORT_STATE,
    SPLIT,
    Export,
    ExportState,
    Release,
    ReleaseImage,
    ReleasePicture,
    Tombstone,
)
from crowd.datasets.records import Split
from crowd.images.contract_queries import has_ended
from crowd.images.delivery_models import Contract, Fingerprint
from crowd.images.models import IMAGE_STATE, STAGE, Image, ImageState, Supplier
from crowd.policy import Stage
from crowd.tasks.models import Label

CHUNK = 5000
_LABELLED = (Stage.SEGMENTATION, Stage.ATTRIBUTES, Stage.STYLES)


def accepted_images(conn: Connection, today: date) -> Iterator[AnyRow]:
    """Every accepted image with the newest label of each stage, its main style and its hash, by id.

    Not those whose contract has ended: upkeep may not have come by yet to take them out of the accepted.
    One statement sees one moment: an image that is reopened meanwhile is in with the labels it was
    accepted with, or not at all. Streamed; a label that is not there is None.
    """
    newest = (
        sa.select(
            Image.id,
            Image.file_name,
            Image.supplier_id,
            Fingerprint.phash,
            *(_newest_label(stage).label(stage.value) for stage in _LABELLED),
        )
        .join_from(Image, Fingerprint, Fingerprint.image_id == Image.id, isouter=True)
        .join(Contract, Contract.id == Image.contract_id, isouter=True)
        .where(Image.state == literal(ImageState.ACCEPTED, IMAGE_STATE), ~has_ended(today))
        .subquery("newest")
    )
    statement = (
        sa.select(
            newest.c.id,
            newest.c.file_name,
            newest.c.supplier_id,
            newest.c.phash,
            newest.c.segmentation,
            newest.c.attributes,
            newest.c.styles,
            Label.value[("styles", 0)].as_string().label("main_style"),
        )
        .join_from(newest, Label, Label.id == newest.c.styles, isouter=True)
        .order_by(newest.c.id)
    )
    yield from conn.execute(statement, execution_options={"yield_per": CHUNK})


def colours_of(conn: Connection, image_ids: Collection[int]) -> dict[int, bytes]:
    """The mean colours of 8 by 8 fields of each of the images that have some; few images at a time."""
    rows = conn.execute(
        sa.select(Fingerprint.image_id, Fingerprint.colours).where(
            Fingerprint.image_id.in_(image_ids), Fingerprint.colours.is_not(None)
        )
    )
    return {image_id: colours for image_id, colours in rows if colours is not None}


def _newest_label(stage: Stage) -> sa.ScalarSelect[Any]:
    return (
        sa.select(sa.func.max(Label.id))
        .where(Label.image_id == Image.id, Label.stage == literal(stage, STAGE))
        .correlate(Image)
        .scalar_subquery()
    )


def add_release(conn: Connection, **values: Any) -> int:
    """The row of a release. Raises IntegrityError if the name is taken."""
    return conn.execute(sa.insert(Release).values(**values).returning(Release.id)).scalar_one()


def add_release_images(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Images of a release, in the transaction that makes it."""
    # RETURNING has many rows sent in one statement; without it each row is one of its own on PostgreSQL.
    conn.execute(sa.insert(ReleaseImage).returning(ReleaseImage.image_id), list(rows)).all()


def know_release_images(conn: Connection) -> None:
    """Tell PostgreSQL how many there are now, or it reads the pages of a new release the slow way."""
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("ANALYZE release_images"))


def release(conn: Connection, release_id: int) -> AnyRow | None:
    """The release of that id."""
    return conn.execute(_RELEASES.where(Release.id == release_id)).one_or_none()


def release_named(conn: Connection, name: str) -> AnyRow | None:
    """The release of that name."""
    return conn.execute(_RELEASES.where(Release.name == name)).one_or_none()


def release_ids(conn: Connection) -> Sequence[int]:
    """Every release's id, the oldest first."""
    return conn.execute(sa.select(Release.id).order_by(Release.id)).scalars().all()


def releases(conn: Connection, *, after: int | None, limit: int) -> Sequence[AnyRow]:
    """Releases, oldest first."""
    statement = _RELEASES.order_by(Release.id).limit(limit)
    return conn.execute(statement.where(Release.id > after) if after is not None else statement).all()


_BURIED = (
    sa.select(sa.func.count()).where(Tombstone.release_id == Release.id).correlate(Release).scalar_subquery()
)
_REMADE = (
    sa.select(sa.func.count(ReleasePicture.image_id.distinct()))
    .where(ReleasePicture.release_id == Release.id)
    .correlate(Release)
    .scalar_subquery()
)


def _newest_in(table: type[Tombstone] | type[ReleasePicture]) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.coalesce(sa.func.max(table.revision), 1))
        .where(table.release_id == Release.id)
        .correlate(Release)
        .scalar_subquery()
    )


_WITHDRAWN, _PICTURED = _newest_in(Tombstone), _newest_in(ReleasePicture)
_REVISION = sa.case((_WITHDRAWN > _PICTURED, _WITHDRAWN), else_=_PICTURED)
# A release as its newest revision has it: `images` without those that were withdrawn.
_RELEASES = sa.select(
    Release.id,
    Release.name,
    Release.taxonomy_id,
    Release.created_at,
    Release.about,
    Release.targets,
    Release.names_suppliers,
    (Release.images - _BURIED).label("images"),
    _BURIED.label("withdrawn"),
    _REMADE.label("remade"),
    _REVISION.label("revision"),
)
_STANDING = ~(
    sa.select(Tombstone.image_id)
    .where(Tombstone.release_id == ReleaseImage.release_id, Tombstone.image_id == ReleaseImage.image_id)
    .correlate(ReleaseImage)
    .exists()
)


def split_sizes(conn: Connection, release_id: int) -> dict[Split, int]:
    """How many images of the release's newest revision are in each split; all three are named."""
    rows = conn.execute(
        sa.select(ReleaseImage.split, sa.func.count())
        .where(ReleaseImage.release_id == release_id, _STANDING)
        .group_by(ReleaseImage.split)
    )
    sizes = dict.fromkeys(Split, 0)
    for split, count in rows:
        sizes[split] = count
    return sizes


def release_page(
    conn: Connection, release_id: int, *, after: int, limit: int, split: Split | None = None
) -> Sequence[AnyRow]:
    """The next images of the release (or of one split of it) beyond id `after`, with the labels it holds."""
    # The page is cut off before anything is joined to it, whatever the planner believes.
    page = (
        sa.select(*ReleaseImage.__table__.columns)
        .where(ReleaseImage.release_id == release_id, ReleaseImage.image_id > after, _STANDING)
        .where(ReleaseImage.split == literal(split, SPLIT) if split is not None else sa.true())
        .order_by(ReleaseImage.image_id)
        .limit(limit)
        .subquery("page")
    )
    regions, attributes, styles = (sa.alias(Label.__table__, stage.value) for stage in _LABELLED)
    return conn.execute(
        sa.select(
            Image.id,
            Image.file_name,
            Image.sha256,
            Image.picture,
            Image.width,
            Image.height,
            Image.created_at,
            page.c.split,
            page.c.segmentation_id,
            page.c.attributes_id,
            regions.c.value.label("segmentation"),
            attributes.c.value.label("attributes"),
            styles.c.value.label("styles"),
            Image.rights,
            Contract.allows,
            _later(_later(regions.c.at, attributes.c.at), styles.c.at).label("updated_at"),
        )
        .join_from(page, Image, Image.id == page.c.image_id)
        .join(Contract, Contract.id == Image.contract_id, isouter=True)
        .join(regions, regions.c.id == page.c.segmentation_id)
        .join(attributes, attributes.c.id == page.c.attributes_id)
        .join(styles, styles.c.id == page.c.styles_id)
        .order_by(page.c.image_id)
    ).all()


def _later(one: sa.ColumnElement[datetime], other: sa.ColumnElement[datetime]) -> sa.ColumnElement[datetime]:
    return sa.case((one >= other, one), else_=other)


def suppliers(conn: Connection, release_id: int) -> Sequence[AnyRow]:
    """How many images of the release's newest revision came from each supplier: id, name, images."""
    counted = (
        sa.select(Image.supplier_id, sa.func.count().label("images"))
        .join_from(ReleaseImage, Image, Image.id == ReleaseImage.image_id)
        .where(ReleaseImage.release_id == release_id, _STANDING)
        .group_by(Image.supplier_id)
        .subquery("counted")
    )
    return conn.execute(
        sa.select(Supplier.id, Supplier.name, counted.c.images)
        .join_from(counted, Supplier, Supplier.id == counted.c.supplier_id)
        .order_by(Supplier.id)
    ).all()


def suppliers_named(conn: Connection, names: Collection[str]) -> dict[str, int]:
    """The ids of those of the names that are suppliers'; as many as a policy names."""
    rows = conn.execute(sa.select(Supplier.name, Supplier.id).where(Supplier.name.in_(names)))
    return {row.name: row.id for row in rows}


def withdrawn_images(
    conn: Connection, release_id: int, today: date, among: Collection[int] | None = None
) -> Sequence[int]:
    """Images of the release that were withdrawn, or whose contract has ended, without a tombstone; by id.

    With `among` only those of them.
    """
    withdrawn = sa.select(Image.id).where(Image.state == literal(ImageState.WITHDRAWN, IMAGE_STATE))
    ended = sa.select(Image.id).join(Contract, Contract.id == Image.contract_id).where(has_ended(today))
    # Each half has an index of its own; asked for in one go, every image of the release would be looked at.
    gone = withdrawn.union(ended).subquery("gone")
    return (
        conn.execute(
            sa.select(gone.c.id)
            .join(ReleaseImage, ReleaseImage.image_id == gone.c.id)
            .where(ReleaseImage.release_id == release_id, _STANDING)
            .where(sa.true() if among is None else gone.c.id.in_(among))
            .order_by(gone.c.id)
        )
        .scalars()
        .all()
    )


def lock_release(conn: Connection, release_id: int) -> None:
    """Nobody else revises the release until the transaction ends."""
    conn.execute(sa.select(Release.id).where(Release.id == release_id).with_for_update()).one()


def bury(conn: Connection, release_id: int, images: Sequence[int], revision: int, now: datetime) -> None:
    """Tombstones of that revision; finished exports of earlier ones are superseded."""
    rows = [{"release_id": release_id, "image_id": each, "revision": revision, "at": now} for each in images]
    conn.execute(sa.insert(Tombstone), rows)
    _supersede(conn, release_id, revision)


def releases_with(conn: Connection, image_id: int) -> Sequence[int]:
    """The releases that hold the image in their newest revision."""
    # By release, of which there are few: the rows are kept in the order of releases.
    held = sa.select(ReleaseImage.image_id).where(
        ReleaseImage.release_id == Release.id, ReleaseImage.image_id == image_id, _STANDING
    )
    return conn.execute(sa.select(Release.id).where(held.exists()).order_by(Release.id)).scalars().all()


def add_picture(conn: Connection, release_id: int, revision: int, **values: Any) -> None:
    """An image is another picture from that revision on; finished exports of earlier ones are superseded."""
    conn.execute(sa.insert(ReleasePicture).values(release_id=release_id, revision=revision, **values))
    _supersede(conn, release_id, revision)


def pictures(conn: Connection, release_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Pictures of the release that were made anew, beyond a revision."""
    return conn.execute(
        sa.select(*ReleasePicture.__table__.columns)
        .where(ReleasePicture.release_id == release_id, ReleasePicture.revision > after)
        .order_by(ReleasePicture.revision)
        .limit(limit)
    ).all()


def _supersede(conn: Connection, release_id: int, revision: int) -> None:
    conn.execute(
        sa.update(Export)
        .where(
            Export.release_id == release_id,
            Export.state == literal(ExportState.DONE, EXPORT_STATE),
            Export.revision < revision,
        )
        .values(state=ExportState.SUPERSEDED)
    )


def tombstones(conn: Connection, release_id: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Withdrawn images of the release beyond id `after`."""
    return conn.execute(
        sa.select(Tombstone.image_id, Tombstone.revision, Tombstone.at)
        .where(Tombstone.release_id == release_id, Tombstone.image_id > after)
        .order_by(Tombstone.image_id)
        .limit(limit)
    ).all()


def superseded_exports(conn: Connection) -> Sequence[int]:
    """Exports whose files are to be gone: an image in them was withdrawn, or shows what is covered since."""
    return (
        conn.execute(
            sa.select(Export.id).where(Export.state == literal(ExportState.SUPERSEDED, EXPORT_STATE))
        )
        .scalars()
        .all()
    )


def diff_sizes(conn: Connection, one: int, other: int) -> dict[str, int]:
    """How many images were added, removed, relabelled and moved to another split from one to the other."""
    pairs = _pairs(one, other).subquery()
    sizes = conn.execute(
        sa.select(
            *(
                sa.func.count().filter(sa.or_(*(pairs.c[name] for name in names))).label(change)
                for change, names in _CHANGES.items()
            )
        ).select_from(pairs)
    ).one()
    return dict(sizes._mapping)


def diff_page(conn: Connection, one: int, other: int, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Images beyond id `after` in which two releases differ, each with a truth value a difference."""
    pairs = _pairs(one, other, after).subquery()
    differs = sa.or_(*(pairs.c[name] for names in _CHANGES.values() for name in names))
    return conn.execute(sa.select(pairs).where(differs).order_by(pairs.c.image_id).limit(limit)).all()


_LABEL_IDS = {stage.value: f"{stage.value}_id" for stage in _LABELLED}
_CHANGES = {
    "added": ("added",),
    "removed": ("removed",),
    "relabelled": tuple(_LABEL_IDS),
    "moved": ("moved",),
}


def _pairs(one: int, other: int, after: int = 0) -> sa.Select[*tuple[Any, ...]]:
    """Every image of either release, and what is different about it."""
    left, right = (_held(release_id, after).subquery() for release_id in (one, other))
    both = sa.and_(left.c.image_id.is_not(None), right.c.image_id.is_not(None))
    return sa.select(
        sa.func.coalesce(left.c.image_id, right.c.image_id).label("image_id"),
        left.c.image_id.is_(None).label("added"),
        right.c.image_id.is_(None).label("removed"),
        *(
            sa.and_(both, left.c[column] != right.c[column]).label(stage)
            for stage, column in _LABEL_IDS.items()
        ),
        sa.and_(both, left.c.split != right.c.split).label("moved"),
        left.c.split.label("split_before"),
        right.c.split.label("split_after"),
    ).select_from(left.outerjoin(right, left.c.image_id == right.c.image_id, full=True))


def _held(release_id: int, after: int) -> sa.Select[*tuple[Any, ...]]:
    return sa.select(*ReleaseImage.__table__.columns).where(
        ReleaseImage.release_id == release_id, ReleaseImage.image_id > after, _STANDING
    )


def segmentation_before(conn: Connection, image_id: int, label_id: int) -> Any:
    """The regions that a label was given for: the newest ones before it."""
    return conn.execute(
        sa.select(Label.value)
        .where(Label.image_id == image_id, Label.stage == Stage.SEGMENTATION, Label.id < label_id)
        .order_by(Label.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def add_label(
    conn: Connection, image_id: int, stage: Stage, taxonomy_id: int, value: Any, now: datetime
) -> None:
    """Labels of a stage that came with their image; nobody here is their author."""
    conn.execute(
        sa.insert(Label).values(
            image_id=image_id, stage=stage, round=1, taxonomy_id=taxonomy_id, value=value, at=now
        )
    )


def add_export(
    conn: Connection, release: AnyRow, format_name: str, layout: str, by: int | None, now: datetime
) -> int:
    """A pending export of the release's revision, due at once."""
    return conn.execute(
        sa.insert(Export)
        .values(
            release_id=release.id,
            revision=release.revision,
            format=format_name,
            layout=layout,
            state=ExportState.PENDING,
            written=0,
            run_after=now,
            created_by=by,
            created_at=now,
        )
        .returning(Export.id)
    ).scalar_one()


def export(conn: Connection, export_id: int) -> AnyRow | None:
    """The export of that id, with its release's name and size."""
    return conn.execute(EXPORTS.where(Export.id == export_id)).one_or_none()


# Every export with its release's name, and how many images its revision has.
EXPORTS = sa.select(
    *Export.__table__.columns,
    Release.name.label("release"),
    (
        Release.images
        - sa.select(sa.func.count())
        .where(Tombstone.release_id == Export.release_id, Tombstone.revision <= Export.revision)
        .correlate(Export)
        .scalar_subquery()
    ).label("total"),
).join_from(Export, Release)


def due_export(conn: Connection, now: datetime) -> AnyRow | None:
    """The export that has been due longest."""
    return conn.execute(
        sa.select(Export.id, Export.run_after)
        .where(Export.run_after <= now)
        .order_by(Export.run_after, Export.id)
        .limit(1)
    ).one_or_none()


def hold_export(
    conn: Connection, export_id: int, seen: datetime, until: datetime, *, written: int | None = None
) -> bool:
    """Move an unfinished export ahead to `until`, if it is due when we think it is.

    The moment is the fence: whoever moved it last is the one that writes, and of two that saw the
    same moment only one gets True.
    """
    changes: dict[str, Any] = {"state": ExportState.RUNNING, "run_after": until}
    if written is not None:
        changes["written"] = written
    return _change_held(conn, export_id, seen, changes)


def end_export(
    conn: Connection,
    export_id: int,
    seen: datetime,
    state: ExportState,
    now: datetime,
    error: str | None = None,
) -> bool:
    """The export is done or has failed; False if somebody else has taken it over."""
    return _change_held(
        conn, export_id, seen, {"state": state, "run_after": None, "finished_at": now, "error": error}
    )


def _change_held(conn: Connection, export_id: int, seen: datetime, changes: Mapping[str, Any]) -> bool:
    changed = conn.execute(
        sa.update(Export)
        .where(Export.id == export_id, Export.run_after == seen)
        .values(**changes)
        .returning(Export.id)
    ).all()
    return bool(changed)


def released_among(conn: Connection, image_ids: Collection[int]) -> set[int]:
    """Those of the images that are in some release."""
    # By release, of which there are few: the rows are kept in the order of releases.
    released = sa.select(ReleaseImage.image_id)
    return {
        image_id
        for release_id in release_ids(conn)
        for image_id in conn.execute(
            released.where(ReleaseImage.release_id == release_id, ReleaseImage.image_id.in_(image_ids))
        ).scalars()
    }
