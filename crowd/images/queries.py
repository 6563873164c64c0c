"""All SQL of the images room but the history's."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from crowd.accounts.models import AccountKind, Worker
from crowd.core.db import AnyRow, literal
from crowd.core.statements import Statement
from crowd.images.checks import Found
from crowd.images.delivery_models import Contract, SupplierPerson
from crowd.images.models import IMAGE_STATE, REAL_STATES, Batch, Finding, Image, ImageState, Supplier


def named(conn: Connection, table: type[Supplier] | type[Batch], name: str, now: datetime) -> int:
    """The id of the supplier or batch of that name, added if it is new."""
    find = sa.select(table.id).where(table.name == name)
    found = conn.execute(find).scalar_one_or_none()
    if found is not None:
        return found
    try:
        with conn.begin_nested():
            added: int = conn.execute(
                sa.insert(table).values(name=name, created_at=now).returning(table.id)
            ).scalar_one()
    except IntegrityError:
        # Somebody else added the same name between our look and our insert.
        return conn.execute(find).scalar_one()
    return added


def original_with(conn: Connection, sha256: bytes) -> int | None:
    """The image that has these bytes, itself no duplicate."""
    return conn.execute(
        sa.select(Image.id).where(Image.sha256 == sha256, Image.duplicate_of.is_(None))
    ).scalar_one_or_none()


def is_unreadable(conn: Connection, sha256: bytes) -> bool:
    """Whether these bytes came in before, and were refused as no picture at all."""
    unreadable = sa.exists().where(
        Image.sha256 == sha256,
        Image.duplicate_of.is_(None),
        Image.state == literal(ImageState.REFUSED, IMAGE_STATE),
        Image.width.is_(None),
        Image.prepare_after.is_(None),
    )
    return bool(conn.execute(sa.select(unreadable)).scalar_one())


_FOLDER = sa.bindparam("in_folder", type_=Image.folder.type)
_KNOWN = Statement(
    sa.select(Image.id, Image.state, Image.delivery_id)
    .join(Supplier, Supplier.id == Image.supplier_id)
    .where(
        Supplier.name == sa.bindparam("of_supplier", type_=Supplier.name.type),
        Image.file_name == sa.bindparam("named", type_=Image.file_name.type),
        Image.sha256 == sa.bindparam("with_bytes", type_=Image.sha256.type),
        sa.or_(Image.folder.is_(None), _FOLDER == "", Image.folder == _FOLDER),
        Image.state.in_([literal(state, IMAGE_STATE) for state in REAL_STATES]),
    )
    .limit(1)
)


def known_file(
    conn: Connection, supplier: str, file_name: str, sha256: bytes, folder: str = ""
) -> AnyRow | None:
    """The image (id, state, delivery_id) that a supplier handed over before under this name with these bytes.

    In that folder, too, where one is given and where it was noted then.
    """
    values = {"of_supplier": supplier, "named": file_name, "with_bytes": sha256, "in_folder": folder}
    return _KNOWN.run(conn, values).one_or_none()


def add_image(conn: Connection, **values: Any) -> int:
    """A new image row. Raises IntegrityError when another one with these bytes came first."""
    with conn.begin_nested():
        image_id: int = conn.execute(sa.insert(Image).values(**values).returning(Image.id)).scalar_one()
    return image_id


def put_aside(conn: Connection, beside: int, count: int, **values: Any) -> None:
    """`count` numbers next to the image `beside`, without a picture of their own."""
    row = {**values, "state": ImageState.SPARE, "duplicate_of": beside}
    conn.execute(sa.insert(Image), [row] * count)


def batch_priority(conn: Connection, batch_id: int) -> int:
    """The priority that the batch gives to its images' tasks; lower comes first."""
    return conn.execute(sa.select(Batch.priority).where(Batch.id == batch_id)).scalar_one()


def batches(conn: Connection, *, before: int | None, limit: int) -> Sequence[AnyRow]:
    """Batches from the newest on, with ids below `before`."""
    columns = (Batch.id, Batch.name, Batch.priority, Batch.created_at)
    newest = sa.select(*columns).order_by(Batch.id.desc()).limit(limit)
    return conn.execute(newest if before is None else newest.where(Batch.id < before)).all()


def add_findings(conn: Connection, image_id: int, findings: Sequence[Found]) -> None:
    """Keep what was noticed about an image."""
    if findings:
        rows = [
            {
                "image_id": image_id,
                "code": each.code,
                "detail": each.detail,
                "action": each.action,
                "numbers": dict(each.numbers) or None,
                "limits": dict(each.limits) or None,
            }
            for each in findings
        ]
        conn.execute(sa.insert(Finding), rows)


def findings_of(conn: Connection, image_id: int) -> list[Found]:
    """What was noticed about an image, in order."""
    columns = (Finding.code, Finding.detail, Finding.action, Finding.numbers, Finding.limits)
    rows = conn.execute(sa.select(*columns).where(Finding.image_id == image_id).order_by(Finding.id))
    return [Found(row.code, row.detail, row.action, row.numbers or {}, row.limits or {}) for row in rows]


def take_unprepared(conn: Connection, now: datetime, until: datetime, limit: int) -> Sequence[AnyRow]:
    """Images whose working image is due; they are not due again before `until`.

    SKIP LOCKED: two job workers take different images.
    """
    due = (
        sa.select(Image.id)
        .where(Image.prepare_after <= now)
        .order_by(Image.prepare_after, Image.id)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    ids = list(conn.execute(due).scalars())
    return conn.execute(
        sa.update(Image)
        .where(Image.id.in_(ids))
        .values(prepare_after=until)
        .returning(Image.id, Image.sha256, Image.state)
    ).all()


def finish_preparing(
    conn: Connection, image_id: int, width: int | None, height: int | None, faces: int | None
) -> AnyRow | None:
    """The working image is made (or cannot be: null sizes): the image's state, and whether it is waiting.

    None when another job worker was faster.
    """
    return conn.execute(
        sa.update(Image)
        .where(Image.id == image_id, Image.prepare_after.is_not(None))
        .values(width=width, height=height, faces=faces, prepare_after=None)
        .returning(Image.state, Image.waiting)
    ).one_or_none()


def unprepared(conn: Connection) -> int:
    """How many working images are still to be made."""
    return conn.execute(
        sa.select(sa.func.count()).select_from(Image).where(Image.prepare_after.is_not(None))
    ).scalar_one()


def image_file(conn: Connection, image_id: int) -> AnyRow | None:
    """What is needed to serve an image's files, and to know whether its contract lets us.

    A shadow's rights are those of the image whose picture it shows: `state` and the contract are of that one.
    """
    owner = sa.orm.aliased(Image)
    is_shadow = Image.state == literal(ImageState.SHADOW, IMAGE_STATE)
    return conn.execute(
        sa.select(
            Image.id,
            Image.sha256,
            Image.file_name,
            Image.width,
            Image.height,
            sa.func.coalesce(Image.picture, owner.picture, type_=Image.picture.type).label("picture"),
            owner.faces,
            owner.state,
            Image.supplier_id,
            Contract.withdrawn_at,
            Contract.valid_to,
        )
        .join_from(Image, owner, owner.id == sa.case((is_shadow, Image.duplicate_of), else_=Image.id))
        .join(Contract, Contract.id == owner.contract_id, isouter=True)
        .where(Image.id == image_id)
    ).one_or_none()


def listed(
    conn: Connection, *, state: ImageState | None, supplier: str | None, after: int, limit: int
) -> Sequence[AnyRow]:
    """Images in the order of their ids, beyond `after`."""
    statement = (
        sa.select(
            Image.id,
            Image.state,
            Image.round,
            Image.file_name,
            Image.rights,
            Image.width,
            Image.height,
            Image.created_at,
            Supplier.name.label("supplier"),
        )
        .join(Supplier, Supplier.id == Image.supplier_id)
        .where(Image.id > after)
        .order_by(Image.id)
        .limit(limit)
    )
    if state is not None:
        statement = statement.where(Image.state == state)
    else:
        statement = statement.where(Image.state.in_(REAL_STATES))
    if supplier is not None:
        statement = statement.where(Supplier.name == supplier)
    return conn.execute(statement).all()


def supplier(conn: Connection, supplier_id: int) -> AnyRow | None:
    """A supplier."""
    columns = (Supplier.id, Supplier.name, Supplier.created_at)
    return conn.execute(sa.select(*columns).where(Supplier.id == supplier_id)).one_or_none()


def suppliers(conn: Connection, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Suppliers in the order of their ids, beyond `after`."""
    columns = (Supplier.id, Supplier.name, Supplier.created_at)
    return conn.execute(
        sa.select(*columns).where(Supplier.id > after).order_by(Supplier.id).limit(limit)
    ).all()


def accounts(conn: Connection, kind: AccountKind, supplier_id: int | None) -> Sequence[AnyRow]:
    """Accounts that are not of the crowd, of one supplier if given."""
    statement = (
        sa.select(
            Worker.id, Worker.username, Worker.kind, Worker.suspended_at.is_not(None).label("suspended")
        )
        .where(Worker.kind == kind, Worker.erased_at.is_(None))
        .order_by(Worker.id)
    )
    if supplier_id is not None:
        statement = statement.join(SupplierPerson, SupplierPerson.worker_id == Worker.id).where(
            SupplierPerson.supplier_id == supplier_id
        )
    return conn.execute(statement).all()


def contract_of(conn: Connection, image_id: int) -> AnyRow | None:
    """An image's supplier and rights, and its contract's terms, which are null for an image without one."""
    columns = (
        Contract.kind,
        Contract.valid_from,
        Contract.valid_to,
        Contract.withdrawn_at,
        Contract.allows,
        Contract.file_key,
    )
    return conn.execute(
        sa.select(Image.supplier_id, Image.rights, Image.contract_id, *columns)
        .join(Contract, Contract.id == Image.contract_id, isouter=True)
        .where(Image.id == image_id)
    ).one_or_none()


def is_waiting(conn: Connection, image_id: int) -> bool:
    """Whether the image's delivery is still to be handed over."""
    return bool(conn.execute(sa.select(Image.waiting).where(Image.id == image_id)).scalar_one())


def stop_waiting(conn: Connection, image_id: int) -> None:
    """Somebody let the image in before its delivery was handed over."""
    conn.execute(sa.update(Image).where(Image.id == image_id, Image.waiting).values(waiting=False))


def unsearched(conn: Connection, after: int, limit: int) -> Sequence[int]:
    """Images in use whose working image nobody could search for faces, by id beyond `after`."""
    in_use = (ImageState.IN_WORK, ImageState.ACCEPTED, ImageState.HELD)
    return (
        conn.execute(
            sa.select(Image.id)
            .where(
                Image.id > after,
                Image.faces.is_(None),
                Image.width.is_not(None),
                Image.state.in_([literal(state, IMAGE_STATE) for state in in_use]),
            )
            .order_by(Image.id)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def no_faces(conn: Connection, image_id: int) -> None:
    """The working image was searched for faces, and has none."""
    conn.execute(sa.update(Image).where(Image.id == image_id, Image.faces.is_(None)).values(faces=0))


def set_picture(
    conn: Connection, image_id: int, picture: bytes, width: int, height: int, more_faces: int
) -> None:
    """The working image was made anew. The caller holds the lock on the image's row."""
    conn.execute(
        sa.update(Image)
        .where(Image.id == image_id)
        .values(
            picture=picture, width=width, height=height, faces=sa.func.coalesce(Image.faces, 0) + more_faces
        )
    )
