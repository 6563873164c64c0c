"""All SQL about suppliers' people and their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, AnyRow
from crowd.images.delivery_models import (
    DeliveryRefusal,
    DeliveryStep,
    Step,
    SupplierDelivery,
    SupplierPerson,
)
from crowd.images.models import Finding, Image, ImageState, Supplier
from crowd.policy import Action

_COLUMNS = (*SupplierDelivery.__table__.columns, Supplier.name.label("supplier"))


def supplier_of(conn: Connection, worker_id: int) -> AnyRow | None:
    """Id and name of the supplier that an account hands in for."""
    return conn.execute(
        sa.select(Supplier.id, Supplier.name)
        .join(SupplierPerson, SupplierPerson.supplier_id == Supplier.id)
        .where(SupplierPerson.worker_id == worker_id)
    ).one_or_none()


def tie_person(conn: Connection, worker_id: int, supplier_id: int) -> None:
    """Let an account hand in for a supplier."""
    conn.execute(sa.insert(SupplierPerson).values(worker_id=worker_id, supplier_id=supplier_id))


def find_or_add(conn: Connection, values: Mapping[str, Any]) -> tuple[AnyRow, bool]:
    """The delivery of that supplier and name, and whether it is new."""
    insert = INSERT[conn.dialect.name](SupplierDelivery)
    added = conn.execute(
        insert.values(**values).on_conflict_do_nothing().returning(SupplierDelivery.id)
    ).scalar_one_or_none()
    found = conn.execute(
        _listing().where(
            SupplierDelivery.supplier_id == values["supplier_id"], SupplierDelivery.name == values["name"]
        )
    ).one()
    return found, added is not None


def one(conn: Connection, delivery_id: int, *, locked: bool = False) -> AnyRow | None:
    """A delivery with its supplier's name; with `locked` nobody else moves it on meanwhile."""
    statement = _listing().where(SupplierDelivery.id == delivery_id)
    if locked:
        statement = statement.with_for_update(of=SupplierDelivery, key_share=True)
    return conn.execute(statement).one_or_none()


def listed(conn: Connection, *, supplier_id: int | None, after: int, limit: int) -> Sequence[AnyRow]:
    """Deliveries in the order of their ids, beyond `after`."""
    statement = _listing().where(SupplierDelivery.id > after).order_by(SupplierDelivery.id).limit(limit)
    if supplier_id is not None:
        statement = statement.where(SupplierDelivery.supplier_id == supplier_id)
    return conn.execute(statement).all()


def move(
    conn: Connection, delivery_id: int, step: Step, worker_id: int | None, why: str, at: datetime
) -> None:
    """A delivery goes on: its row and a row of its history."""
    conn.execute(sa.update(SupplierDelivery).where(SupplierDelivery.id == delivery_id).values(step=step))
    values = {"delivery_id": delivery_id, "step": step, "worker_id": worker_id, "why": why, "at": at}
    conn.execute(sa.insert(DeliveryStep).values(values))


def steps(conn: Connection, delivery_id: int) -> Sequence[AnyRow]:
    """How a delivery moved on, oldest first."""
    columns = (DeliveryStep.at, DeliveryStep.step, DeliveryStep.worker_id, DeliveryStep.why)
    return conn.execute(
        sa.select(*columns).where(DeliveryStep.delivery_id == delivery_id).order_by(DeliveryStep.id)
    ).all()


def refuse(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Files that did not become images; the same ones again change nothing."""
    if rows:
        insert = INSERT[conn.dialect.name](DeliveryRefusal)
        conn.execute(insert.on_conflict_do_nothing(), list(rows))


def refusals(conn: Connection, delivery_id: int, after: int, limit: int) -> Sequence[AnyRow]:
    """Files that did not become images, by id beyond `after`."""
    columns = (DeliveryRefusal.id, DeliveryRefusal.file_name, DeliveryRefusal.code, DeliveryRefusal.detail)
    return conn.execute(
        sa.select(*columns)
        .where(DeliveryRefusal.delivery_id == delivery_id, DeliveryRefusal.id > after)
        .order_by(DeliveryRefusal.id)
        .limit(limit)
    ).all()


def images(
    conn: Connection,
    delivery_id: int,
    after: int,
    limit: int,
    *,
    among: Sequence[ImageState] = (),
    code: str | None = None,
) -> Sequence[AnyRow]:
    """A delivery's images, by id beyond `after`; of some states, or with a finding of that code, if asked."""
    columns = (
        Image.id,
        Image.folder,
        Image.file_name,
        Image.state,
        Image.width,
        Image.height,
        Image.picture,
        Image.created_at,
    )
    statement = (
        sa.select(*columns, Image.prepare_after.is_not(None).label("pending"))
        .where(Image.delivery_id == delivery_id, Image.id > after)
        .order_by(Image.id)
        .limit(limit)
    )
    if among:
        statement = statement.where(Image.state.in_(among))
    if code is not None:
        statement = statement.where(sa.exists().where(Finding.image_id == Image.id, Finding.code == code))
    return conn.execute(statement).all()


def findings_of(conn: Connection, image_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """What was found, by image."""
    columns = (
        Finding.image_id,
        Finding.code,
        Finding.detail,
        Finding.action,
        Finding.numbers,
        Finding.limits,
    )
    found: dict[int, list[AnyRow]] = {}
    statement = sa.select(*columns).where(Finding.image_id.in_(image_ids)).order_by(Finding.id)
    for row in conn.execute(statement):
        found.setdefault(row.image_id, []).append(row)
    return found


def states(conn: Connection, delivery_id: int) -> dict[ImageState, int]:
    """How many of a delivery's images are in which state."""
    rows = conn.execute(
        sa.select(Image.state, sa.func.count()).where(Image.delivery_id == delivery_id).group_by(Image.state)
    )
    return {row[0]: row[1] for row in rows}


def pending(conn: Connection, delivery_id: int) -> int:
    """How many of a delivery's images have not been looked at yet."""
    return conn.execute(
        sa.select(sa.func.count())
        .select_from(Image)
        .where(Image.delivery_id == delivery_id, Image.prepare_after.is_not(None))
    ).scalar_one()


def reasons(conn: Connection, delivery_id: int) -> list[tuple[str, Action, int]]:
    """Code, action and how many images of a delivery have such a finding, the commonest first."""
    count = sa.func.count(sa.distinct(Finding.image_id))
    rows = conn.execute(
        sa.select(Finding.code, Finding.action, count)
        .join(Image, Image.id == Finding.image_id)
        .where(Image.delivery_id == delivery_id)
        .group_by(Finding.code, Finding.action)
        .order_by(count.desc(), Finding.code)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def refused_files(conn: Connection, delivery_id: int) -> list[tuple[str, int]]:
    """Code and how many files of a delivery became no images of it because of that."""
    rows = conn.execute(
        sa.select(DeliveryRefusal.code, sa.func.count())
        .where(DeliveryRefusal.delivery_id == delivery_id)
        .group_by(DeliveryRefusal.code)
        .order_by(DeliveryRefusal.code)
    )
    return [(row[0], row[1]) for row in rows]


def waiting(conn: Connection, delivery_id: int, limit: int) -> Sequence[AnyRow]:
    """Images of a delivery that wait for its being handed over, locked in the order of their ids."""
    return conn.execute(
        sa.select(Image.id, Image.state, Image.width, Image.prepare_after)
        .where(Image.delivery_id == delivery_id, Image.waiting)
        .order_by(Image.id)
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()


def stop_waiting(conn: Connection, image_ids: Sequence[int]) -> None:
    """Their delivery is handed over, or somebody let them in before."""
    conn.execute(sa.update(Image).where(Image.id.in_(image_ids), Image.waiting).values(waiting=False))


def handed_over_with_waiting(conn: Connection) -> int | None:
    """A delivery that is handed over while images of it still wait."""
    return conn.execute(
        sa.select(SupplierDelivery.id)
        .where(
            SupplierDelivery.step == Step.HANDED_OVER,
            sa.exists().where(Image.delivery_id == SupplierDelivery.id, Image.waiting),
        )
        .limit(1)
    ).scalar_one_or_none()


def held_for(conn: Connection, delivery_id: int, after: int, limit: int) -> Sequence[AnyRow]:
    """Held images of a delivery by id beyond `after`, locked."""
    return _held(conn, Image.delivery_id == delivery_id, after, limit)


def held_under(conn: Connection, contract_id: int, after: int, limit: int) -> Sequence[AnyRow]:
    """Held images under a contract by id beyond `after`, locked."""
    return _held(conn, Image.contract_id == contract_id, after, limit)


def _held(conn: Connection, which: sa.ColumnElement[bool], after: int, limit: int) -> Sequence[AnyRow]:
    return conn.execute(
        sa.select(Image.id, Image.waiting, Image.width)
        .where(which, Image.state == ImageState.HELD, Image.id > after)
        .order_by(Image.id)
        .limit(limit)
        .with_for_update(key_share=True)
    ).all()


def _listing() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*_COLUMNS).join(Supplier, Supplier.id == SupplierDelivery.supplier_id)
