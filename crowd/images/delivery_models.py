"""Tables of suppliers' people, contracts and deliveries, and of the fingerprints of images."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.rights import Rights


class Step(StrEnum):
    """How far a delivery is (guideline 3.4): sent by the supplier, sorted, refined, with the labellers."""

    RECEIVED = "received"
    SORTED = "sorted"
    REFINED = "refined"
    HANDED_OVER = "handed_over"


class ContractWhat(StrEnum):
    """What happened to a contract."""

    ADDED = "added"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    # Its first day has come, and what waited for that was let in.
    BEGUN = "begun"


# The code of a file that an earlier delivery brought.
KNOWN = "known"


class SupplierPerson(Base):
    """Whose images an account of a supplier hands in."""

    __tablename__ = "supplier_people"

    worker_id: Mapped[int] = mapped_column(sa.ForeignKey("workers.id"), primary_key=True, autoincrement=False)
    supplier_id: Mapped[int] = mapped_column(sa.ForeignKey("suppliers.id"))


class Contract(Base):
    """A right to images of a supplier: a document with the days it holds, or (no file) a bare declaration.

    `valid_from` and `valid_to` are the first and the last day; `allows` holds values of rights.Use;
    `swept_at` is when no image of an ended contract was left in use.
    """

    __tablename__ = "contracts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    supplier_id: Mapped[int] = mapped_column(sa.ForeignKey("suppliers.id"))
    kind: Mapped[Rights] = mapped_column(Coded(Rights))
    title: Mapped[str] = mapped_column(sa.String(200))
    file_key: Mapped[str | None] = mapped_column(sa.String(200))
    file_name: Mapped[str | None] = mapped_column(sa.String(255))
    valid_from: Mapped[date | None]
    valid_to: Mapped[date | None]
    allows: Mapped[Any] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    swept_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        # Two uploads at once that declare the same right share one declaration.
        sa.Index(
            "uq_contracts_declared",
            "supplier_id",
            "kind",
            unique=True,
            postgresql_where=sa.text("file_key IS NULL AND withdrawn_at IS NULL"),
            sqlite_where=sa.text("file_key IS NULL AND withdrawn_at IS NULL"),
        ),
    )


class ContractEvent(Base):
    """One row of a contract's history. Append-only (a trigger holds it)."""

    __tablename__ = "contract_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    contract_id: Mapped[int] = mapped_column(sa.ForeignKey("contracts.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[ContractWhat] = mapped_column(Coded(ContractWhat))
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    why: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (sa.Index("ix_contract_events_contract", "contract_id", "id"),)


class SupplierDelivery(Base):
    """What a supplier hands over under one name; `step` is what its steps add up to."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    supplier_id: Mapped[int] = mapped_column(sa.ForeignKey("suppliers.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    rights: Mapped[Rights] = mapped_column(Coded(Rights))
    contract_id: Mapped[int | None] = mapped_column(sa.ForeignKey("contracts.id"))
    step: Mapped[Step] = mapped_column(Coded(Step))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (sa.UniqueConstraint("supplier_id", "name", name="uq_deliveries_name"),)


class DeliveryStep(Base):
    """A delivery moved on: who, when, why. Append-only (a trigger holds it)."""

    __tablename__ = "delivery_steps"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(sa.ForeignKey("deliveries.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    step: Mapped[Step] = mapped_column(Coded(Step))
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    why: Mapped[str] = mapped_column(sa.Text)

    __table_args__ = (sa.Index("ix_delivery_steps_delivery", "delivery_id", "id"),)


class DeliveryRefusal(Base):
    """A file of a delivery that became no image of it, and why. Append-only (a trigger holds it).

    `file_name` is its whole path. The code `known`: an earlier delivery brought it, which is no refusal.
    """

    __tablename__ = "delivery_refusals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[int] = mapped_column(sa.ForeignKey("deliveries.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    file_name: Mapped[str] = mapped_column(sa.String(255))
    code: Mapped[str] = mapped_column(sa.String(40))
    detail: Mapped[str] = mapped_column(sa.Text)

    # The same delivery read again leaves no second row.
    __table_args__ = (
        sa.UniqueConstraint("delivery_id", "file_name", "code", name="uq_delivery_refusals_file"),
    )


class Fingerprint(Base):
    """What images are compared by. Of several with the same pixels only the first has one.

    `phash` is the 64-bit hash as a signed number, `band0` to `band3` its quarters less 32,768: hashes that
    differ by three bits or fewer have a quarter in common.
    """

    __tablename__ = "fingerprints"

    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), primary_key=True, autoincrement=False)
    pixels_sha256: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    phash: Mapped[int | None] = mapped_column(sa.BigInteger)
    band0: Mapped[int | None] = mapped_column(sa.SmallInteger)
    band1: Mapped[int | None] = mapped_column(sa.SmallInteger)
    band2: Mapped[int | None] = mapped_column(sa.SmallInteger)
    band3: Mapped[int | None] = mapped_column(sa.SmallInteger)
    colours: Mapped[bytes | None] = mapped_column(sa.LargeBinary(192))

    __table_args__ = tuple(
        sa.Index(f"ix_fingerprints_{band}", band, "phash", "image_id")
        for band in ("band0", "band1", "band2", "band3")
    )
