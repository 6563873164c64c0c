"""Tables of images, where they come from, and what happened to them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, Json, UtcDateTime
from crowd.images.rights import Rights as Rights  # noqa: PLC0414 - many look for it here
from crowd.policy import Action, Stage


class ImageState(StrEnum):
    """Where an image stands; only `crowd.images.history` writes it."""

    IN_WORK = "in_work"
    ACCEPTED = "accepted"
    HELD = "held"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    # A number put aside beside `duplicate_of`, without a picture; and one that a shadow seat has taken up,
    # with the picture of `duplicate_of`. Neither is ever in work, accepted or delivered.
    SPARE = "spare"
    SHADOW = "shadow"


# What people and figures know of; the others are numbers without an image of their own.
REAL_STATES = tuple(state for state in ImageState if state not in (ImageState.SPARE, ImageState.SHADOW))


class What(StrEnum):
    """What happened to an image; one row of its history each."""

    UPLOADED = "uploaded"
    SUBMITTED = "submitted"
    SENT_BACK = "sent_back"
    BOUNCED = "bounced"
    SECOND_OPINION = "second_opinion"
    RELEASED = "released"
    DISPUTED = "disputed"
    UPHELD = "upheld"
    ACCEPTED = "accepted"
    HELD = "held"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    REOPENED = "reopened"
    PREPARED = "prepared"
    ORIGINAL_VIEWED = "original_viewed"
    # The working image was made anew: faces in it covered, or a part of it cut off.
    COVERED = "covered"
    CROPPED = "cropped"


IMAGE_STATE = Coded(ImageState)
STAGE = Coded(Stage)
WHAT = Coded(What)
ACTION = Coded(Action)


class Supplier(Base):
    """A shop or wholesaler that hands over images."""

    __tablename__ = "suppliers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Batch(Base):
    """A named hand-over; its priority (lower comes first) goes to the tasks of its images."""

    __tablename__ = "batches"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200), unique=True)
    priority: Mapped[int] = mapped_column(sa.SmallInteger, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Image(Base):
    """One image. `width` and `height` (pixels) are the working image's, null until it is made.

    `waiting` as long as its delivery is not handed over; `faces` is how many were covered, null where
    nobody could look. `picture` is the SHA-256 of the working image where people had it made anew. `folder`
    is where the file lay in what it came with ("" at its top), null where nobody noted that.
    """

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    supplier_id: Mapped[int] = mapped_column(sa.ForeignKey("suppliers.id"))
    batch_id: Mapped[int | None] = mapped_column(sa.ForeignKey("batches.id"))
    file_name: Mapped[str] = mapped_column(sa.String(255))
    rights: Mapped[Rights] = mapped_column(Coded(Rights))
    sha256: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    duplicate_of: Mapped[int | None] = mapped_column(sa.ForeignKey("images.id"))
    state: Mapped[ImageState] = mapped_column(IMAGE_STATE)
    round: Mapped[int] = mapped_column(sa.SmallInteger, default=1, server_default="1")
    priority: Mapped[int] = mapped_column(sa.SmallInteger, default=0, server_default="0")
    width: Mapped[int | None]
    height: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Set while the working image is still to be made; a drain moves it ahead so that
    # two job workers do not take the same image.
    prepare_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    contract_id: Mapped[int | None] = mapped_column(sa.ForeignKey("contracts.id"))
    delivery_id: Mapped[int | None] = mapped_column(sa.ForeignKey("deliveries.id"))
    waiting: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    faces: Mapped[int | None] = mapped_column(sa.SmallInteger)
    picture: Mapped[bytes | None] = mapped_column(sa.LargeBinary(32))
    folder: Mapped[str | None] = mapped_column(sa.String(255))

    __table_args__ = (
        # Two uploads of the same bytes at once: one becomes the image, the other its duplicate.
        sa.Index(
            "uq_images_sha256",
            "sha256",
            unique=True,
            postgresql_where=sa.text("duplicate_of IS NULL"),
            sqlite_where=sa.text("duplicate_of IS NULL"),
        ),
        sa.Index("ix_images_supplier_file", "supplier_id", "file_name"),
        sa.Index(
            "ix_images_contract",
            "contract_id",
            "id",
            postgresql_where=sa.text("contract_id IS NOT NULL"),
            sqlite_where=sa.text("contract_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_images_delivery",
            "delivery_id",
            "id",
            postgresql_where=sa.text("delivery_id IS NOT NULL"),
            sqlite_where=sa.text("delivery_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_images_waiting",
            "delivery_id",
            "id",
            postgresql_where=sa.text("waiting"),
            sqlite_where=sa.text("waiting = 1"),
        ),
        sa.Index("ix_images_state", "state", "id"),
        # The spare numbers beside an image.
        sa.Index(
            "ix_images_spare",
            "duplicate_of",
            postgresql_where=sa.text("state = 5"),
            sqlite_where=sa.text("state = 5"),
        ),
        sa.Index(
            "ix_images_batch",
            "batch_id",
            "id",
            postgresql_where=sa.text("batch_id IS NOT NULL"),
            sqlite_where=sa.text("batch_id IS NOT NULL"),
        ),
        sa.Index(
            "ix_images_unprepared",
            "prepare_after",
            postgresql_where=sa.text("prepare_after IS NOT NULL"),
            sqlite_where=sa.text("prepare_after IS NOT NULL"),
        ),
    )


class Finding(Base):
    """Something intake noticed about an image (guideline 3.3): what it does, the numbers, their limits."""

    __tablename__ = "findings"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), index=True)
    code: Mapped[str] = mapped_column(sa.String(40))
    detail: Mapped[str] = mapped_column(sa.Text)
    action: Mapped[Action] = mapped_column(ACTION, default=Action.NOTE, server_default="1")
    numbers: Mapped[Any | None] = mapped_column(Json)
    limits: Mapped[Any | None] = mapped_column(Json)


class ImageEvent(Base):
    """One row of an image's history. Append-only (a trigger holds it).

    `stage` is where it happened, `target` the stage it opened, `about_id` the person whose
    answer it concerns, `why` the reasons: a list of
    {"stage", "score", "reasons", "comment"} for a bounce, else an object.
    """

    __tablename__ = "image_events"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    what: Mapped[What] = mapped_column(WHAT)
    worker_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    about_id: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    stage: Mapped[Stage | None] = mapped_column(STAGE)
    target: Mapped[Stage | None] = mapped_column(STAGE)
    round: Mapped[int] = mapped_column(sa.SmallInteger)
    task_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    why: Mapped[Any | None] = mapped_column(Json)

    __table_args__ = (
        sa.Index("ix_image_events_image", "image_id", "id"),
        sa.Index(
            "ix_image_events_about",
            "about_id",
            "id",
            postgresql_where=sa.text("about_id IS NOT NULL"),
            sqlite_where=sa.text("about_id IS NOT NULL"),
        ),
    )
