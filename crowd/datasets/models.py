"""Tables of releases and their exports."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crowd.core.db import Base, BigId, Coded, UtcDateTime
from crowd.datasets.records import Split


class ExportState(StrEnum):
    """Where an export stands; pending ones are found again by every sweep."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


SPLIT = Coded(Split)
EXPORT_STATE = Coded(ExportState)


class Release(Base):
    """A named, immutable set of accepted images."""

    __tablename__ = "releases"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    taxonomy_id: Mapped[int] = mapped_column(sa.ForeignKey("taxonomies.id"))
    created_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    images: Mapped[int] = mapped_column(default=0)


class ReleaseImage(Base):
    """One image of a release, and the rows of `labels` that it holds."""

    __tablename__ = "release_images"

    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    split: Mapped[Split] = mapped_column(SPLIT)
    segmentation_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))
    attributes_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))
    styles_id: Mapped[int] = mapped_column(sa.ForeignKey("labels.id"))


class Export(Base):
    """A release being written in one format; `written` counts images, so that it can go on."""

    __tablename__ = "exports"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    release_id: Mapped[int] = mapped_column(sa.ForeignKey("releases.id"), index=True)
    format: Mapped[str] = mapped_column(sa.String(20))
    layout: Mapped[str] = mapped_column(sa.String(20))
    state: Mapped[ExportState] = mapped_column(EXPORT_STATE)
    written: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(sa.Text)
    run_after: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[int | None] = mapped_column(sa.ForeignKey("workers.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        sa.Index(
            "ix_exports_unfinished",
            "run_after",
            postgresql_where=sa.text("run_after IS NOT NULL"),
            sqlite_where=sa.text("run_after IS NOT NULL"),
        ),
    )
