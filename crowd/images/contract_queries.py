"""All SQL about contracts, and about the images under them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from crowd.core.db import INSERT, AnyRow
from crowd.core.statements import Statement
from crowd.images.delivery_models import Contract, ContractEvent, ContractWhat
from crowd.images.models import IMAGE_STATE, Image, ImageState, Supplier
from crowd.images.rights import NEEDED, Rights, Terms, Use

# Images in one of these states may still be worked on, shown or delivered.
IN_USE = (ImageState.IN_WORK, ImageState.ACCEPTED, ImageState.HELD)

_DECLARED = Statement(
    sa.select(Contract.id).where(
        Contract.supplier_id == sa.bindparam("of_supplier", type_=Contract.supplier_id.type),
        Contract.kind == sa.bindparam("of_kind", type_=Contract.kind.type),
        Contract.file_key.is_(None),
        Contract.withdrawn_at.is_(None),
    )
)
# Shared: a withdrawal waits until the images that came in under the contract are there to be swept.
_TERMS = Statement(
    sa.select(
        Contract.kind,
        Contract.valid_from,
        Contract.valid_to,
        Contract.withdrawn_at,
        Contract.allows,
        Contract.file_key,
    )
    .where(Contract.id == sa.bindparam("of_contract", type_=Contract.id.type))
    .with_for_update(read=True)
)


def declared(conn: Connection, supplier_id: int, rights: Rights, now: datetime) -> int | None:
    """The contract that stands for what a supplier only declares, made if need be; None for unknown."""
    if rights is Rights.UNKNOWN:
        return None
    allows = [use.value for use in Use]
    return _unwritten(conn, supplier_id, rights, f"declared: {rights}", allows, now)


def by_word(conn: Connection, supplier_id: int, now: datetime) -> int:
    """The contract that stands for an admin's word that a supplier's images may be used, made if need be.

    It allows what is needed, and no training: that somebody has to be asked for.
    """
    allows = sorted(use.value for use in NEEDED)
    return _unwritten(conn, supplier_id, Rights.UNKNOWN, "let in by an admin's decision", allows, now)


def _unwritten(
    conn: Connection, supplier_id: int, rights: Rights, title: str, allows: Sequence[str], now: datetime
) -> int:
    """The supplier's contract of that kind without a file; of two that make it at once one does."""
    wanted = {"of_supplier": supplier_id, "of_kind": rights}
    found: int | None = _DECLARED.run(conn, wanted).scalar_one_or_none()
    if found is not None:
        return found
    insert = INSERT[conn.dialect.name](Contract)
    added: int | None = conn.execute(
        insert.values(
            supplier_id=supplier_id,
            kind=rights,
            title=title,
            allows=list(allows),
            created_at=now,
        )
        .on_conflict_do_nothing()
        .returning(Contract.id)
    ).scalar_one_or_none()
    if added is None:
        # Somebody else declared the same between our look and our insert.
        same: int = _DECLARED.run(conn, wanted).scalar_one()
        return same
    add_event(conn, added, ContractWhat.ADDED, None, "declared with an image", now)
    return added


def terms_held(conn: Connection, contract_id: int) -> Terms | None:
    """The terms of a contract, which cannot be withdrawn before this transaction ends."""
    row = _TERMS.run(conn, {"of_contract": contract_id}).one_or_none()
    return None if row is None else terms_of(row)


def terms_of(row: AnyRow) -> Terms:
    """The terms in a row of a contract."""
    has_file = row.file_key is not None
    return Terms(row.kind, row.valid_from, row.valid_to, row.withdrawn_at, row.allows, has_file)


def add(conn: Connection, values: Mapping[str, Any]) -> int:
    """A new contract's id."""
    return conn.execute(sa.insert(Contract).values(**values).returning(Contract.id)).scalar_one()


def with_file(conn: Connection, supplier: str, kind: Rights, file_key: str) -> int | None:
    """A supplier's contract with that file that was not withdrawn."""
    return conn.execute(
        sa.select(Contract.id)
        .join(Supplier, Supplier.id == Contract.supplier_id)
        .where(
            Supplier.name == supplier,
            Contract.kind == kind,
            Contract.file_key == file_key,
            Contract.withdrawn_at.is_(None),
        )
        .limit(1)
    ).scalar_one_or_none()


def add_event(
    conn: Connection, contract_id: int, what: ContractWhat, worker_id: int | None, why: str, at: datetime
) -> None:
    """A row of a contract's history."""
    values = {"contract_id": contract_id, "what": what, "worker_id": worker_id, "why": why, "at": at}
    conn.execute(sa.insert(ContractEvent).values(values))


def one(conn: Connection, contract_id: int, *, locked: bool = False) -> AnyRow | None:
    """A contract with its supplier's name; with `locked` nobody takes an image under it meanwhile."""
    statement = _listing().where(Contract.id == contract_id)
    if locked:
        statement = statement.with_for_update(of=Contract)
    return conn.execute(statement).one_or_none()


def listed(conn: Connection, *, supplier_id: int | None, after: int, limit: int) -> Sequence[AnyRow]:
    """Contracts in the order of their ids, beyond `after`."""
    statement = _listing().where(Contract.id > after).order_by(Contract.id).limit(limit)
    if supplier_id is not None:
        statement = statement.where(Contract.supplier_id == supplier_id)
    return conn.execute(statement).all()


def events(conn: Connection, contract_id: int) -> Sequence[AnyRow]:
    """A contract's history, oldest first."""
    columns = (ContractEvent.at, ContractEvent.what, ContractEvent.worker_id, ContractEvent.why)
    return conn.execute(
        sa.select(*columns).where(ContractEvent.contract_id == contract_id).order_by(ContractEvent.id)
    ).all()


def withdraw(conn: Connection, contract_id: int, now: datetime) -> None:
    """From now on nothing under the contract is shown."""
    conn.execute(
        sa.update(Contract).where(Contract.id == contract_id).values(withdrawn_at=now, swept_at=None)
    )


def has_ended(today: date) -> sa.ColumnElement[bool]:
    """Whether a contract was withdrawn or ran out; false also for the nulls of an image without one."""
    ran_out = sa.func.coalesce(Contract.valid_to < today, sa.false())
    return sa.or_(Contract.withdrawn_at.is_not(None), ran_out)


def ended_unswept(conn: Connection, today: date) -> AnyRow | None:
    """A contract that was withdrawn or ran out, and whose images may still be in use."""
    return conn.execute(
        sa.select(Contract.id, Contract.withdrawn_at, Contract.valid_to)
        .where(Contract.swept_at.is_(None), has_ended(today))
        .order_by(Contract.id)
        .limit(1)
    ).one_or_none()


def begun(conn: Connection, today: date) -> AnyRow | None:
    """A contract that holds, whose first day has come since it was handed in, and whose BEGUN is not told."""
    noted = sa.exists().where(
        ContractEvent.contract_id == Contract.id, ContractEvent.what == ContractWhat.BEGUN
    )
    return conn.execute(
        sa.select(*Contract.__table__.columns)
        .where(
            Contract.valid_from <= today,
            Contract.valid_from > sa.func.date(Contract.created_at),
            ~has_ended(today),
            ~noted,
        )
        .order_by(Contract.id)
        .limit(1)
    ).one_or_none()


def in_use(conn: Connection, contract_id: int, after: int, limit: int) -> Sequence[int]:
    """Images under a contract that may still be worked on, shown or delivered, by id beyond `after`."""
    states = [sa.literal_column(str(IMAGE_STATE.code(state)), IMAGE_STATE) for state in IN_USE]
    return (
        conn.execute(
            sa.select(Image.id)
            .where(Image.contract_id == contract_id, Image.id > after, Image.state.in_(states))
            .order_by(Image.id)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def tie(conn: Connection, image_ids: Collection[int], contract_id: int, rights: Rights) -> None:
    """Images come under another contract."""
    conn.execute(
        sa.update(Image).where(Image.id.in_(image_ids)).values(contract_id=contract_id, rights=rights)
    )


def finish_sweep(conn: Connection, contract_id: int, now: datetime) -> None:
    """No image of an ended contract is in use any more."""
    conn.execute(sa.update(Contract).where(Contract.id == contract_id).values(swept_at=now))


def files(conn: Connection, after: int, limit: int) -> Sequence[AnyRow]:
    """Id and storage key of every contract that has a file, beyond `after`."""
    return conn.execute(
        sa.select(Contract.id, Contract.file_key)
        .where(Contract.id > after, Contract.file_key.is_not(None))
        .order_by(Contract.id)
        .limit(limit)
    ).all()


def _listing() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*Contract.__table__.columns, Supplier.name.label("supplier")).join(
        Supplier, Supplier.id == Contract.supplier_id
    )
